import numpy as np
import pytest
from faces_on_disk import csv_rows, landmarks, write_csv, write_video

from datamodules.voxceleb import VoxCeleb, VoxCelebConfig
from datamodules.voxceleb_tree import read_track
from facegan.config import UserError

PEOPLE = ["A.J._Buckley", "Eartha_Kitt", "Sammy_Davis_Jr", "Taylor_Swift"]
META = """VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10002\tSammy_Davis_Jr.\tm\tUSA\tdev
id10003\tTaylor_Swift\tf\tUSA\tdev
id10270\tEartha_Kitt\tf\tUSA\ttest
"""
TRACK = """Identity  : \tid10001
Reference : \t-_pOfzIZVLF
Offset    : \t1
FV Conf   : \t18.264\t(1)
ASD Conf  : \t3.1

FRAME \tX \tY \tW \tH 
000300 \t223 \t80 \t130 \t130 
000301 \t223 \t81 \t130 \t131 
000302 \t224 \t81 \t130 \t131 
"""  # noqa: W291 the blanks are the file's


def touch(folder, names) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def module(root, **options) -> VoxCeleb:
    return VoxCeleb(VoxCelebConfig(root=str(root), image_size=32, prepare_workers=1, **options))


@pytest.fixture
def dense(tmp_path):
    """Four people, two videos of two tracks, five frames each; video ids with dashes and underscores."""
    for person in PEOPLE:
        for video_id in ("-_pOfzIZVLF", "OmSWVqpb-N0"):
            for track in ("1", "12"):
                touch(
                    tmp_path / "unzippedIntervalFaces/data" / person / "1.6" / video_id / track,
                    [f"{n}.jpg" for n in (6, 12, 102, 18, 0)],
                )
    (tmp_path / "vox1_meta.csv").write_text(META)
    return tmp_path


def test_dense_frames_by_track(dense):
    records = module(dense).find().records
    assert len(records) == 4 * 2 * 2 * 5 and records.people() == sorted(PEOPLE)
    assert "Taylor_Swift/OmSWVqpb-N0/12" in records.names("sequence")
    # by number, not by string
    assert [records.path(row).rsplit("/")[-1] for row in range(5)] == [
        f"{n}.jpg" for n in (0, 6, 12, 18, 102)
    ]
    assert records.numbers("frame")[:5].tolist() == [0, 1, 2, 3, 4]


def test_a_gap_in_the_seconds_begins_another_track(tmp_path):
    folder = tmp_path / "CMBiometrics/unzippedFaces/Taylor_Swift/1.6/OmSWVqpb-N0"
    touch(folder, [f"{n:07d}.jpg" for n in (1300, 1325, 1350, 2000, 2025, 9000)])
    found = module(tmp_path).find()
    records = found.records
    assert [records.names("sequence")[code] for code in records.codes("sequence")] == (
        ["Taylor_Swift/OmSWVqpb-N0/1"] * 3 + ["Taylor_Swift/OmSWVqpb-N0/2"] * 2
    )
    assert [reason for _, reason in found.left_out] == ["too few frames"]
    assert records.numbers("frame").tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("kind", ["dense", "1fps"])
def test_openface_took_the_pictures_in_the_order_of_their_names(tmp_path, kind):
    folder = tmp_path / "Taylor_Swift/1.6/OmSWVqpb-N0"
    folder, names = (
        (folder / "1", ["6.jpg", "12.jpg", "102.jpg"]) if kind == "dense"
        else (folder, ["0000000.jpg", "0000025.jpg", "0009000.jpg", "0009025.jpg"])
    )  # fmt: skip
    touch(folder, names)
    au = np.zeros((len(names), 17))
    au[:, 0] = [sorted(names).index(name) for name in sorted(names)]
    write_csv(folder.parent / "processed" / f"{folder.name}.csv", csv_rows([landmarks()] * len(names), au))
    records = module(tmp_path).find().records
    assert [records.path(k).rsplit("/")[-1] for k in range(len(names))] == names
    assert records.au[:, 0].tolist() == [sorted(names).index(name) for name in names]


def test_both_kinds_of_frames_at_once(dense):
    touch(dense / "unzippedFaces/Taylor_Swift/1.6/OmSWVqpb-N0", ["0000000.jpg", "0000025.jpg"])
    assert len(module(dense).find().records) == 80
    assert len(module(dense, frames="1fps").find().records) == 2
    with pytest.raises(UserError, match=r"no frames of data\.frames=clips; it has dense, 1fps"):
        module(dense, frames="clips").find()


def test_the_official_split_in_spite_of_the_dot(dense):
    data = module(dense, split="official")
    found = data.find()
    records = found.records
    assert set(found.codes["official part"]) == {"train", "test"}
    split = data.split(records)
    assert records.select(split.train).people() == ["A.J._Buckley", "Sammy_Davis_Jr", "Taylor_Swift"]
    assert records.select(split.test).people() == ["Eartha_Kitt"]
    (dense / "vox1_meta.csv").unlink()
    with pytest.raises(UserError, match=r"needs vox1_meta\.csv"):
        data.split(module(dense).find().records)


def test_three_quarters_of_the_people(tmp_path):
    for k in range(40):
        touch(tmp_path / f"Person_{k:02d}" / "1.6" / "OmSWVqpb-N0" / "1", ["0.jpg", "6.jpg"])
    data = module(tmp_path)
    records = data.find().records
    people = [records.select(rows).people() for rows in vars(data.split(records)).values()]
    assert [len(part) for part in people] == [30, 2, 8]
    assert len(set().union(*people)) == 40
    again = [records.select(rows).people() for rows in vars(data.split(records)).values()]
    assert again == people


def test_clips_with_and_without_their_track(tmp_path):
    for n in (1, 2):
        path = tmp_path / "mp4" / "id10001" / "-_pOfzIZVLF" / f"{n:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, [np.zeros((32, 32, 3), np.uint8)] * 9)
    text = tmp_path / "txt" / "id10001" / "-_pOfzIZVLF" / "00001.txt"
    text.parent.mkdir(parents=True)
    text.write_text(TRACK)
    records = module(tmp_path, step=2).find().records
    assert records.numbers("frame").tolist() == [0, 2, 0, 2, 4, 6, 8]
    assert records.names("sequence") == ["id10001/-_pOfzIZVLF/00001", "id10001/-_pOfzIZVLF/00002"]


def test_a_track_with_blanks_behind_its_names(tmp_path):
    (tmp_path / "00001.txt").write_text(TRACK)
    rows = read_track(tmp_path / "00001.txt")
    np.testing.assert_array_equal(rows[0], [300, 223, 80, 130, 130])
    assert rows.shape == (3, 5)


def test_people_in_both_partitions_are_trained_on_only(tmp_path):
    for part, people in (("train", ("id10001", "id10282")), ("test", ("id10282", "id10300"))):
        for person in people:
            name = f"{person}#OmSWVqpb-N0#{len(part):06d}#000200"
            touch(tmp_path / part / name, [f"{k:07d}.png" for k in range(13)])
    data = module(tmp_path, split="official")
    found = data.find()
    assert found.notes == ["id10282 is in both partitions: data.split=official uses only the training clips"]
    split = data.split(found.records)
    assert found.records.select(split.train).people() == ["id10001", "id10282"]
    assert found.records.select(split.test).people() == ["id10300"]
    # every sixth of 13 frames, as of a clip
    assert len(split.train) == 6 and len(split.test) == 3
    assert found.records.path(1).endswith("/0000006.png")


def test_bad_input_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"A\.J\._Buckley/1\.6.*there is no such folder"):
        module(tmp_path / "nowhere").find()
    with pytest.raises(UserError, match=r"data\.train_share=0\.9 and data\.val_share=0\.2"):
        module(tmp_path, train_share=0.9, val_share=0.2)
    touch(tmp_path / "Taylor_Swift" / "1.6" / "OmSWVqpb-N0" / "1", ["0.jpg"])
    with pytest.raises(UserError, match=r"data\.min_frames=2"):
        module(tmp_path).find()
