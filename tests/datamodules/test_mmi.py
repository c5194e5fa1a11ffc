import numpy as np
import pytest
from faces_on_disk import csv_rows, draw, landmarks, save, write_csv, write_video

from datamodules.mmi import MMI, MMIConfig
from datamodules.preparation.pictures import count_frames, stated_frames
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

NEUTRAL, HAPPY = EXPRESSIONS.index("neutral"), EXPRESSIONS.index("happiness")
LYING = (48, 64)  # height and width of a clip on its side, after the real 576 x 720


def coding(*units: tuple[str, list[tuple[int, int]]]) -> str:
    """``oao_aucs``: AU numbers with (type, frame from 1) markers."""
    text = "".join(
        f'<ActionUnit Number="{number}">'
        + "".join(f'<Marker Frame="{frame}" Type="{kind}"/>' for kind, frame in markers)
        + "</ActionUnit>"
        for number, markers in units
    )
    return f"<ActionUnits>{text}</ActionUnits>"


def session(
    root,
    number: int,
    stem: str,
    emotion: str | None = "4",
    view: int = 0,
    aucs: str = "",
    size=LYING,
    frames=20,
):
    folder = root / "mmi-facial-expression-database_download_2012-01-01_10_00_00" / "Sessions" / str(number)
    folder.mkdir(parents=True)
    write_video(folder / f"{stem}.avi", [np.full((*size, 3), 90, np.uint8)] * frames)
    tag = f'<Metatag Name="Emotion" Value="{emotion}"/>' if emotion else ""
    (folder / f"{stem}.xml").write_text(f'<Recording><Metatag Name="Hair" Value="9"/>{tag}</Recording>')
    (folder / "session.xml").write_text(
        f'<session><subject id="1"/><track filename="{stem}.avi" view="{view}">'
        f'<annotation filename="{stem}.xml"/></track></session>'
    )
    if aucs:
        (folder / f"{stem}-oao_aucs.xml").write_text(aucs)
    return folder


def module(root, **options) -> MMI:
    return MMI(MMIConfig(root=str(root), image_size=32, prepare_workers=1, **{"folds": 2} | options))


def views(found) -> list[str]:
    records = found.records
    return [records.names("view")[code] for code in records.codes("view")]


def test_middle_frames_without_coding(tmp_path):
    session(tmp_path, 1841, "S035-004")
    records = module(tmp_path).find().records
    assert records.numbers("frame").tolist() == [0, 9, 10, 11]
    assert records.numbers("expression").tolist() == [NEUTRAL, HAPPY, HAPPY, HAPPY]
    assert records.people() == ["S035"]


def test_apex_frames_are_counted_from_one_in_the_coding(tmp_path):
    both = coding(
        ("12", [(0, 1), (1, 3), (2, 5), (3, 15), (0, 18)]),
        ("6L", [(1, 4), (2, 8), (3, 13)]),
        ("25", [(1, 2)]),
    )
    session(tmp_path, 2, "S035-004", aucs=both)
    # both at their apex in frames 8 to 12, from 1; the middle three are 9, 10, 11: from 0 8, 9, 10
    assert module(tmp_path).find().records.numbers("frame").tolist() == [0, 8, 9, 10]


def test_most_aus_at_their_apex_and_no_blinks(tmp_path):
    blink = ("45", [(1, 20), (2, 21), (3, 24)])
    smile = [("6", [(2, 12), (3, 62)]), ("12", [(2, 12), (3, 62)])]
    session(tmp_path, 2, "S035-004", aucs=coding(*smile, blink), frames=70)
    # from 0: 11 to 61
    assert module(tmp_path, neutral=False).find().records.numbers("frame").tolist() == [34, 35, 36]


def test_aus_that_never_meet_and_codings_without_markers(tmp_path):
    # the first of two equally good stretches; an apex without an end lasts to the end of the clip
    apart = coding(("1", [(2, 3), (3, 8)]), ("12", [(2, 12), (3, 17)]))
    session(tmp_path, 2, "S035-004", aucs=apart)
    session(tmp_path, 3, "S035-005", aucs=coding(("1", [(2, 11)])))
    session(tmp_path, 4, "S035-006", aucs=coding(("1", [(1, 2)])))  # no apex at all: the middle
    frames = module(tmp_path, neutral=False).find().records.numbers("frame").tolist()
    assert frames == [3, 4, 5, 13, 14, 15, 9, 10, 11]


def test_clips_that_end_too_early_are_left_out(tmp_path):
    session(tmp_path, 2, "S035-004", aucs=coding(("1", [(2, 40), (3, 60)])))
    session(tmp_path, 3, "S035-005", frames=1)
    session(tmp_path, 4, "S035-006")
    found = module(tmp_path).find()
    assert [reason for _, reason in found.left_out] == ["ends before its coded apex", "fewer than 3 frames"]
    assert len(found.records) == 4


@pytest.mark.parametrize(("cut", "left"), [(0.4, []), (0.7, [0, 9, 10, 11])])
def test_a_clip_cut_short_keeps_its_peak_where_the_whole_had_it(tmp_path, cut, left):
    """Its header still states 20 frames: what is now the middle was the onset."""
    folder = session(tmp_path, 5, "S035-004")
    other = session(tmp_path, 6, "S036-004", frames=5)
    clip = folder / "S035-004.avi"
    assert stated_frames(clip) == 20
    rng = np.random.default_rng(0)  # noise, so that bytes and frames go together
    write_video(clip, [rng.integers(0, 255, (*LYING, 3), np.uint8) for _ in range(20)])
    whole = clip.read_bytes()
    clip.write_bytes(whole[: int(len(whole) * cut)])
    assert stated_frames(clip) == 20 > count_frames(clip)
    found = module(tmp_path).find()
    assert found.records.numbers("frame").tolist() == [*left, 0, 1, 2, 3]
    if not left:
        assert found.left_out == [(str(clip), "ends early, before its peak")]
    assert other.exists()


def test_two_downloads_of_one_session_and_names_in_capitals(tmp_path):
    folder = session(tmp_path, 1, "S035-004")
    again = tmp_path / "second" / "Sessions" / "1"
    again.mkdir(parents=True)
    for path in folder.iterdir():
        (again / path.name).write_bytes(path.read_bytes())
    capitals = session(tmp_path, 2, "S036-004")
    for path in list(capitals.iterdir()):
        path.rename(capitals / path.name.upper())
    found = module(tmp_path).find()
    assert [reason for _, reason in found.left_out] == ["in two downloads"]
    assert found.records.people() == ["S035", "S036"] and len(found.records) == 8


def test_codes_above_six_and_sessions_without_emotion(tmp_path):
    session(tmp_path, 1, "S001-001", emotion="1")
    session(tmp_path, 2, "S001-002", emotion="9")
    session(tmp_path, 10, "S001-003", emotion=None)
    found = module(tmp_path).find()
    assert [reason for _, reason in found.left_out] == ["no emotion of the six"] * 2
    assert set(found.records.numbers("expression")) == {NEUTRAL, EXPRESSIONS.index("anger")}
    every = module(tmp_path, frames="all", step=5).find().records
    assert every.numbers("frame").tolist() == [0, 5, 10, 15] * 3


def test_what_lies_on_its_side_is_turned(tmp_path):
    session(tmp_path, 1, "S035-001")
    session(tmp_path, 2, "S036-001", size=(480, 640), frames=3)
    session(tmp_path, 3, "S053-001")
    session(tmp_path, 4, "S037-001", aucs=coding(("12", [(2, 5), (3, 9)])))
    session(tmp_path, 5, "S021-001", view=1)
    session(tmp_path, 6, "S001-001", view=2)
    found = module(tmp_path, sides=["frontal", "profile", "dual"], neutral=False, peak_frames=1).find()
    assert views(found) == ["clockwise", "", "", "", "counterclockwise", "left", "right"]
    assert views(module(tmp_path, turn="none", neutral=False, peak_frames=1).find()) == [""] * 4
    frontal = module(tmp_path).find()
    assert sorted(reason for _, reason in frontal.left_out) == ["dual view", "profile view"]


def test_stills_among_the_clips(tmp_path):
    folder = session(tmp_path, 1, "S035-001")
    (folder / "S035-001.avi").unlink()
    save(folder / "S035-001.JPG", draw(landmarks()))
    records = module(tmp_path).find().records
    assert records.numbers("frame").tolist() == [0] and records.numbers("expression").tolist() == [HAPPY]


def test_a_clip_on_its_side_is_prepared_upright(tmp_path):
    points = landmarks(160)
    face = draw(points, (128, 160))
    folder = session(tmp_path, 1, "S035-001")
    write_video(folder / "S035-001.avi", [np.rot90(face)] * 7)
    write_csv(folder / "S035-001.csv", csv_rows([points] * 7, np.zeros((7, 17))))
    data = module(tmp_path, landmarks="openface", store=str(tmp_path / "store"))
    store = data.prepare(progress=False).store
    upright = module(tmp_path, landmarks="openface", turn="none", store=str(tmp_path / "other"))
    write_video(folder / "S035-001.avi", [face] * 7)
    expected = upright.prepare(progress=False).store
    assert len(store) == len(expected) == 4
    got, wanted = (s.images(np.arange(4)).float() for s in (store, expected))
    assert (got - wanted).abs().mean() < 4


def test_folds_by_person(tmp_path):
    for k in range(6):
        session(tmp_path, k + 1, f"S03{k}-001", frames=5)
    data = module(tmp_path, folds=3)
    records = data.find().records
    split = data.split(records)
    assert records.select(split.test).people() == ["S034", "S035"]
    assert records.select(split.train).people() == ["S030", "S031", "S032", "S033"]


def test_bad_input_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"S001-002\.avi.*there is no such folder"):
        module(tmp_path / "nowhere").find()
    folder = session(tmp_path, 1, "S035-001")
    with pytest.raises(UserError, match=r"none of the 1 sessions .* data\.sides=\['dual'\].*frontal view"):
        module(tmp_path, sides=["dual"]).find()
    with pytest.raises(UserError, match=r"data\.sides=back: choose one of frontal, profile, dual"):
        module(tmp_path, sides=["back"])
    session(tmp_path, 2, "S035-002")
    (folder / "S035-001.avi").write_text("no video")
    (folder.parent / "2" / "S035-002.xml").write_text("<broken")
    with pytest.raises(UserError, match=r"damaged XML.*unreadable video"):
        module(tmp_path).find()


def test_xml_without_its_clip_is_reported(tmp_path):
    session(tmp_path, 1, "S035-001")
    session(tmp_path, 2, "S035-002")
    next(tmp_path.rglob("S035-002.avi")).unlink()
    left_out = module(tmp_path).find().left_out
    assert [(path.rsplit("/", 1)[-1], reason) for path, reason in left_out] == [
        ("S035-002.xml", "XML without its clip or picture")
    ]
