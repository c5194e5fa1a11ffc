from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from datamodules.generated.files import SEQUENCE_HEADER
from facegan.config import UserError
from facegan.driving import GROUPS, NAMES, Track, columns, filled, read_track, sweep
from facegan.faces import AU_NAMES


def track(frames: int = 5, seed: int = 0) -> Track:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 5, (frames, 20)).astype(np.float32)
    values[:, :3] = rng.uniform(-0.5, 0.5, (frames, 3))
    return Track(values)


def test_columns_are_named_as_people_write_them():
    assert columns("yaw") == [1] and columns("AU01") == columns("au1") == [3] and columns("AU45") == [19]
    assert columns("pose") == [0, 1, 2] and columns("expression") == list(range(3, 20))
    assert columns("pitch, AU12") == [0, NAMES.index("AU12")]
    assert not set(columns("mouth")) & set(columns("eyes"))
    with pytest.raises(UserError, match="'AU28' is no AU, angle or group; there are pose, expression"):
        columns("AU28")


def test_columns_are_taken_from_another_driver_whose_last_frame_stays():
    mine, other = track(5), track(3, seed=1)
    mixed = mine.taking(other, "mouth")
    chosen = columns("mouth")
    np.testing.assert_array_equal(mixed.values[:3, chosen], other.values[:, chosen])
    np.testing.assert_array_equal(mixed.values[4, chosen], other.values[2, chosen])
    rest = [c for c in range(20) if c not in chosen]
    np.testing.assert_array_equal(mixed.values[:, rest], mine.values[:, rest])


def test_constants_factors_and_smoothing():
    mine = track()
    held = mine.holding(["AU12=3", "yaw=-0.2"])
    assert (held.au[:, 8] == 3).all() and np.allclose(held.pose[:, 1], -0.2)
    assert np.array_equal(held.pose[:, 0], mine.pose[:, 0])
    scaled = mine.scaled(["expression=2", "pose=0.5"])
    np.testing.assert_allclose(scaled.au, (2 * mine.au).clip(0, 5))
    np.testing.assert_allclose(scaled.pose, mine.pose / 2)
    flat = track(200).smoothed(20)
    assert flat.values[:, 5].std() < 0.3 * track(200).values[:, 5].std()
    assert np.allclose(Track(np.ones((9, 20))).smoothed(3).values, 1) and mine.smoothed(0) is mine


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["AU12=7"], "between 0 and 5"),
        (["AU12"], "write a name and a number"),
        (["yaw=x"], "yaw=x"),
        (["yaw=30"], "radians; 30 degrees would be 0.524"),
        (["pose=-2"], "radians"),
    ],
)
def test_what_cannot_be_held_is_named(items, words):
    with pytest.raises(UserError, match=words):
        track().holding(items)


def test_what_cannot_be_scaled_is_named():
    turned = track(2).scaled(["pose=-1"])
    assert np.array_equal(turned.pose, -track(2).pose) and np.array_equal(turned.au, track(2).au)
    with pytest.raises(UserError, match="--scale expression=-2: an AU has no negative side"):
        track(2).scaled(["expression=-2"])


def test_frames_without_a_face_repeat_the_one_before():
    values = track(6).values.copy()
    values[[0, 3, 4]] = np.nan
    track_of_all = filled(values, "film")
    found = track_of_all.values
    assert track_of_all.lost == 3
    assert np.array_equal(found[0], values[1]) and np.array_equal(found[4], values[2])
    assert np.array_equal(found[5], values[5])
    with pytest.raises(UserError, match="film: no frame with a face"):
        filled(np.full((3, 20), np.nan), "film")


def written(path: Path, frames: Iterable[tuple[int, int]], aus: float = 0.5) -> Path:
    """A CSV of frames and whether each succeeded; yaw is a tenth of the frame's number, AU12 ``aus`` times it."""
    header = list(SEQUENCE_HEADER)
    rows = []
    for frame, success in frames:
        row = dict.fromkeys(header, "0")
        row |= {"frame": str(frame), "confidence": "0.98", "success": str(success), "pose_Ry": str(frame / 10),
                "AU12_r": str(frame * aus)}  # fmt: skip
        rows.append(", ".join(row[name] for name in header))
    path.write_text("\n".join([", ".join(header), *rows]) + "\n")
    return path


def test_csvs_that_no_face_can_follow_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"f\.csv: AU12_r is 9\.5 in frame 19"):
        read_track(written(tmp_path / "f.csv", [(1, 1), (19, 1)]))
    with pytest.raises(UserError, match=r"e\.csv has a header and no frame"):
        read_track(written(tmp_path / "e.csv", []))
    with pytest.raises(UserError, match=r"f\.csv: AU12_r is -0\.5 in frame 1"):
        read_track(written(tmp_path / "f.csv", [(1, 1)], aus=-0.5))
    with pytest.raises(UserError, match=r"h\.csv: frame 100000000 in a CSV of 1 rows"):
        read_track(written(tmp_path / "h.csv", [(100_000_000, 0)]))
    for frames in (-3, 1e11):
        with pytest.raises(UserError, match="--smooth="):
            track().smoothed(frames)


def test_a_csv_is_read_by_its_frame_numbers(tmp_path):
    """With a frame missing, and one that failed."""
    found = read_track(written(tmp_path / "film.csv", [(1, 1), (2, 1), (4, 0), (5, 1)]))
    np.testing.assert_allclose(found.pose[:, 1], [0.1, 0.2, 0.2, 0.2, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.au[:, 8], [0.5, 1, 1, 1, 2.5])
    assert found.lost == found.smoothed(2).scaled(["yaw=2"]).lost == 2


def test_a_csv_may_count_from_0(tmp_path):
    found = read_track(written(tmp_path / "film.csv", [(0, 1), (1, 1), (2, 1)]))
    np.testing.assert_allclose(found.pose[:, 1], [0, 0.1, 0.2], atol=1e-6)


def test_a_sweep_moves_one_column():
    strip = sweep("yaw", [-0.5, 0, 0.5])
    assert np.array_equal(strip.pose[:, 1], np.float32([-0.5, 0, 0.5]))
    assert np.count_nonzero(strip.values) == 2


def test_every_au_is_of_the_brows_the_eyes_or_the_mouth():
    assert {*GROUPS["brows"], *GROUPS["eyes"], *GROUPS["mouth"]} == set(AU_NAMES)
