"""What ICface's figures ask the network for, and that they show what it gave."""

import numpy as np
import torch
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
    drawn.draw(perfect, None, data(), tmp_path, QUICK)
    assert {path.name for path in tmp_path.iterdir()} == {
        "grid.png",
        "apart.png",
        "views.png",
        "expressions.png",
    }
    drawn.draw(perfect, lambda x: x, data(), tmp_path, QUICK)
    assert (tmp_path / "neutral.png").is_file()
