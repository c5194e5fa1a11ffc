"""CelebA's tree, read back by its own data module."""

import cv2
import numpy as np
import pytest

from datamodules.celeba import CelebA, CelebAConfig
from datamodules.generated.portraits import CELEBA_LAYOUT
from facegan.config import UserError


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    return CELEBA_LAYOUT.write(
        tmp_path_factory.mktemp("celeba"), people=10, pictures=3, workers=1, defects=True
    )


def module(root, **options) -> CelebA:
    options = {"landmarks": "openface", "image_size": 32, "prepare_workers": 1} | options
    return CelebA(CelebAConfig(root=str(root), **options))


def test_it_is_read_as_it_was_written(celeba):
    data = module(celeba)
    found = data.find()
    assert found.generated == "procedural"
    assert [reason for _, reason in found.left_out] == ["not in identity_CelebA.txt"]
    assert found.notes == ["1 pictures are listed in identity_CelebA.txt, but not there"]
    assert len(found.records) == 29 and len(found.records.people()) == 10 and found.records.has_au.all()
    split = data.split(found.records)
    assert [len(rows) for rows in (split.train, split.val, split.test)] == [23, 3, 3]
    assert data.prepare(progress=False).kept == 28  # one picture is cut off in the middle


def test_the_eyes_are_where_the_lists_say(celeba):
    lines = (celeba / "Anno" / "list_landmarks_align_celeba.txt").read_text().splitlines()
    assert int(lines[0]) == 30 and lines[1].split()[0] == "lefteye_x" and len(lines[2].split()) == 11
    points = np.array([line.split()[1:] for line in lines[2:]], int)
    assert np.abs(points[:, :4] - [69, 112, 108, 112]).max() <= 1
    image = cv2.imread(str(celeba / "Img" / "img_align_celeba" / "000001.jpg"))
    assert image.shape == (218, 178, 3)
    assert (celeba / "Anno" / "list_bbox_celeba.txt").read_text().splitlines()[2].split()[1:] == ["0"] * 4


def test_attributes_follow_the_face(celeba):
    lines = (celeba / "Anno" / "list_attr_celeba.txt").read_text().splitlines()
    names = lines[1].split()
    values = np.array([line.split()[1:] for line in lines[2:]], int)
    assert len(names) == 40 and set(np.unique(values)) == {-1, 1}
    found = module(celeba).find().records
    rows = np.array([int(found.path(k)[-10:-4]) - 1 for k in range(len(found))])
    smiling = values[rows, names.index("Smiling")] == 1
    assert smiling.any() and found.au[smiling, 8].min() > 1 >= found.au[~smiling, 8].max()


def test_frontal_ones_look_ahead(celeba):
    records = module(celeba).find().records
    frontal = module(celeba, frontal=0.1).find().records
    assert 0 < len(frontal) < len(records)
    assert np.abs(frontal.pose[:, 1]).max() < np.radians(15)
    assert np.abs(frontal.pose[:, 1]).mean() < 0.6 * np.abs(records.pose[:, 1]).mean()


@pytest.mark.parametrize("layout", ["flat", "kaggle"])
def test_other_layouts(tmp_path, layout):
    CELEBA_LAYOUT.write(tmp_path, people=2, pictures=2, layout=layout, workers=1)
    found = module(tmp_path).find()
    assert len(found.records) == 4
    assert len(found.records.people()) == (4 if layout == "kaggle" else 2)


def test_unknown_layout(tmp_path):
    with pytest.raises(UserError, match="official, flat, kaggle"):
        CELEBA_LAYOUT.write(tmp_path, people=1, layout="zip")
