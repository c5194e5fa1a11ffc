"""Judges see the crop that they have learnt, whatever the method works on."""

import numpy as np
import torch

from datamodules.preparation.alignment import TEMPLATE
from facegan.faces import EYE_LEFT, EYE_RIGHT
from facegan.judges import as_judged


def tilted() -> tuple[torch.Tensor, torch.Tensor]:
    """A white right eye, a black left one and a red mouth on grey, turned and small; and the landmarks."""
    images, points = torch.zeros(2, 3, 64, 64), torch.full((2, 68, 2), 32.0)
    places = {"right": (24.0, 26.0), "left": (38.0, 32.0), "mouth": (24.7, 43.7)}
    for name, where in (("right", EYE_RIGHT), ("left", EYE_LEFT), ("mouth", slice(48, 60))):
        points[0, where] = torch.tensor(places[name])
    for name, colour in (("right", (1, 1, 1)), ("left", (-1, -1, -1)), ("mouth", (1, -1, -1))):
        x, y = (int(v) for v in places[name])
        images[0, :, y - 2 : y + 3, x - 2 : x + 3] = torch.tensor(colour, dtype=torch.float32)[:, None, None]
    points[1] = torch.nan
    return images, points


def test_of_a_box_the_face_comes_upright_to_the_places_that_judges_know():
    images, points = tilted()
    cut, moved = as_judged(images, points, "box")
    assert cut.shape == (2, 3, 128, 128)
    for where, colour, share in zip((EYE_RIGHT, EYE_LEFT), (1.0, -1.0), TEMPLATE, strict=False):
        x, y = moved[0, where].mean(0)
        assert np.hypot(x - share[0] * 128, y - share[1] * 128) < 1, "where the template has it"
        assert (cut[0, :, int(y.round()), int(x.round())] - colour).abs().max() < 0.1, (
            "and the pixels went along"
        )
    level = moved[0, EYE_RIGHT].mean(0)[1] - moved[0, EYE_LEFT].mean(0)[1]
    assert abs(level) < 0.5, "upright"


def test_where_no_face_is_found_the_picture_is_enlarged_as_it_is():
    images, points = tilted()
    images[1] = torch.linspace(-1, 1, 64).expand(3, 64, 64)
    cut, moved = as_judged(images, points, "box")
    assert moved[1].isnan().all()
    assert (cut[1, 0, 0, ::2] - images[1, 0, 0]).abs().max() < 0.02


def test_what_comes_as_they_know_it_is_not_touched():
    images, points = tilted()
    cut, moved = as_judged(images, points, "similarity")
    assert cut is images and moved is points
