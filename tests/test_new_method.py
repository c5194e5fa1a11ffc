"""docs/new_method.md, step by step: the example's file, a line in the table, a YAML; then it trains and is judged."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import editing, methods
from facegan.cli import main
from facegan.config import judges_home
from facegan.judges.weights import AU_WEIGHTS, save_judge
from facegan.methods import METHODS
from facegan.nets.au_regressor import AURegressor
from facegan.runs import find_run

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def ganimation(monkeypatch):
    """Step 1: the example as a module of facegan.methods, and its line in the table."""
    name = "facegan.methods.ganimation"
    spec = importlib.util.spec_from_file_location(name, DOCS / "examples" / "ganimation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    line = re.search(r'"ganimation": \(.*\)', (DOCS / "new_method.md").read_text())
    assert line is not None
    monkeypatch.setitem(methods.METHODS, "ganimation", eval(f"{{{line[0]}}}", vars(module))["ganimation"])
    return module


def test_the_three_steps(ganimation, tmp_path, capsys):
    page = (DOCS / "new_method.md").read_text()
    step2 = re.search(r"# experiments/(\w+\.yaml).*?\n(.*?)```", page, re.DOTALL)
    assert step2 is not None
    yaml = tmp_path / step2[1]
    yaml.write_text("\n".join(line.strip() for line in step2[2].splitlines()))
    faces = {"size": 64, "workers": 1}
    people = FOLDER_LAYOUT.write(tmp_path / "people", people=6, pictures=6, **faces)
    others = FOLDER_LAYOUT.write(tmp_path / "others", people=2, pictures=6, first_person=500_000, **faces)
    judge = {"architecture": "AURegressor", "channels": [4, 4, 4, 4], "trained_on": "nothing"}
    save_judge(judges_home() / AU_WEIGHTS, AURegressor([4, 4, 4, 4]), judge)
    main([
        "train", str(yaml), "method.epochs=1", "method.width=4", "method.critic_width=4", "data.image_size=32",
        "data.batch_size=4", f"data.roots=[{people}]", f"data.test_roots=[{others}]", "generate=[]", "judge=null",
        "trainer.max_batches=2", "trainer.limit_val_batches=1", "trainer.validate_every=1", "trainer.progress=false",
        "log.wandb=disabled", "targets=4",
    ])  # fmt: skip
    said = capsys.readouterr()
    assert "table1.md" in said.out, said.err
    run = find_run("ganimation_demo")
    result = json.loads((run.evaluation / "evaluation.json").read_text())
    assert result["method"] == "ganimation (ganimation_demo)"
    # the method's own defaults, not EGGAN's; the base's data
    text = run.config.read_text()
    assert "n_critic: 5" in text and "view_noise" not in text and "landmarks: openface" in text
    editor = editing.load("ganimation_demo")
    assert editor.edit(torch.zeros(1, 3, 32, 32), torch.zeros(1, 17)).shape == (1, 3, 32, 32)


def test_the_example_paints_only_where_its_mask_is_open(ganimation):
    torch.manual_seed(0)
    module = METHODS["ganimation"][1](ganimation.GANimationConfig(width=4, critic_width=4), size=32)
    images, au = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 17) * 5
    with torch.no_grad():
        module.G.mask.bias.fill_(50.0)
        assert torch.allclose(module.G(images, au)[0], images, atol=1e-5)
        module.G.mask.bias.fill_(-50.0)
        assert not torch.allclose(module.G(images, au)[0], images, atol=0.1)
