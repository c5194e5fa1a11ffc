"""What people do with a trained ICface, by the command line: films, pictures and CSVs move a face."""

from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.generated.voxceleb import VOXCELEB_LAYOUT
from facegan import editing, experiment, films, reenacting
from facegan.cli import main
from facegan.driving import read_track
from facegan.editing import FaceEditor
from facegan.faces import AU_NAMES
from facegan.films import Film
from facegan.judges.weights import save_judge
from facegan.methods.icface import ICface
from facegan.nets.au_regressor import AURegressor
from facegan.nets.winograd import WinogradConv, quicken
from facegan.pixels import to_uint8
from facegan.runs import Run
from tests.test_icface_run import config


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("reenacting")


@pytest.fixture(autouse=True)
def places(home, monkeypatch):
    for name in ("DATA", "RUNS", "JUDGES"):
        monkeypatch.setenv(f"FACEGAN_{name}", str(home / name.lower()))


@pytest.fixture(scope="module")
def run(home) -> Run:
    VOXCELEB_LAYOUT.write(home / "voxceleb", people=4, workers=1, videos=1, tracks=1, frames=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
        return experiment.train(config(home))


@pytest.fixture(scope="module")
def people(home) -> Path:
    """Two people in a studio, twelve pictures each, with OpenFace's CSV."""
    return FOLDER_LAYOUT.write(
        home / "people",
        people=2,
        pictures=12,
        size=160,
        workers=1,
        light_spread=0.0,
        pose_spread=(2.0, 4.0, 1.0),
    )


@pytest.fixture(scope="module")
def film(people, home) -> Path:
    path = home / "driver.mp4"
    with Film(path, (160, 160), 25) as film:
        for picture in sorted((people / "p000001").iterdir()):
            film.write(cv2.imread(str(picture))[..., ::-1])
    return path


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def typed(run: Run, people: Path, *more: str) -> int:
    return main(["reenact", str(run.folder), "--source", str(people / "p000000" / "000001.jpg"), *more])


def test_a_film_moves_the_face_of_a_picture(run, people, film, tmp_path, capsys):
    out, csv_file = tmp_path / "out.mp4", people / "p000001.csv"
    assert typed(run, people, "--driving", str(film), "--driving-csv", str(csv_file), "--out", str(out)) == 0
    assert "12 frames of 64x64" in capsys.readouterr().out
    written = frames(out)
    assert written.shape == (12, 64, 192, 3)
    editor = editing.load(run, can="reenact")
    face = editor.cut(people / "p000000" / "000001.jpg").image[None]
    track = read_track(csv_file)
    with torch.inference_mode():
        pose, au = torch.from_numpy(track.pose), torch.from_numpy(track.au)
        wanted = editor.module.reenact(face.expand(12, -1, -1, -1), pose, au)
    wanted = ((wanted + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    assert np.abs(written[:, :, 128:] - wanted).mean() < 8, "beside the loss of the coding the method's own"


@pytest.mark.parametrize(
    "how", [["--set", "yaw=0.2"], ["--sweep", "yaw"], ["--driving-csv", "{csv}", "--out", "o.mp4"]]
)
def test_what_moves_is_the_neutral_face(run, people, tmp_path, monkeypatch, how):
    moved, animated = [], reenacting._animated
    monkeypatch.setattr(reenacting, "_animated", lambda e, n, moves: moved.append(n) or animated(e, n, moves))
    monkeypatch.chdir(tmp_path)
    how = [word.format(csv=people / "p000001.csv") for word in how]
    assert typed(run, people, *(how if "--out" in how else [*how, "--out", "o.png"])) == 0
    editor = editing.load(run, can="reenact")
    face = editor.cut(people / "p000000" / "000001.jpg").image[None]
    neutral = editor.neutralise(face)
    assert moved and all(torch.equal(one, neutral) for one in moved) and not torch.equal(face, neutral)


def test_a_film_keeps_its_driver_s_frame_rate(run, people, tmp_path):
    driver, out = tmp_path / "driver.mp4", tmp_path / "out.mp4"
    with Film(driver, (160, 160), 30) as film:
        for picture in sorted((people / "p000001").iterdir()):
            film.write(cv2.imread(str(picture))[..., ::-1])
    driven = ["--driving", str(driver), "--driving-csv", str(people / "p000001.csv")]
    assert typed(run, people, *driven, "--out", str(out)) == 0
    with av.open(str(out)) as made:
        assert made.streams.video[0].average_rate == 30


def test_what_is_held_is_neither_scaled_nor_smoothed(run, people, tmp_path, monkeypatch):
    seen = spied(monkeypatch)
    more = ["--set", "AU12=3", "--scale", "expression=0.5", "--smooth", "1", "--out", str(tmp_path / "o.mp4")]
    assert typed(run, people, "--driving-csv", str(people / "p000001.csv"), *more) == 0
    assert (np.concatenate(seen)[:, 3 + AU_NAMES.index("AU12")] == 3).all()


def test_without_a_csv_the_attribute_head_looks_and_says_so(run, people, film, tmp_path, capsys):
    assert typed(run, people, "--driving", str(film), "--alone", "--out", str(tmp_path / "o.mp4")) == 0
    assert "the run's own attribute head" in capsys.readouterr().out
    assert frames(tmp_path / "o.mp4").shape == (12, 64, 64, 3)


def test_an_au_judge_looks_where_it_is_asked_to(run, people, film, home, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    save_judge(
        home / "looker.safetensors",
        AURegressor([4, 4, 8, 8]),
        {"channels": [4, 4, 8, 8], "trained_on": "noise"},
    )
    seen = spied(monkeypatch)
    asked = ["--driving", str(film), "--au-judge", str(home / "looker.safetensors")]
    assert typed(run, people, *asked, "--out", str(tmp_path / "o.mp4")) == 0
    said = capsys.readouterr().out
    assert "noise" in said and "head pose from 13 landmarks" in said
    values = np.concatenate(seen)
    true = read_track(people / "p000001.csv").pose
    yaw_and_roll = np.abs(values[:, 1:3] - true[:, 1:]).mean(0)
    assert yaw_and_roll.max() < 0.12, "an untrained C_2 knows nothing"
    missing = ["--driving", str(film), "--au-judge", "none.safetensors", "--out", str(tmp_path / "o.mp4")]
    assert typed(run, people, *missing) == 2


def spied(monkeypatch) -> list[np.ndarray]:
    """Fills with what faces are asked to do."""
    seen: list[np.ndarray] = []
    animated = reenacting._animated
    monkeypatch.setattr(
        reenacting, "_animated", lambda e, n, moves: seen.append(moves.values) or animated(e, n, moves)
    )
    return seen


def test_drivers_are_mixed_held_and_scaled(run, people, tmp_path, monkeypatch):
    """An option may be typed again and again."""
    seen = spied(monkeypatch)
    mine, other = people / "p000000.csv", people / "p000001.csv"
    assert typed(
        run, people, "--driving-csv", str(mine), "--take", f"mouth={other}", "--take", f"AU05={other}",
        "--set", "AU45=2", "--set", "AU01=1", "--scale", "pose=0.5", "--out", str(tmp_path / "o.mp4"),
    ) == 0  # fmt: skip
    values = np.concatenate(seen)
    np.testing.assert_allclose(values[:, :3], read_track(mine).pose / 2)
    assert (values[:, 19] == 2).all() and (values[:, 3] == 1).all()
    for column in (8, AU_NAMES.index("AU05")):
        assert np.array_equal(values[:, 3 + column], read_track(other).au[:, column])
    assert np.array_equal(values[:, 3 + 4], read_track(mine).au[:, 4])


def test_columns_are_taken_from_films_and_pictures_too(run, people, film, tmp_path, monkeypatch, capsys):
    """Figs. 1 and 4: pose from one driver, expression from another, whatever they are."""
    seen = spied(monkeypatch)
    still = people / "p000001" / "000003.jpg"
    estimated = editing.load(run).estimate(editing.load(run).cut(still).image[None])[1][0].numpy()
    taken = ["--driving-csv", str(people / "p000000.csv"), "--take", f"pose={film}", f"mouth={still}"]
    assert typed(run, people, *taken, "--out", str(tmp_path / "o.mp4")) == 0
    said = capsys.readouterr().out
    assert said.count("has no CSV") == 2
    values = np.concatenate(seen)
    np.testing.assert_allclose(values[:, 3 + 8], estimated[8], atol=0.01)  # two decoders of JPEG
    assert len(np.unique(values[:, 1])) > 1
    assert typed(run, people, "--driving", str(still), "--out", str(tmp_path / "o.png")) == 0
    np.testing.assert_allclose(seen[-1][0, 3:], estimated, atol=0.01)
    assert cv2.imread(str(tmp_path / "o.png")).shape == (64, 64, 3)


def test_frames_whose_face_was_lost_are_told(run, people, tmp_path, capsys):
    header, *rows = (people / "p000001.csv").read_text().splitlines()
    place = [name.strip() for name in header.split(",")].index("success")
    for k in (3, 4):
        rows[k] = ",".join("0" if n == place else cell for n, cell in enumerate(rows[k].split(",")))
    (tmp_path / "lost.csv").write_text("\n".join([header, *rows]) + "\n")
    for how in (["--driving-csv", str(tmp_path / "lost.csv")], ["--take", f"pose={tmp_path / 'lost.csv'}"]):
        assert typed(run, people, *how, "--out", str(tmp_path / "o.mp4")) == 0
        assert "lost.csv: no face in 2 of 12 frames, which are as the one before" in capsys.readouterr().out


def test_a_driver_that_ends_early_and_one_that_is_no_picture_are_told(run, people, tmp_path, capsys):
    main_csv, out = people / "p000001.csv", str(tmp_path / "o.mp4")
    (tmp_path / "short.csv").write_text("\n".join(main_csv.read_text().splitlines()[:6]) + "\n")
    taken = ["--driving-csv", str(main_csv), "--take", f"mouth={tmp_path / 'short.csv'}"]
    assert typed(run, people, *taken, "--out", out) == 0
    assert "--take mouth: its driver has 5 of 12 frames, the last of which stays" in capsys.readouterr().out
    (tmp_path / "text.jpg").write_text("no picture")
    assert typed(run, people, "--driving", str(tmp_path / "text.jpg"), "--out", str(tmp_path / "o.png")) == 2
    said = capsys.readouterr().err
    assert "text.jpg: none of its pictures can be read" in said or "no film that can be read" in said


def test_an_earlier_film_outlives_a_run_that_is_stopped(run, people, tmp_path, monkeypatch):
    out, animated, done = tmp_path / "o.mp4", reenacting._animated, []

    def stopping(*args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(None)
        return animated(*args)

    driven = ["--driving-csv", str(people / "p000001.csv"), "--out", str(out)]
    assert typed(run, people, *driven) == 0
    earlier = out.read_bytes()
    monkeypatch.setattr(reenacting, "_animated", stopping)
    assert typed(run, people, *driven) == 130
    assert out.read_bytes() == earlier and 0 < len(frames(tmp_path / "o.part.mp4")) < 12
    done.clear()
    assert (
        typed(run, people, "--driving-csv", str(people / "p000001.csv"), "--out", str(tmp_path / "n.mp4"))
        == 130
    )
    assert 0 < len(frames(tmp_path / "n.mp4")) < 12 and not (tmp_path / "n.part.mp4").exists()


def test_a_shorter_csv_ends_picture_and_sound(run, people, with_sound, tmp_path, capsys):
    loud, out = with_sound(tmp_path / "loud.mp4", "aac", seconds=2), tmp_path / "o.mp4"
    driven = ["--driving", str(loud), "--driving-csv", str(people / "p000001.csv")]
    assert typed(run, people, *driven, "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "loud.mp4 has 50 frames, its drivers have 12: the shorter counts" in said
    with av.open(str(out)) as made:
        heard = sum(frame.samples for frame in made.decode(audio=0)) / 16000
    assert len(frames(out)) == 12 and heard == pytest.approx(12 / 25, abs=0.15)


def test_turns_beyond_the_network_s_reach_are_told(run, people, tmp_path, capsys):
    for turn in ("1.2", "-1.2"):
        assert typed(run, people, "--set", f"yaw={turn}", "--out", str(tmp_path / "o.png")) == 0
        assert (
            "1 of 1 frames turn further than was taught (pitch 0.70, yaw 0.70, roll 0.70 radians)"
            in capsys.readouterr().out
        )


def test_a_sweep_goes_as_far_as_the_network(run, people, tmp_path, monkeypatch):
    """Beyond, all pictures would be the same, under labels of their own."""
    monkeypatch.setattr(editing.FaceEditor, "reach", [0.7, 0.7, 0.2])
    seen = spied(monkeypatch)
    for name in ("roll", "yaw"):
        swept = ["--sweep", name, "--steps", "3", "--out", str(tmp_path / "s.png")]
        assert typed(run, people, *swept) == 0
    assert np.array_equal(seen[0][:, 2], np.float32([-0.2, 0, 0.2]))
    assert np.array_equal(seen[1][:, 1], np.float32([-0.5, 0, 0.5]))


def test_frames_are_not_read_ahead(run, people, film, tmp_path, monkeypatch):
    """Constant memory, whatever the film's length: at most a batch is read and not yet written."""
    counts = {"read": 0, "written": 0}
    most = []
    upright, write = films.upright, Film.write

    def read(frame):
        counts["read"] += 1
        most.append(counts["read"] - counts["written"])
        return upright(frame)

    def written(self, picture):
        counts["written"] += 1
        write(self, picture)

    monkeypatch.setitem(reenacting.AT_ONCE, "cpu", 3)
    monkeypatch.setattr(films, "upright", read)
    monkeypatch.setattr(Film, "write", written)
    driven = ["--driving", str(film), "--driving-csv", str(people / "p000001.csv")]
    assert typed(run, people, *driven, "--out", str(tmp_path / "o.mp4")) == 0
    assert counts == {"read": 12, "written": 12} and max(most) == 3


def test_pictures_by_hand_a_sweep_and_the_neutral_face(run, people, tmp_path, monkeypatch):
    out = tmp_path / "o.png"
    assert typed(run, people, "--set", "AU12=4", "yaw=0.3", "--out", str(out)) == 0
    assert cv2.imread(str(out)).shape == (64, 64, 3)
    assert typed(run, people, "--sweep", "yaw", "--steps", "3", "--out", str(tmp_path / "s.png")) == 0
    assert cv2.imread(str(tmp_path / "s.png")).shape[1] > 4 * 64
    seen = spied(monkeypatch)
    held = ["--sweep", "yaw", "--steps", "3", "--set", "AU12=5", "--out", str(tmp_path / "t.png")]
    assert typed(run, people, *held) == 0
    assert (seen[0][:, 3 + 8] == 5).all() and np.array_equal(seen[0][:, 1], np.float32([-0.5, 0, 0.5]))
    assert typed(run, people, "--neutral", "--out", str(tmp_path / "n.png")) == 0
    assert cv2.imread(str(tmp_path / "n.png")).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "AU12=2", "--out", "o.mp4"], "name a .png or .jpg file"),
        (["--out", "o.png"], "nothing to do: give --driving"),
        (["--set", "AU12=2", "--smooth", "2", "--out", "o.png"], "change a driver, and none is given"),
        (["--driving", "README.md", "--out", "o.mp4"], "no film that can be read"),
        (["--take", "mouth", "--out", "o.mp4"], "write columns and a driver"),
        (["--take", "nose=f.mp4", "--out", "o.mp4"], "'nose' is no AU"),
        (["--driving", "f.mp4", "--out", "o.png"], "what f.mp4 drives is a film"),
        (["--driving", "o.mp4", "--out", "o.mp4"], "would write over what the result is made from"),
        (["--sweep", "yaw", "--out", "o.mp4"], "name a .png or .jpg file"),
        (["--neutral", "--out", "o.mp4"], "name a .png or .jpg file"),
        (["--neutral", "--set", "AU12=2", "--out", "o.png"], "--neutral and --set do not go together"),
        (["--neutral", "--half", "--out", "o.png"], "--neutral and --half do not go together"),
        (["--sweep", "yaw", "--au-judge", "--out", "o.png"], "--sweep and --au-judge do not go together"),
        (
            ["--sweep", "yaw", "--set", "yaw=0.2", "--out", "o.png"],
            "--sweep yaw moves what --set yaw=0.2 holds",
        ),
        (["--sweep", "AU12,yaw", "--out", "o.png"], "sweep one of them"),
        (["--driving", "x.csv", "--out", "o.mp4"], "given with --driving-csv"),
        (["--driving", "f.mp4", "--scale", "AU12=x", "--out", "o.mp4"], "as in --scale expression=1.5"),
        (["--set", "AU12=2", "--out", "/dev/null/o.png"], "another --out"),
        (
            ["--sweep", "yaw", "--driving", "f.mp4", "--out", "o.png"],
            "--sweep and --driving do not go together",
        ),
        (["--driving-csv", "nowhere.csv", "--out", "o.mp4"], "nowhere.csv"),
        (["--driving-csv", "x.csv", "--out", "o.gif"], "name a .mp4, .png or .jpg file"),
        (["--set", "AU99=1", "--out", "o.png"], "'AU99' is no AU"),
        (["--sweep", "nod", "--out", "o.png"], "'nod' is no AU"),
        (["--sweep", "yaw", "--steps", "1000000", "--out", "o.png"], "--steps=1000000"),
        (["--set", "AU12=2", "--steps", "5", "--out", "o.png"], "how many pictures --sweep makes"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, people, more, words, capsys):
    assert typed(run, people, *more) == 2
    assert words in capsys.readouterr().err


def source_of(run: Run, people: Path) -> tuple[editing.FaceEditor, torch.Tensor]:
    editor = editing.load(run, can="reenact")
    return editor, editor.cut(people / "p000000" / "000001.jpg").image[None]


def test_source_driver_and_result_stand_beside_each_other_in_this_order(run, people, film, tmp_path):
    out = tmp_path / "o.mp4"
    driven = ["--driving", str(film), "--driving-csv", str(people / "p000001.csv")]
    assert typed(run, people, *driven, "--out", str(out)) == 0
    _, face = source_of(run, people)
    for seen, driver in zip(frames(out).astype(int), frames(film).astype(int), strict=True):
        assert np.abs(seen[:, :64] - to_uint8(face)[0]).mean() < 8
        small = cv2.resize(driver.astype(np.uint8), (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(seen[:, 64:128] - small).mean() < 8


def test_the_neutral_face_is_the_neutraliser_s(run, people, tmp_path):
    assert typed(run, people, "--neutral", "--out", str(tmp_path / "n.png")) == 0
    editor, face = source_of(run, people)
    wanted = to_uint8(editor.neutralise(face).float())[0]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "n.png"))[..., ::-1], wanted)
    assert np.abs(wanted.astype(int) - to_uint8(face)[0]).mean() > 3, "and not the picture itself"


@pytest.mark.parametrize(("more", "replaced"), [((), True), (("--half",), False)])
def test_films_take_fewer_products_where_they_are_exact(
    run, people, film, tmp_path, monkeypatch, more, replaced
):
    """Every conv of the residual blocks counts as a wide one here."""
    used, animate = [], FaceEditor.animate
    monkeypatch.setattr("facegan.nets.winograd.quicken", partial(quicken, least=1))

    def watched(editor, *given):
        net = editor.module.reenactor_ema.module.G_A
        used.append(any(isinstance(part, WinogradConv) for part in net.modules()))
        return animate(editor, *given)

    monkeypatch.setattr(FaceEditor, "animate", watched)
    csv_file, out = str(people / "p000001.csv"), str(tmp_path / "out.mp4")
    assert typed(run, people, "--driving", str(film), "--driving-csv", csv_file, "--out", out, *more) == 0
    assert used and set(used) == {replaced}
    used.clear()
    assert typed(run, people, "--set", "AU12=3", "--out", str(tmp_path / "one.png")) == 0
    assert used == [False]  # of one picture it would not pay


def test_half_animates_in_bfloat16_and_smooth_averages_over_time(run, people, tmp_path, monkeypatch):
    modes, seen, table = [], spied(monkeypatch), people / "p000001.csv"
    animate = ICface.animate
    monkeypatch.setattr(
        ICface, "animate", lambda *given: modes.append(torch.is_autocast_enabled("cpu")) or animate(*given)
    )
    for more in ([], ["--half"], ["--smooth", "2"]):
        assert typed(run, people, "--driving-csv", str(table), *more, "--out", str(tmp_path / "o.mp4")) == 0
    plain, half, smooth = (np.concatenate(seen[k : k + 6]) for k in (0, 6, 12))
    assert modes == [False] * 6 + [True] * 6 + [False] * 6
    assert np.array_equal(plain, read_track(table).values) and np.array_equal(plain, half)
    np.testing.assert_allclose(smooth, read_track(table).smoothed(2).values)
    assert np.abs(smooth - plain).max() > 0.1


def test_a_film_that_gives_the_pose_alone_is_shown_and_heard(run, people, with_sound, tmp_path, monkeypatch):
    """Where nothing else drives (Fig. 1)."""
    loud, out = with_sound(tmp_path / "loud.mp4", "aac"), tmp_path / "o.mp4"
    track = read_track(people / "p000001.csv")
    monkeypatch.setattr(reenacting.Drivers, "track", lambda *_: track)
    assert typed(run, people, "--take", f"pose={loud}", "--out", str(out)) == 0
    with av.open(str(out)) as made:
        assert made.streams.video[0].width == 192 and len(made.streams.audio) == 1
    assert len(frames(out)) == len(track)


def test_a_film_without_a_count_and_a_damaged_one_are_told(run, people, film, tmp_path, capsys):
    """A frame that is lost has the one before in its place, so that all others keep their rows of the CSV."""
    table, out = str(people / "p000001.csv"), str(tmp_path / "o.mp4")
    with av.open(str(film)) as plain:
        lost = [packet for packet in plain.demux(video=0) if packet.size][-1]
        start, size = lost.pos, lost.size
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(film.read_bytes())
    content[start : start + size] = b"\xff" * size
    damaged.write_bytes(content)
    assert typed(run, people, "--driving", str(damaged), "--driving-csv", table, "--out", out) == 0
    said = capsys.readouterr().out
    assert "12 frames of 64x64" in said and "damaged.mp4: 1 frames cannot be decoded" in said
    still = str(people / "p000001" / "000001.jpg")
    assert typed(run, people, "--driving", still, "--driving-csv", table, "--out", out) == 2
    assert "000001.jpg is one picture and what drives has 12 frames" in capsys.readouterr().err
