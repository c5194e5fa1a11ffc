import numpy as np
import pytest
from faces_on_disk import draw, landmarks, write_video
from PIL import Image

from datamodules.preparation.pictures import (
    UnreadablePicture,
    count_frames,
    frame_size_and_count,
    look,
    read_frames,
    read_picture,
)

FACE = draw(landmarks(100), (100, 120))


def test_colour_comes_as_rgb(tmp_path):
    image = np.zeros((8, 10, 3), np.uint8)
    image[..., 0] = 200
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), image)


def test_grey_palette_and_cmyk(tmp_path):
    face = Image.fromarray(FACE)
    face.convert("L").save(tmp_path / "grey.jpg", quality=95)
    face.quantize(64).save(tmp_path / "palette.png")
    face.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    for name in ("grey.jpg", "palette.png", "cmyk.jpg"):
        got = read_picture(tmp_path / name)
        assert got.shape == FACE.shape and got.dtype == np.uint8
        assert np.abs(got.mean() - FACE.mean()) < 12, name


def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path):
    grey = FACE[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_picture(tmp_path / "a.png")[..., 1], grey, atol=1)


def test_transparent_pixels_become_white(tmp_path):
    alpha = np.full(FACE.shape[:2], 255, np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.dstack([FACE, alpha])).save(tmp_path / "a.png")
    got = read_picture(tmp_path / "a.png")
    assert (got[:10] == 255).all() and np.array_equal(got[10:], FACE[10:])


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(FACE)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), FACE)


def test_damaged_files_give_a_reason(tmp_path):
    Image.fromarray(FACE).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    reasons = {
        "cut.jpg": "unreadable",
        "text.jpg": "unreadable",
        "empty.png": "file is empty",
        "none.png": "missing",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadablePicture, match=reason):
            read_picture(tmp_path / name)
    with pytest.raises(UnreadablePicture) as refused:  # who asks knows which file it is
        read_picture(tmp_path / "text.jpg")
    assert str(refused.value) == "unreadable picture (cannot identify image file)"


def write_grey(path, frames: int) -> None:
    """A video whose k-th frame is of the grey level 10 + 4 k."""
    write_video(path, [np.full((64, 64, 3), 10 + 4 * k, np.uint8) for k in range(frames)])


def test_video_gives_the_wanted_frames_only(tmp_path):
    write_grey(tmp_path / "a.mp4", 40)
    assert count_frames(tmp_path / "a.mp4") == 40
    wanted = [0, 3, 17, 39]
    got = list(read_frames(tmp_path / "a.mp4", np.array(wanted)))
    assert [number for number, _ in got] == wanted
    for number, image in got:
        assert image.mean() == pytest.approx(10 + 4 * number, abs=3)


def test_video_that_ends_early_or_is_none(tmp_path):
    write_grey(tmp_path / "a.mp4", 5)
    assert [n for n, _ in read_frames(tmp_path / "a.mp4", np.array([3, 9]))] == [3]
    (tmp_path / "b.mp4").write_text("no video")
    with pytest.raises(UnreadablePicture, match="video"):
        count_frames(tmp_path / "b.mp4")
    with pytest.raises(UnreadablePicture, match=r"unreadable video, perhaps cut short \(Invalid data found"):
        list(read_frames(tmp_path / "b.mp4", np.array([0])))
    (tmp_path / "c.mp4").touch()
    with pytest.raises(UnreadablePicture, match="file is empty"):
        count_frames(tmp_path / "c.mp4")


def test_size_of_a_videos_frames(tmp_path):
    write_video(tmp_path / "a.avi", [np.zeros((48, 64, 3), np.uint8)] * 3)
    assert frame_size_and_count(tmp_path / "a.avi") == ((48, 64), 3)


def test_a_picture_on_its_side_and_halves_of_one():
    lying = np.rot90(FACE)  # recorded with the camera on its side
    np.testing.assert_array_equal(look(lying, "clockwise"), FACE)
    np.testing.assert_array_equal(look(np.rot90(FACE, -1), "counterclockwise"), FACE)
    both = np.concatenate([FACE, FACE[:, ::-1]], 1)
    np.testing.assert_array_equal(look(both, "left"), FACE)
    np.testing.assert_array_equal(look(both, "right"), FACE[:, ::-1])
    assert look(FACE, "") is FACE
