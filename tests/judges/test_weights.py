import json

import pytest

from facegan.config import UserError
from facegan.judges import AUJudge, LightCNNJudge
from facegan.judges.weights import weights_note, worth


def test_missing_or_changed_weights_say_what_to_type(au_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"judge_au\.safetensors.*facegan train judge_au"):
        AUJudge()
    with pytest.raises(UserError, match="facegan train judge_identity"):
        LightCNNJudge()
    about = json.loads(au_weights.with_suffix(".json").read_text())
    about["sha256"] = "0" * 64
    au_weights.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="SHA-256 differs"):
        AUJudge(au_weights)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"pcc_mean": 0.9, "people": 100}, "PCC 0.90 on pictures of 100 others"),
        ({"pcc_mean": 0.67, "people": 20}, "PCC 0.67 on pictures of 20 others, a weak judge"),
        ({"accuracy": 0.79, "balanced_accuracy": 0.96}, "balanced accuracy 0.96 on pictures of others"),
        ({"accuracy": 0.79, "people": 8}, "accuracy 0.79 on pictures of 8 others, a weak judge"),
        ({}, "its accuracy was never measured, a weak judge"),
    ],
)
def test_a_description_says_what_the_judge_is_worth(measured, words):
    about = {"trained_on": "pictures", "sha256": "0123456789abcdef", "measured": measured}
    assert worth(about) == words
    assert weights_note(about) == f"trained here on pictures; {words}; sha256 0123456789ab"
