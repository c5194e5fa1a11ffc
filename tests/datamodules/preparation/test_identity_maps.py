import numpy as np
import pytest
from faces_on_disk import draw, landmarks, write_people
from skimage.transform import PiecewiseAffineTransform, warp

from datamodules.folder import Folder, FolderConfig
from datamodules.preparation.identity_maps import NeutralShape, add_identity_maps, landmark_images
from datamodules.store import Store, maps_file
from facegan.config import UserError

SIZE = 96


def test_the_warp_is_scikit_images():
    neutral, moved = landmarks(SIZE), landmarks(SIZE, turn=0.15, shift=(2, -1), mouth=0.04)
    face = draw(moved, (SIZE, SIZE))
    got = NeutralShape(neutral, SIZE).warp(face, moved)
    transform = PiecewiseAffineTransform()
    assert transform.estimate(neutral, moved)
    expected = warp(face, transform, output_shape=(SIZE, SIZE), order=1) * 255
    inside = np.zeros((SIZE, SIZE), bool)
    inside.ravel()[NeutralShape(neutral, SIZE).inside] = True
    difference = np.abs(got.astype(float) - expected)[inside]
    assert inside.mean() > 0.3 and difference.mean() < 0.6 and np.quantile(difference, 0.99) < 4
    assert not got[~inside].any()


def test_the_map_has_no_expression():
    neutral, open_mouth = landmarks(SIZE), landmarks(SIZE, mouth=0.06)
    shape = NeutralShape(neutral, SIZE)
    calm, surprised = (draw(points, (SIZE, SIZE)) for points in (neutral, open_mouth))
    around_the_mouth = (slice(60, 86), slice(30, 66))
    before = np.abs(calm.astype(float) - surprised)[around_the_mouth].mean()
    first, second = shape.warp(calm, neutral), shape.warp(surprised, open_mouth)
    assert (
        np.abs(first.astype(float) - second)[around_the_mouth].mean() < 0.6 * before
    )  # polygons round their corners


@pytest.fixture
def store(tmp_path) -> Store:
    root = write_people(tmp_path / "faces", people=3, pictures=4)
    text = (root / "labels.csv").read_text().replace("p000002,neutral", "p000002,sadness")
    (root / "labels.csv").write_text(text)
    config = FolderConfig(
        root=str(root), landmarks="openface", image_size=48, store=str(tmp_path / "store"), prepare_workers=1
    )
    prepared = Folder(config).prepare(progress=False)
    assert prepared.store is not None
    return prepared.store


def test_maps_of_a_store(store):
    assert add_identity_maps(store) == (8, ["p000002"])
    maps = store.identity_maps("own")
    codes, names = store.records.codes("identity"), store.records.names("identity")
    for row in range(len(store)):
        assert maps[row].any() == (names[codes[row]] != "p000002")
    neutral = store.records.numbers("expression") == 0
    person = np.flatnonzero(codes == codes[0])
    shape = NeutralShape(store.landmarks[person[neutral[person]]].mean(0), 48)
    np.testing.assert_array_equal(
        maps[person[1]], shape.warp(store.images(person[1:2]).numpy()[0], store.landmarks[person[1]])
    )
    # once made they are left alone, unless another appearance is asked for, which has its own file
    before = (store.path / maps_file("own")).stat().st_mtime_ns
    assert add_identity_maps(Store(store.path)) == (8, ["p000002"])
    assert (store.path / maps_file("own")).stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"prepare again with data\.identity_maps=neutral_mean"):
        store.identity_maps("neutral_mean")
    add_identity_maps(Store(store.path), "neutral_mean")
    mean = store.identity_maps("neutral_mean")
    assert (mean[person] == mean[person[0]]).all() and mean[person[0]].any()


def test_nobody_is_neutral(tmp_path, store):
    with pytest.raises(UserError, match=r"data\.identity_maps=best is unknown"):
        add_identity_maps(store, "best")
    root = tmp_path / "faces"
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("neutral", "fear"))
    config = FolderConfig(
        root=str(root), landmarks="openface", image_size=48, store=str(tmp_path / "other"), prepare_workers=1
    )
    other = Folder(config).prepare(progress=False).store
    with pytest.raises(UserError, match="need neutral pictures"):
        add_identity_maps(other)


def test_dots_are_gaussians_at_the_landmarks():
    points = np.array([[[10.0, 20.0], [30.25, 40.5], [-50, 3], [12, 20]]], np.float32)
    picture = landmark_images(points, 64, 1.5)[0, 0]
    y, x = np.mgrid[:64, :64]
    each = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.5**2)) for px, py in points[0]]
    np.testing.assert_allclose(picture, np.max(each, 0), atol=1e-3)
    assert picture.max() == 1 and landmark_images(points, 64).shape == (1, 1, 64, 64)
