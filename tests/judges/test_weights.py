import json

import pytest

from facegan.config import UserError
from facegan.judges import AUJudge, LightCNNJudge


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
