import importlib.metadata
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from faces_on_disk import landmarks

from datamodules.preparation.landmarks import (
    FaceAlignmentLandmarks,
    find_several,
    finder_version,
    landmark_finder,
)
from datamodules.preparation.pictures import UnreadablePicture, read_picture
from facegan.config import UserError

NONE = np.full((68, 2), np.nan, np.float32)
BLACK = np.zeros((100, 100, 3), np.uint8)


def test_the_version_is_part_of_the_name():
    assert finder_version("openface") == "openface"
    assert finder_version("face_alignment").split() == [
        "face_alignment",
        importlib.metadata.version("face-alignment"),
    ]
    with pytest.raises(UserError, match="dlib, face_alignment, openface"):
        finder_version("mtcnn")


def test_openface_gives_what_the_csv_says_or_a_reason():
    finder = landmark_finder("openface")
    known = landmarks().astype(np.float32)
    np.testing.assert_array_equal(finder(BLACK, known), known)
    with pytest.raises(UnreadablePicture, match="CSV"):
        finder(BLACK, NONE)


def test_dlib_says_when_there_is_no_face():
    pytest.importorskip("dlib")
    finder = landmark_finder("dlib")
    for image in (BLACK, np.zeros((1, 1, 3), np.uint8)):
        with pytest.raises(UnreadablePicture, match=r"no face|too small"):
            finder(image, NONE)


def test_dlib_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UserError, match="pip install dlib-bin"):
        landmark_finder("dlib")


def fake_face_alignment(faces=(), error=None, most=100):
    """The library with a detector that finds ``faces`` (landmarks) in pictures that are not black."""

    class Detector:
        def detect_from_batch(self, batch):
            assert batch.shape[1] == 3, "channels first"
            assert batch.shape[2] % 64 == batch.shape[3] % 64 == 0, "sizes that many pictures share"
            if len(batch) > most:
                raise RuntimeError("out of memory")
            around = [np.array([*face.min(0), *face.max(0), 0.9]) for face in faces]
            return [around if image[:, :90, :90].numpy().max() else [] for image in batch]

    class FaceAlignment:
        face_detector = Detector()

        def __init__(self, kind, device, flip_input):
            assert (kind, device, flip_input) == ("2d", "cpu", False)
            if error:
                raise error

        def get_landmarks_from_image(self, image, detected_faces):
            """What stands at the box's corner marks the picture; all around it must be black."""
            found = []
            for box in detected_faces:
                left, top, right, bottom = box[:4].astype(int)
                reach = image[top - 40 : bottom + 40, left - 40 : right + 40]
                assert reach.shape[:2] == (bottom - top + 80, right - left + 80) and set(
                    np.unique(reach)
                ) <= {0, image[top, left, 0]}
                face = next(face for face in faces if np.allclose(np.ptp(face, 0), box[2:4] - box[:2]))
                found.append(face - face.min(0) + box[:2] + image[top, left, 0] / 1000)
            return found

    return types.SimpleNamespace(FaceAlignment=FaceAlignment, LandmarksType=types.SimpleNamespace(TWO_D="2d"))


def test_face_alignment_takes_the_largest_face(monkeypatch):
    small, large = landmarks(50), landmarks(90)
    monkeypatch.setitem(sys.modules, "face_alignment", fake_face_alignment([small, large]))
    np.testing.assert_allclose(landmark_finder("face_alignment")(BLACK + 1, NONE), large, atol=2e-3)


def test_face_alignment_says_when_there_is_no_face(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", fake_face_alignment([landmarks(50)]))
    with pytest.raises(UnreadablePicture, match="face-alignment"):
        FaceAlignmentLandmarks()(BLACK, NONE)


@pytest.mark.parametrize("most", [100, 2])  # what the device has room for
@pytest.mark.parametrize("side", [100, 101])
def test_several_pictures_give_what_each_gives_alone_in_any_order_and_size(monkeypatch, most, side):
    monkeypatch.setitem(
        sys.modules, "face_alignment", fake_face_alignment([landmarks(50), landmarks(90)], most=most)
    )
    finder = landmark_finder("face_alignment")
    images = [BLACK + 1, BLACK, BLACK + 7, np.full((side, side, 3), 3, np.uint8)]
    found = find_several(finder, images, [NONE] * 4)
    assert isinstance(found[1], UnreadablePicture)
    for k in (0, 2, 3):
        np.testing.assert_array_equal(found[k], finder(images[k], NONE))


def test_a_picture_that_a_library_chokes_on_is_left_out_with_its_reason():
    def choking(image, known):
        if image.max() == 2:
            raise ZeroDivisionError("a strange picture")
        return known

    known = landmarks().astype(np.float32)
    found = find_several(choking, [BLACK, BLACK + 2], [known, known])
    np.testing.assert_array_equal(found[0], known)
    assert str(found[1]) == "ZeroDivisionError: a strange picture"


def test_face_alignment_without_network_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", fake_face_alignment(error=OSError("no route")))
    with pytest.raises(UserError, match=r"data\.landmarks=dlib"):
        FaceAlignmentLandmarks()


@pytest.mark.skipif("FACEGAN_REAL_DATA" not in os.environ, reason="FACEGAN_REAL_DATA is not set")
def test_dlib_on_photographs_agrees_with_openface():
    pytest.importorskip("dlib")
    from datamodules.preparation.openface import read_openface
    from datamodules.preparation.pictures import read_frames

    clip = Path(os.environ["FACEGAN_REAL_DATA"]) / "clip"
    table = read_openface(clip / "00116.csv")
    finder = landmark_finder("dlib")
    for number, image in read_frames(clip / "00116.mp4", np.array([0, 200, 400])):
        difference = np.linalg.norm(finder(image, NONE) - table.landmarks[number], axis=1)
        assert np.median(difference) < 5  # of 224 pixels
    assert read_picture(clip / "source.png").shape == (128, 128, 3)
