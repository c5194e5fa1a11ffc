"""The notebooks run from top to bottom, on runs of a few batches."""

import csv
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import experiment
from facegan.faces import AU_NAMES
from facegan.runs import Run
from tests.test_ablation import found
from tests.test_experiment import TINY
from tests.test_transferring import SMALL

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def outputs(path: Path, monkeypatch) -> str:
    """The text that a notebook prints and shows, executed in a kernel of its own."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    notebook = nbformat.read(path, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "notebooks are stored without outputs"
    nbclient.NotebookClient(notebook, timeout=300).execute()
    found = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    return "".join(out.get("text") or out.get("data", {}).get("text/plain", "") for out in found)


def test_ablation_analysis(homes, tmp_path, monkeypatch):
    pytest.importorskip("dlib")
    faces = FOLDER_LAYOUT.write(tmp_path / "faces", people=3, pictures=3, size=64, workers=1)
    options = [*TINY, f"data.roots=[{faces}]", "evaluate_after=false", "method.epochs=1", "data.batch_size=2"]
    home = homes / "runs" / "eggan_demo-ablation"
    run = Run(home / "eggan_demo-seed0")
    run.folder.mkdir(parents=True)
    experiment.train(experiment.load_config("eggan_rafd", options), into=run)
    run.evaluation.mkdir()
    shutil.copytree(run.folder, home / "eggan_demo_no_identity-seed0")
    for name, error in (("eggan_demo", 0.5), ("eggan_demo_no_identity", 0.4)):
        summary = {
            "au_mse": error,
            "au_pcc": 0.6,
            "geometry_pcc": 0.3,
            "verification_over_real": {"dlib": 0.8},
        }
        result = found(summary)
        folder = home / f"{name}-seed0" / "evaluation"
        config = OmegaConf.load(folder.parent / "config.yaml")
        OmegaConf.save(config | {"name": name}, folder.parent / "config.yaml")
        (folder / "evaluation.json").write_text(json.dumps(result))
        pairs = {"source": ["a", "b", "c"], "target": ["x", "y", "z"], "person": ["A", "B", "C"]}
        aus = {f"asked_{au}": [0.0, 1.0, 2.0] for au in AU_NAMES}
        aus |= {f"read_{au}": [error, 1 + error, 2 - error] for au in AU_NAMES}
        pd.DataFrame(pairs | aus | {"cosine_dlib": 0.9}).to_csv(folder / "pairs.csv", index=False)
    text = outputs(NOTEBOOKS / "02_ablation_analysis.ipynb", monkeypatch)
    for words in ("AU MSE", "eggan_demo_no_identity", "without", "-0.1"):
        assert words in text, text
    assert f"{0.4**2:.3f}" in text and f"{0.4**2 - 0.5**2:.3f}" in text, text


@pytest.fixture(scope="module")
def small_faces(tmp_path_factory) -> Path:
    return FOLDER_LAYOUT.write(
        tmp_path_factory.mktemp("faces"), people=5, pictures=12, size=160, workers=1, aus="prototypes",
        light_spread=0.0, pose_spread=(1.0, 1.0, 1.0),
    )  # fmt: skip


def test_tour(homes, monkeypatch):
    pytest.importorskip("dlib")
    judge = (
        "generate.0.people=8,generate.0.pictures=4,generate.1.people=2,generate.1.pictures=4,method.epochs=1"
    )
    few = [
        "generate.0.people=8", "generate.0.pictures=4", "generate.1.people=2", "generate.1.pictures=4", "targets=6",
        "method.pretrain_epochs=1", "method.epochs=1", "trainer.threads=1", "trainer.progress=false",
        "log.wandb=disabled", "data.val_fraction=0.2", "data.batch_size=8", f"judge_options=[{judge}]",
    ]  # fmt: skip
    monkeypatch.setenv("FACEGAN_OVERRIDES", " ".join(few))
    text = outputs(NOTEBOOKS / "01_tour.ipynb", monkeypatch)
    assert "1 + 1 epochs, 64 pixels" in text and "copy the source" in text and "eggan_demo" in text, text


def test_disentanglement(small_faces, homes, monkeypatch):
    with (small_faces / "labels.csv").open() as file:
        names = ",".join(sorted({row["expression"] for row in csv.DictReader(file)}))
    file = homes / "tergan_small.yaml"
    file.write_text("method: {name: tergan}\ndata: {name: folder, pairing: cross_identity}\n")
    chosen = [f"data.roots=[{small_faces}]", f"method.expressions=[{names}]", f"data.expressions=[{names}]"]
    run = experiment.train(experiment.load_config(str(file), [*SMALL, *chosen, "data.test_fraction=0.4"]))
    monkeypatch.setenv("FACEGAN_EXPERIMENT", str(run.folder))
    text = outputs(NOTEBOOKS / "03_disentanglement.ipynb", monkeypatch)
    assert "24 pictures of 2 people never trained on" in text and "CNN baseline" in text, text


def test_your_own_faces(small_faces, homes, monkeypatch):
    pytest.importorskip("dlib")
    options = [*TINY, f"data.roots=[{small_faces}]", "evaluate_after=false", "method.epochs=1"]
    run = experiment.train(experiment.load_config("eggan_rafd", options))
    monkeypatch.setenv("FACEGAN_EXPERIMENT", str(run.folder))
    monkeypatch.setenv("FACEGAN_PICTURES", str(small_faces))
    text = outputs(NOTEBOOKS / "04_your_own_faces.ipynb", monkeypatch)
    assert "60 of 60 pictures have action units" in text, text
