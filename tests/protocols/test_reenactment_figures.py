"""What ICface's figures ask the network for, and that they show what it gave."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image
from test_reenactment import QUICK, data, perfect

from facegan.faces import EXPRESSIONS, prototype
from facegan.protocols import reenactment_figures as drawn
from facegan.protocols.common import choose_sources


class Noting:
    """A reenactment that keeps what it was asked for, and paints a level that grows from call to call."""

    def __init__(self):
        self.asked = []

    def __call__(self, images, pose, au):
        self.asked.append((images, pose, au))
        return torch.full_like(images, -1 + 0.2 * len(self.asked))


def test_pose_and_expression_are_taken_from_two_drivers(tmp_path):
    faces, note = data(), Noting()
    drawn.apart_figure(note, faces, tmp_path / "apart.png", QUICK)
    (_, pose, own_au), (_, own_pose, au), (_, both_pose, both_au) = note.asked
    source = faces.test.batch(choose_sources(faces.test)[: QUICK.rows])
    assert torch.equal(own_pose, source["pose"]) and torch.equal(own_au, torch.nan_to_num(source["au"]))
    assert torch.equal(both_pose, pose) and torch.equal(both_au, au)
    assert not torch.equal(pose, own_pose) and not torch.equal(au, own_au)
    with Image.open(tmp_path / "apart.png") as sheet:
        width = sheet.width
        levels = [sheet.convert("L").getpixel((width - 50 - 98 * k, 60)) for k in range(3)]
    assert levels[0] > levels[1] > levels[2], "a column for each"


def test_views_turn_one_angle_at_a_time_with_the_face_at_rest(tmp_path):
    note = Noting()
    drawn.views_figure(note, data(), tmp_path / "views.png", QUICK)
    for k, (images, pose, au) in enumerate(note.asked):
        assert torch.equal(images[0], images[-1]) and not au.any()
        moved = pose.abs().amax(0) > 0
        assert moved.sum() == 1 and moved[k % 3] and pose.max() == 0.5 == -pose.min()


def test_views_end_where_the_network_does(tmp_path):
    note = Noting()
    drawn.views_figure(note, data(), tmp_path / "views.png", QUICK, [0.7, 0.4, 0.2])
    for (_, pose, _), far in zip(note.asked, [0.5, 0.4, 0.2], strict=False):
        assert pose.max().item() == pytest.approx(far) == -pose.min().item()


@pytest.fixture
def lines(monkeypatch):
    """The curves that are drawn: title of the panel, label, x, y."""
    found, plot = [], Axes.plot

    def noted(self, x, y, **options):
        found.append((self, options["label"], list(x), list(y)))
        return plot(self, x, y, **options)

    monkeypatch.setattr(Axes, "plot", noted)
    return lambda: [(panel.get_title(), *rest) for panel, *rest in found]


def test_errors_are_drawn_by_angle_au_and_turn(tmp_path, lines):
    asked = np.radians(np.linspace(-20, 20, 14))[:, None] * np.ones(3)
    errors = torch.arange(14.0)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    rows = {"ours": {"presence": {"balanced": [0.5] * 16 + [None]}}}
    turned = {"dlib": [{"from": 0, "to": 10, "pairs": 3, "accepted": 0.25}]}
    result = {"rows": rows, "turned": turned}
    drawn.errors_figure(errors, asked, result, tmp_path / "errors.png", "made up")
    found = {(title, label): (x, y) for title, label, x, y in lines()}
    for k, name in enumerate(("pitch", "yaw", "roll")):
        x, y = found["Error of the head's angles", name]
        np.testing.assert_allclose(y, (k + 1) * np.arange(0.5, 14, 2))
        assert x[0] < -15 and x[-1] > 15
    assert found["Presence of each AU, balanced accuracy, %", "ours"][1][:16] == [50.0] * 16
    assert found["Same person, %", "dlib"] == (["0 to 10"], [25.0])


def test_errors_of_aus_are_drawn_by_the_intensity_asked_for(tmp_path, lines):
    asked = np.zeros((6, 17))
    asked[:, 8] = [0, 0, 1.5, 1.5, 4.5, 4.5]
    read = asked.copy()
    read[:, 8] = [0.5, 0.7, 1.0, 1.0, 2.5, np.nan]
    drawn.aus_figure({"ours": read}, asked, tmp_path / "aus.png", "made up")
    found = {title: (x, y) for title, _, x, y in lines()}
    assert len(found) == 17 and (tmp_path / "aus.png").stat().st_size
    np.testing.assert_allclose(found["AU12"], ([0, 1.5, 4.5], [0.6, 0.5, 2.0]))


def test_expressions_are_the_eight_with_the_head_where_it_is(tmp_path):
    faces, note = data(), Noting()
    drawn.expressions_figure(note, faces, tmp_path / "expressions.png", QUICK)
    source = faces.test.batch(choose_sources(faces.test, strong=True)[: QUICK.rows])
    for name, (images, pose, au) in zip(EXPRESSIONS, note.asked, strict=True):
        assert torch.equal(images, source["image"]) and torch.equal(pose, source["pose"])
        assert np.allclose(au[0], prototype(name))


def test_neutral_faces_are_of_expressions_and_of_heads_that_look_away(tmp_path):
    faces, seen = data(), []
    drawn.neutral_figure(lambda x: seen.append(x) or x, faces, tmp_path / "neutral.png", QUICK)
    strong = choose_sources(faces.test, strong=True)[: QUICK.rows]
    assert torch.equal(seen[0], faces.test.batch(strong)["image"])
    pose, identity = faces.test.records.pose, np.asarray(faces.test.identity)
    away = np.abs(pose[:, :2]).sum(1)
    furthest = [np.flatnonzero(identity == p)[away[identity == p].argmax()] for p in identity[strong]]
    assert torch.equal(seen[1], faces.test.batch(np.array(furthest))["image"])


def test_all_are_drawn_and_no_neutral_face_without_a_neutraliser(tmp_path):
    reach = [0.5] * 3
    drawn.draw(perfect, None, data(), tmp_path, QUICK, reach)
    assert {path.name for path in tmp_path.iterdir()} == {
        "grid.png",
        "apart.png",
        "views.png",
        "expressions.png",
    }
    drawn.draw(perfect, lambda x: x, data(), tmp_path, QUICK, reach)
    assert (tmp_path / "neutral.png").is_file()
