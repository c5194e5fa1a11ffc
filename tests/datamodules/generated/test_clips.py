"""The trees of video data sets, read back by their own data modules."""

import av
import numpy as np
import pytest

from datamodules.generated.clips import MMI_LAYOUT, VOXCELEB_LAYOUT
from datamodules.mmi import MMI, MMIConfig
from datamodules.voxceleb import VoxCeleb, VoxCelebConfig
from facegan.config import UserError
from facegan.faces import AUS, EXPRESSIONS


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated_voxceleb")
    return VOXCELEB_LAYOUT.write(root, people=5, frames=5, workers=1, defects=True)


def voxceleb(root, **options) -> VoxCeleb:
    options = {"landmarks": "openface", "image_size": 32, "prepare_workers": 1} | options
    return VoxCeleb(VoxCelebConfig(root=str(root), **options))


def test_tracks_are_read_as_they_were_written(tracks, tmp_path):
    found = voxceleb(tracks).find()
    assert found.generated == "procedural"
    assert [reason for _, reason in found.left_out] == ["too few frames"]
    records = found.records
    assert len(records) == 19 * 5 and len(records.people()) == 5 and records.has_au.all()
    assert "Ada_0001_Jr" in records.people()
    data = voxceleb(tracks, store=str(tmp_path / "store"))
    prepared = data.prepare(progress=False)
    assert prepared.kept == 19 * 5 - 1  # one picture is cut off in the middle
    data.setup()
    batch = next(iter(data.train_dataloader()))
    tracks_of = data.train.store.records.codes("sequence")
    assert (tracks_of[batch["source_index"]] == tracks_of[batch["target_index"]]).all()
    assert (batch["source_index"] != batch["target_index"]).all()


def test_a_track_turns_its_head_and_moves_its_face(tracks):
    records = voxceleb(tracks).find().records
    by_track = records.codes("sequence")
    spans = [np.ptp(records.pose[by_track == code, 1]) for code in np.unique(by_track)]
    assert np.median(spans) > np.radians(8)
    assert np.median([np.ptp(records.au[by_track == code], axis=0).max() for code in np.unique(by_track)]) > 1


def test_the_official_split_is_by_the_meta_table(tracks):
    data = voxceleb(tracks, split="official")
    records = data.find().records
    split = data.split(records)
    assert records.select(split.test).people() == ["Eve_0005"]
    assert len(records.select(split.train).people()) == 4


def test_one_frame_a_second_has_no_folders_of_tracks(tmp_path):
    root = VOXCELEB_LAYOUT.write(tmp_path, people=1, videos=1, frames=4, kind="1fps", workers=1)
    records = voxceleb(root).find().records
    assert len(records) == 8 and len(records.names("sequence")) == 2 and records.has_au.all()
    assert records.path(0).endswith(".jpg") and len(records.path(0).rsplit("/")[-1]) == 11


def test_more_people_than_voxceleb_has(tmp_path):
    with pytest.raises(UserError, match="VoxCeleb has 1251 people, not 1252"):
        VOXCELEB_LAYOUT.write(tmp_path, people=1252)


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
