import pytest
import torch

from facegan.judges import GEOMETRY, DlibJudge, FaceFinder, Judges, LandmarkGeometry


def test_no_face_is_nan_not_a_guess():
    pytest.importorskip("dlib")
    finder = FaceFinder()
    images = torch.zeros(2, 3, 64, 64)
    images[1, :, ::8, ::8] = 1  # a pattern that fools networks is no face
    assert finder(images).isnan().all()
    assert LandmarkGeometry(finder)(images).isnan().all()
    assert DlibJudge(finder)(images).isnan().all()


def test_missing_lightcnn_leaves_dlib_and_says_so(tmp_path, monkeypatch):
    pytest.importorskip("dlib")
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    judges = Judges()
    assert [judge.name for judge in judges.identity] == ["dlib"]
    assert "facegan train judge_identity" in judges.missing["LightCNN"]


def test_judges_share_one_finder_and_load_when_asked(au_weights, lightcnn_weights):
    pytest.importorskip("dlib")
    judges = Judges(au_path=au_weights, lightcnn_path=lightcnn_weights)
    assert judges.geometry.finder is judges.identity[0].finder is judges.identity[1].finder
    assert [judge.name for judge in judges.identity] == ["LightCNN", "dlib"]
    assert judges.au(torch.zeros(1, 3, 32, 32)).shape == (1, 17)
    assert len(GEOMETRY) == 4
