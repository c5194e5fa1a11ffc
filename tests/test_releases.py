"""Runs packed to be handed on do what the runs did, in a fraction of the size."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from facegan import editing, experiment
from facegan.cli import main
from facegan.config import UserError
from facegan.evaluation import evaluate_run
from facegan.releases import pack
from facegan.runs import Run, find_run
from tests.test_every_experiment import EVERYWHERE, TINY

USES = {
    "eggan_demo": lambda m, x: [m.edit(x, torch.ones(2, 17)), m.estimate_aus(x)],
    "tergan_demo": lambda m, x: [m.transfer(x, x.flip(0)), m.recognise(x)],
    "aipgan_demo": lambda m, x: [m.transfer(x, x.flip(0)), m.recognise(x), *m.attention(x)],
    "icface_demo": lambda m, x: [m.reenact(x, torch.zeros(2, 3), torch.ones(2, 17)), *m.estimate(x)],
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    from datamodules.generated.sequences import OULU_CASIA_LAYOUT
    from datamodules.generated.voxceleb import VOXCELEB_LAYOUT

    home = tmp_path_factory.mktemp("packed")
    for name, layout in (("oulu_casia", OULU_CASIA_LAYOUT), ("voxceleb", VOXCELEB_LAYOUT)):
        layout.write(home / "demo" / name, people=3, workers=1)
    return home


@pytest.fixture(scope="module", params=list(USES))
def run(request, faces) -> Run:
    """A run of two batches of each method, on data in ``FACEGAN_DATA``."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{kind}", str(faces if kind == "DATA" else faces / kind.lower()))
        method = name.split("_")[0]
        options = [*EVERYWHERE, *TINY[method], "evaluate_after=false"]
        if method in ("tergan", "aipgan"):
            options += ["data.folds=3", "data.fold=0"]
        if method == "eggan":
            options += ["data.name=folder", f"data.roots=[{faces}/demo/oulu_casia]", "data.test_roots=[]"]
        return experiment.train(experiment.load_config(name, options))


def test_a_packed_run_does_what_the_run_does(run, tmp_path):
    weights = pack(run, tmp_path / "small")
    assert weights.stat().st_size < run.last.stat().st_size / 4
    assert weights.stat().st_mode & 0o044 == 0o044, "for others too"
    use = USES[run.folder.parent.name]
    x = torch.rand(2, 3, *[editing.load_module(run, can=_ability(run)).hparams["size"]] * 2) * 2 - 1
    whole, small = (
        use(editing.load_module(r, can=_ability(run)).eval(), x)
        for r in (run, find_run(str(tmp_path / "small")))
    )
    with torch.no_grad():
        for a, b in zip(whole, small, strict=True):
            torch.testing.assert_close(a, b, atol=0.03, rtol=0.03)
    dtypes = {value.dtype for value in load_file(weights).values()}
    assert dtypes <= {torch.float16, torch.int64}


def test_its_config_and_card_name_no_folder_of_this_machine(run, faces, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_DATA", str(faces))
    pack(run, tmp_path / "small")
    text = (tmp_path / "small" / "config.yaml").read_text()
    assert str(faces) not in text
    data = OmegaConf.load(tmp_path / "small" / "config.yaml").data
    assert str(faces) in str(OmegaConf.to_container(data, resolve=True)), "and finds the data again"
    monkeypatch.setenv("FACEGAN_DATA", str(tmp_path / "elsewhere"))
    pack(run, tmp_path / "small")
    assert str(faces) not in (tmp_path / "small" / "config.yaml").read_text(), (
        "whatever this machine calls data"
    )
    card = (tmp_path / "small" / "README.md").read_text()
    assert f"facegan train {run.folder.parent.name}" in card and "not been evaluated" in card


def test_the_card_carries_the_run_s_tables(run, tmp_path, monkeypatch):
    copied = Run(tmp_path / "run")
    shutil.copytree(run.folder, copied.folder)
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path / "mine"))
    pack(copied, tmp_path / "small")
    assert "It has not been evaluated." in (tmp_path / "small" / "README.md").read_text()
    rows = {
        "ours": {"accuracy": 0.2},
        "copy the source": {"accuracy": 0.0},
        "copy the target": {"accuracy": 1.0},
    }
    found = {
        "protocol": "transfer", "method": "ours", "data": "", "judges": {}, "identity": {"dlib": rows},
        "expression": {"ours": 0.6, "copy the source": 0.8, "copy the target": 0.2},
    }  # fmt: skip
    # asked in another way; then the run's own
    for name, cell in (("evaluation-1a2b3c", "b"), ("evaluation", "a")):
        (copied.folder / name).mkdir()
        (copied.folder / name / "evaluation.json").write_text(json.dumps(found))
        (copied.folder / name / "table.md").write_text(f"# Transfer\n\n| {cell} |\nno {tmp_path}/mine/x\n")
        pack(copied, tmp_path / "small")
        card = (tmp_path / "small" / "README.md").read_text()
        assert f"\n## Transfer\n\n| {cell} |" in card
        assert "no judges/x" in card, "no folder of this machine"
        assert "dlib takes 20 % of the results for the wanted person" in card
        assert "Expression recognised times person kept is 0.120: below the 0.200 of a mere copy." in card
    rows["ours"]["accuracy"] = 0.9
    (copied.folder / name / "evaluation.json").write_text(json.dumps(found))
    pack(copied, tmp_path / "small")
    card = (tmp_path / "small" / "README.md").read_text()
    assert "90 % of the results" in card and "mere copy" not in card and "always or never" not in card
    found["rows"] = {"ours": {"presence": {"balanced": [0.5] * 16 + [None]}}}
    (copied.folder / name / "evaluation.json").write_text(json.dumps(found))
    pack(copied, tmp_path / "small")
    assert "show AU45 always or never: not measured" in (tmp_path / "small" / "README.md").read_text()
    OmegaConf.load(copied.config)
    assert re.search(f"`facegan train {OmegaConf.load(copied.config).name} '?method.", card), (
        "how it was trained otherwise"
    )


def test_the_card_says_whose_weights_the_training_started_from(run, tmp_path, monkeypatch):
    copied = Run(tmp_path / "run")
    shutil.copytree(run.folder, copied.folder)
    pack(copied, tmp_path / "small")
    assert "init_from" not in (tmp_path / "small" / "README.md").read_text()
    monkeypatch.setenv("FACEGAN_RUNS", str(tmp_path / "runs"))
    config = OmegaConf.load(copied.config)
    config.init_from = str(tmp_path / "runs" / "first" / "2026")
    OmegaConf.save(config, copied.config)
    pack(copied, tmp_path / "small")
    card = (tmp_path / "small" / "README.md").read_text()
    assert "started from the weights of first/2026 (`init_from`)" in card


def test_what_cannot_be_packed_is_said(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        pack(run, tmp_path / "full")
    copied = Run(tmp_path / "plain")
    shutil.copytree(run.folder, copied.folder)
    saved = torch.load(copied.last, weights_only=True)
    saved["hyper_parameters"]["config"]["ema_half_life"] = 0
    torch.save(saved, copied.last)
    with pytest.raises(UserError, match="without averaging"):
        pack(copied, tmp_path / "small")


def test_from_the_command_line_and_not_for_evaluation_or_training(run, tmp_path, capsys):
    assert main(["pack", str(run.folder), "--out", str(tmp_path / "small")]) == 0
    assert "weights.safetensors" in capsys.readouterr().out
    assert main(["pack", str(tmp_path / "small"), "--out", str(tmp_path / "again")]) == 2
    assert "is packed already" in capsys.readouterr().err
    with pytest.raises(UserError, match="packed for use"):
        evaluate_run(find_run(str(tmp_path / "small")))
    for arguments in (
        ["--resume", str(tmp_path / "small")],
        ["eggan_demo", f"init_from={tmp_path / 'small'}"],
    ):
        assert main(["train", *arguments]) == 2
        assert "packed for use, without what training needs" in capsys.readouterr().err


def _ability(run: Run) -> str:
    return {"eggan": "edit", "icface": "reenact"}.get(run.folder.parent.name.split("_")[0], "transfer")
