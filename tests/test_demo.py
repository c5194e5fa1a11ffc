"""The page of a run: what its controls call, and the page itself in headless Chromium."""

import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import demo, editing, experiment
from facegan.config import UserError
from facegan.faces import AU_NAMES, prototype
from facegan.runs import Run, find_run
from tests.test_experiment import TINY

pytest.importorskip("dlib")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return FOLDER_LAYOUT.write(
        tmp_path_factory.mktemp("faces"), people=4, pictures=3, size=160, workers=1, light_spread=0.0
    )


@pytest.fixture(scope="module")
def run(people, tmp_path_factory) -> Run:
    home = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
        options = [
            *TINY,
            f"data.roots=[{people}]",
            "evaluate_after=false",
            "method.epochs=1",
            "data.batch_size=2",
        ]
        return experiment.train(experiment.load_config("eggan_rafd", options))


@pytest.fixture(scope="module")
def picture(people) -> str:
    return str(people / "p000001" / "000001.jpg")


def test_the_sliders_start_at_what_the_method_sees_and_move_the_face(run, picture):
    editor = editing.load(run)
    subject, values = demo.take(editor, picture)
    face = editor.cut(picture)
    np.testing.assert_allclose(values, editor.estimate_aus(face.image[None])[0], atol=0.006)
    smile = demo.draw(editor, subject, False, prototype("happiness").tolist())
    expected = editor.edit(face.image[None], torch.from_numpy(prototype("happiness"))[None])
    np.testing.assert_array_equal(smile, editing.to_uint8(expected)[0])
    whole = demo.draw(editor, subject, True, prototype("happiness").tolist())
    assert whole.shape == (160, 160, 3) and not np.array_equal(whole, cv2.imread(picture)[..., ::-1])


def test_without_a_picture_nothing_is_drawn(run):
    editor = editing.load(run)
    subject, values = demo.take(editor, None)
    assert subject is None and values == [0.0] * len(AU_NAMES)
    assert demo.draw(editor, subject, False, values) is None


def test_what_goes_wrong_is_told_on_the_page_without_a_trace(run, tmp_path):
    """And as text: a file's name is nobody's HTML."""
    (tmp_path / "<b>.png").write_text("no picture")
    with pytest.raises(UserError):
        demo.take(editing.load(run), str(tmp_path / "<b>.png"))
    told = demo._telling(lambda path: demo.take(editing.load(run), path))
    with pytest.raises(demo.gr.Error, match="&lt;b&gt;") as error:
        told(str(tmp_path / "<b>.png"))
    assert not error.value.print_exception
    assert error.value.message.startswith("&lt;b&gt;.png: "), (
        "as the user knows it, not where gradio has put it"
    )


def test_a_slider_s_number_may_be_deleted_and_a_wrong_one_is_told():
    slider = demo._slider(0, 5, 0.05, "AU12 lip corner puller", "AU12")
    assert slider.preprocess(None) == 0 and slider.preprocess(3) == 3
    with pytest.raises(
        demo.gr.Error, match="AU12 lip corner puller: 99 does not lie between 0 and 5"
    ) as error:
        slider.preprocess(99)
    assert not error.value.print_exception


def test_a_port_that_is_none_is_refused():
    with pytest.raises(UserError, match="--port=99999"):
        demo.serve("eggan-generated", port=99999)


def test_a_page_shows_what_the_method_can_do(run, monkeypatch):
    labels = {block.label for block in demo.page(str(run.folder)).blocks.values() if hasattr(block, "label")}
    assert "AU12 lip corner puller" in labels and "yaw, radians" not in labels

    packed = find_run("eggan-generated")
    heading = demo._heading(packed, "last")
    assert heading.startswith("# eggan-generated\n") and "It knows generated faces only" in heading
    assert demo._heading(run, "last").startswith("# eggan_rafd\n")

    class Turning:
        """An editor of a method that turns heads."""

        module = type("Module", (), {"animate": None})()
        reach = (0.7, 0.7, 0.2)

    with demo.gr.Blocks() as blocks:
        demo._slider_page(Turning(), True, lambda *_: "")  # type: ignore[arg-type]
    labels = {block.label for block in blocks.blocks.values() if hasattr(block, "label")}
    assert {"AU12 lip corner puller", "yaw, radians", "A driving film"} <= labels
    ends = {block.label: block.maximum for block in blocks.blocks.values() if hasattr(block, "maximum")}
    assert ends["yaw, radians"] == 0.5 and ends["roll, radians"] == 0.2, "as far as the network goes"
    with demo.gr.Blocks() as blocks:
        demo._transfer_page(Turning())  # type: ignore[arg-type]
    labels = {block.label for block in blocks.blocks.values() if hasattr(block, "label")}
    assert {"The expression of", "The face of"} <= labels and "AU12 lip corner puller" not in labels


class Turner:
    """Paints what it is asked for: red the yaw, green AU12; of any face it says that it looks far to the left."""

    module = type("Module", (), {"animate": None})()
    reach = (0.7, 0.4, 0.2)

    def cut(self, path):
        return editing.Face(np.zeros((1, 1, 3), np.uint8), np.eye(2, 3), torch.zeros(3, 8, 8))

    def estimate(self, images):
        return torch.tensor([[0.1, -0.6, 0.0]]), torch.full((1, 17), 1.5)

    def neutralise(self, images):
        return images - 0.5

    def animate(self, neutral, pose, au):
        painted = neutral.clone()
        painted[:, 0], painted[:, 1] = pose[0, 1], au[0, AU_NAMES.index("AU12")] / 5
        return painted


def test_sliders_of_a_method_that_turns_heads_begin_at_the_face_and_turn_it():
    subject, values = demo.take(Turner(), "face.jpg")  # type: ignore[arg-type]
    assert values[:3] == [0.1, -0.4, 0.0] and values[3:] == [1.5] * 17, "no further than the slider goes"
    moved = [0.0, 0.25, 0.0, *[0.0] * 17]
    moved[3 + AU_NAMES.index("AU12")] = 5.0
    (red, green, blue) = demo.draw(Turner(), subject, False, moved)[0, 0]  # type: ignore[arg-type, index]
    assert abs(red - 127.5 * 1.25) < 1 and green == 255 and abs(blue - 127.5 * 0.5) < 1


def test_the_page_s_film_and_csv_move_the_face(tmp_path):
    asked = []

    def reenact(source, out, **options):
        asked.append((source, options))
        return out

    with demo.gr.Blocks() as blocks:
        demo._slider_page(Turner(), True, reenact)  # type: ignore[arg-type]
    driven = [*blocks.fns.values()][-1].fn  # of the button below the film
    subject, _ = demo.take(Turner(), "face.jpg")  # type: ignore[arg-type]
    driven(subject, "film.mp4", "film.csv")
    assert asked == [("face.jpg", {"driving": "film.mp4", "driving_csv": "film.csv", "progress": False})]
    with pytest.raises(demo.gr.Error, match="a face and a driving film first"):
        driven(None, "film.mp4", None)


def test_transfer_answers_as_soon_as_both_pictures_are_there(picture):
    class Half:
        """Gives the mean of both faces, and recognises its brightness."""

        expressions = ("dark", "bright")

        def cut(self, path):
            pixels = torch.from_numpy(cv2.imread(path)).permute(2, 0, 1) / 127.5 - 1
            return editing.Face(np.zeros((1, 1, 3), np.uint8), np.eye(2, 3), pixels)

        def transfer(self, source, target):
            return (source + target) / 2

        def recognise(self, images):
            bright = (images.mean((1, 2, 3)) + 1) / 2
            return torch.stack([1 - bright, bright], 1)

    assert demo.transfer(Half(), picture, None)[0] is None  # type: ignore[arg-type]
    result, first, second, seen = demo.transfer(Half(), picture, picture)  # type: ignore[arg-type]
    np.testing.assert_array_equal(result, cv2.imread(picture))
    assert (
        first == second
        and seen["bright"] == pytest.approx(first["bright"])
        and sum(seen.values()) == pytest.approx(1)
    )


@pytest.fixture
def browser():
    if shutil.which("chromedriver") is None or shutil.which("chromium") is None:
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-sync", "--disable-background-networking", "--disable-component-update",
                 "--window-size=1400,1300"):  # fmt: skip
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_in_a_browser_a_slider_changes_the_picture_and_a_text_is_refused(
    run, picture, browser, tmp_path, monkeypatch
):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    blocks = demo.page(str(run.folder))
    url = demo.show(blocks, prevent_thread_lock=True, quiet=True)
    assert url.startswith("http://127.0.0.1:")

    def wait(what):
        for _ in range(300):
            if found := what():
                return found
            time.sleep(0.1)
        browser.save_screenshot(str(tmp_path / "page.png"))
        raise AssertionError(f"the page never came to it; see {tmp_path / 'page.png'}")

    def shown():
        images = browser.find_elements(By.CSS_SELECTOR, "#result img")
        return images and images[0].get_attribute("src")

    def upload(path):
        wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#source input[type=file]"))[0].send_keys(
            str(path)
        )

    def toasts():
        return " ".join(toast.text for toast in browser.find_elements(By.CSS_SELECTOR, ".toast-body"))

    try:
        browser.get(url)
        for name in ("notes.txt", "notes.png"):  # the browser sees through the first, we through the second
            (tmp_path / name).write_text("these are words")
            upload(tmp_path / name)
            said = wait(lambda name=name: name in toasts() and toasts())
            assert "Traceback" not in said and not shown()
        upload(picture)
        first = wait(shown)
        slider = browser.find_element(By.CSS_SELECTOR, "#AU12 input[type=range]")
        slider.send_keys(*[Keys.ARROW_RIGHT] * 20)
        assert wait(lambda: shown() != first and shown())
    finally:
        blocks.close()
