"""VoxCeleb's trees, read back by its own data module."""

import os

import numpy as np
import pytest

from datamodules.generated.head import HEADS
from datamodules.generated.voxceleb import VOXCELEB_LAYOUT, VoxCelebOptions, talk
from datamodules.voxceleb import VoxCeleb, VoxCelebConfig
from datamodules.voxceleb_tree import read_track
from facegan.config import UserError
from facegan.faces import AUS
from facegan.judges.landmarks import GEOMETRY, geometry

EYES = GEOMETRY.index("eye opening")


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


@pytest.mark.parametrize("head", HEADS)
def test_people_who_talk_blink(head):
    if head == "ict" and "FACEGAN_ASSETS" not in os.environ:
        pytest.skip("FACEGAN_ASSETS is unset: the ict head's folder")
    body = VoxCelebOptions(head=head).body(3)
    shots = [list(talk(body, 15, 64, np.random.default_rng(seed))) for seed in range(4)]
    shut, opening = (
        np.array([[value(picture) for picture in shot] for shot in shots])
        for value in (lambda p: p.au[AUS.index(45)] > 2, lambda p: geometry(p.landmarks)[EYES])
    )
    assert 0.03 < shut.mean() < 0.25
    rest = np.where(shut, np.nan, opening)
    assert np.nanmean(opening[shut]) < 0.5 * np.nanmedian(rest), "and their eyes are shut"


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


def test_clips_by_id_have_their_tracks(tmp_path):
    root = VOXCELEB_LAYOUT.write(tmp_path, people=5, videos=1, tracks=2, frames=3, kind="clips", workers=1)
    data = voxceleb(root, split="official")
    records = data.find().records
    # a clip of 3 pictures at every sixth frame has 13 frames, and every sixth of them is read
    assert len(records) == 5 * 2 * 3 and records.numbers("frame").tolist()[:3] == [0, 6, 12]
    assert len(records.names("sequence")) == 10 and records.has_au.all()
    assert records.select(data.split(records).test).people() == ["id10005"]
    texts = sorted((root / "txt").rglob("*.txt"))
    assert len(texts) == 10 and texts[0].read_text().splitlines()[6] == "FRAME \tX \tY \tW \tH "
    assert [len(read_track(text)) for text in texts] == [13] * 10


def test_cut_clips_have_a_person_in_both_parts(tmp_path):
    options = {"people": 5, "videos": 2, "tracks": 1, "frames": 3, "kind": "cut", "defects": True}
    data = voxceleb(VOXCELEB_LAYOUT.write(tmp_path, workers=1, **options), split="official")
    found = data.find()
    assert found.notes == ["id10282 is in both partitions: data.split=official uses only the training clips"]
    split = data.split(found.records)
    assert found.records.select(split.test).people() == ["id10005"]
    assert not {"id10282"} & set(found.records.select(split.test).people())


def test_a_kind_that_voxceleb_does_not_have(tmp_path):
    with pytest.raises(UserError, match="kind=films is unknown; choose dense, 1fps, clips, cut"):
        VOXCELEB_LAYOUT.write(tmp_path, people=1, kind="films")


def test_more_people_than_voxceleb_has(tmp_path):
    with pytest.raises(UserError, match="VoxCeleb has 1251 people, not 1252"):
        VOXCELEB_LAYOUT.write(tmp_path, people=1252)
