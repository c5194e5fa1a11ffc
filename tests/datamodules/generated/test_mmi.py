"""MMI's tree, read back by its own data module."""

import av
import numpy as np
import pytest

from datamodules.generated.mmi import MMI_LAYOUT
from datamodules.mmi import MMI, MMIConfig
from facegan.config import UserError
from facegan.faces import AUS, EXPRESSIONS


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated_mmi")
    return MMI_LAYOUT.write(root, people=2, frames=(15, 15), workers=1, defects=True)


def mmi(root, **options) -> MMI:
    options = {"landmarks": "openface", "image_size": 32, "folds": 2, "prepare_workers": 1} | options
    return MMI(MMIConfig(root=str(root), **options))


def test_clips_are_read_as_they_were_written(clips):
    found = mmi(clips).find()
    assert found.records.people() == ["S001", "S002"]
    assert sorted(reason for _, reason in found.left_out) == ["dual view"] * 2 + ["no emotion of the six"] * 4
    labels, strength = found.records.numbers("expression"), found.records.au.sum(1)
    assert len(found.records) == 2 * 6 * 4
    neutral = labels == EXPRESSIONS.index("neutral")
    assert (strength[neutral] < 0.2).all() and (strength[~neutral] > 2).all()
    happy = labels == EXPRESSIONS.index("happiness")
    assert (found.records.au[happy][:, [AUS.index(6), AUS.index(12)]] > 1).all()


def test_most_clips_lie_on_their_side(clips):
    records = mmi(clips).find().records
    shapes = {}
    for row in range(len(records)):
        with av.open(records.path(row)) as container:
            shapes[records.path(row)] = container.streams.video[0].codec_context.width
    assert sorted(shapes.values()) == [256] * 2 + [320] * 10


def test_a_clip_that_is_cut_off_has_the_frames_that_are_left(clips):
    records = mmi(clips, frames="all").find().records
    frames = np.bincount(records.codes("sequence"))
    assert len(frames) == 16 and sorted(set(frames))[-1] == 15 and 8 <= frames.min() < 15


def test_the_faces_come_out_upright(clips, tmp_path):
    data = mmi(clips, store=str(tmp_path / "store"), image_size=64)
    assert data.prepare(progress=False).kept >= 47
    data.setup()
    # an upright face is its own mirror image from side to side, one that lies is so from top to bottom
    face = data.train.batch(np.arange(len(data.train.au)))["image"].numpy().mean((0, 1))
    likeness = [np.corrcoef(face.ravel(), np.flip(face, axis).ravel())[0, 1] for axis in (0, 1)]
    assert likeness[1] > 0.9 and likeness[1] > likeness[0] + 0.05


def test_both_halves_of_a_dual_view(clips):
    records = mmi(clips, sides=["dual"]).find().records
    assert sorted(set(records.names("view"))) == ["left", "right"]
    # the CSV's one face may be in either half: it is given to neither
    assert not records.has_au.any() and not np.isfinite(records.landmarks).any()
    sequences = records.names("sequence")
    assert len(sequences) == 4 and all(name.endswith(("/left", "/right")) for name in sequences)


def test_more_people_than_mmi_has(tmp_path):
    with pytest.raises(UserError, match="MMI has 75 people, not 76"):
        MMI_LAYOUT.write(tmp_path, people=76)
