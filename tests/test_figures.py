import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facegan import figures
from facegan.config import UserError


def plain(value, size=96):
    return np.full((size, size, 3), value, np.uint8)


def test_grid_puts_pictures_where_their_labels_are():
    pictures = [[plain(10), plain(50)], [plain(100), None], [plain(150), plain(200)]]
    sheet = figures.grid(pictures, ["a", "b"], ["one", "two", "three"], "generated faces (ict head)")
    height, width = sheet.shape[:2]
    left, top = width - 2 * 96 - figures.GAP, height - 3 * 96 - 2 * figures.GAP - (10 + 10)
    assert left > 20 and top > 15
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            y, x = top + i * (96 + figures.GAP), left + j * (96 + figures.GAP)
            expected = 255 if picture is None else picture[0, 0, 0]
            assert (sheet[y : y + 96, x : x + 96] == expected).all(), (i, j)
    assert (sheet[:top] < 128).any(), "column labels"
    assert (sheet[:, :left] < 128).any(), "row labels"
    assert (sheet[-18:] < 200).any(), "caption"


def test_grid_enlarges_small_pictures_and_refuses_wrong_labels():
    assert figures.grid([[plain(0, 16)]]).shape == (96, 96, 3)
    assert figures.grid([[plain(0, 16)]], size=40).shape == (40, 40, 3)
    with pytest.raises(ValueError, match="column labels"):
        figures.grid([[plain(0)]], columns=["a", "b"])


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_animation_comes_back_frame_by_frame(tmp_path, suffix):
    frames = [plain(value, 65) for value in (0, 80, 160, 240)]
    path = figures.save_animation(tmp_path / f"moving{suffix}", frames, fps=10)
    if suffix == ".gif":
        with Image.open(path) as gif:
            seen = []
            for k in range(gif.n_frames):
                gif.seek(k)
                seen.append(np.asarray(gif.convert("RGB")).mean())
            assert gif.info["loop"] == 0
    else:
        with av.open(str(path)) as container:
            seen = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    np.testing.assert_allclose(seen, [0, 80, 160, 240], atol=6)


def test_animation_in_another_format_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"\.gif or \.mp4"):
        figures.save_animation(tmp_path / "moving.avi", [plain(0)])


def test_there_and_back_repeats_neither_end():
    assert figures.there_and_back([1, 2, 3, 4]) == [1, 2, 3, 4, 3, 2]


def test_curves_draw_every_column_that_has_numbers(tmp_path):
    steps = np.arange(200)
    table = pd.DataFrame({"step": steps, "epoch": steps // 50, "train/au": np.exp(-steps / 60)})
    table["val/au_pcc"] = np.where(steps % 50 == 49, steps / 200, np.nan)
    table["empty"] = np.nan
    table.to_csv(tmp_path / "metrics.csv", index=False)
    path = figures.curves(tmp_path / "metrics.csv", tmp_path / "curves.png", "generated faces")
    two = Image.open(path)
    table.drop(columns="val/au_pcc").to_csv(tmp_path / "metrics.csv", index=False)
    one = Image.open(figures.curves(tmp_path / "metrics.csv", tmp_path / "one.png"))
    assert two.width == 2 * one.width
    assert np.asarray(two.convert("L")).min() < 200


def test_curves_without_a_log_or_numbers_say_so(tmp_path):
    with pytest.raises(UserError, match="looked for the run's log"):
        figures.curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    (tmp_path / "metrics.csv").write_text("step,epoch\n1,0\n")
    with pytest.raises(UserError, match="no column of numbers"):
        figures.curves(tmp_path / "metrics.csv", tmp_path / "curves.png")


def test_generated_faces_say_so():
    assert figures.provenance("ict") == "generated faces (ict head)"
    assert figures.provenance("ict + photographs") == "generated faces (ict head) and photographs"
    assert figures.provenance(None) == ""


def test_attention_is_red_where_it_is_high():
    high = np.zeros((1, 2, 2))
    high[..., 1] = 1
    picture = figures.attention(np.full((1, 32, 32, 3), 128, np.uint8), [high], ["face"])
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    rows, columns = np.nonzero(red > blue + 100)
    others = np.nonzero(blue > red + 100)
    assert len(rows) and len(others[0]) and columns.min() > others[1].max() - 8
