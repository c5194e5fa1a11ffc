"""The notebooks run from top to bottom, on runs of a few batches."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import experiment
from facegan.runs import Run
from tests.test_experiment import TINY

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
        result = {"protocol": "eggan", "method": "EGGAN", "summary": summary}
        folder = home / f"{name}-seed0" / "evaluation"
        (folder / "evaluation.json").write_text(json.dumps(result))
        pairs = {"source": ["a", "b", "c"], "target": ["x", "y", "z"], "person": ["A", "B", "C"]}
        pd.DataFrame(pairs | {"au_mse": error, "cosine_dlib": 0.9}).to_csv(folder / "pairs.csv", index=False)
    text = outputs(NOTEBOOKS / "02_ablation_analysis.ipynb", monkeypatch)
    for words in ("AU MSE", "eggan_demo_no_identity-seed0", "au_mse        0.400", "ablate writes it"):
        assert words in text, text
