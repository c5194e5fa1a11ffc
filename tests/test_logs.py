"""Weights & Biases without an account: tags, what an evaluation adds to its run, and evaluations that lie there."""

import json
import shutil
from types import SimpleNamespace

import pytest
from PIL import Image

from facegan.config import LogConfig, UserError, runs_home
from facegan.experiment_config import load_config, plain
from facegan.logs import CONFIG_BESIDE, log_evaluation, tags
from facegan.report.collection import collect
from facegan.report.remote import fetch
from facegan.runs import Run

RESULT = {
    "protocol": "transfer", "data": "toy", "method": "TER-GAN (tergan_demo)",
    "expression": {"TER-GAN (tergan_demo)": 0.5}, "identity": {}, "judges": {},
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "tergan_demo" / "2026-01-01")
    run.write_config(plain(load_config("tergan_demo")))
    (run.folder / "wandb_id.txt").write_text("0a1b2c3d\n")
    run.evaluation.mkdir()
    (run.evaluation / "evaluation.json").write_text(json.dumps(RESULT))
    (run.evaluation / "pairs.csv").write_text("source,target,person,recognised\na,b,P1,1.0\nc,d,P2,0.0\n")
    (run.evaluation / "samples").mkdir()
    for k in range(2):
        for kind in ("source", "target", "result"):
            Image.new("RGB", (8, 8), (k, 9, 9)).save(run.evaluation / "samples" / f"{k:02d}-{kind}.png")
    Image.new("RGB", (8, 8)).save(run.evaluation / "grid.png")
    return run


def test_tags_are_method_data_variant_and_ones_own():
    variant = plain(load_config("eggan_rafd_no_identity"))
    assert tags(LogConfig(tags=["mine", "rafd"]), variant) == ["eggan", "rafd", "no_identity", "mine"]
    assert tags(LogConfig(), plain(load_config("eggan_rafd"))) == ["eggan", "rafd"]
    assert tags(LogConfig(), plain(load_config("tergan_oulu"))) == ["tergan", "oulu_casia"]


def test_an_evaluation_joins_its_run_offline(run):
    log_evaluation(LogConfig(wandb="offline"), run, run.evaluation)
    (folder,) = (run.folder / "wandb").glob("offline-run-*-0a1b2c3d")
    files = {path.relative_to(folder / "files").as_posix() for path in (folder / "files").rglob("*")}
    assert {"evaluation/evaluation.json", "evaluation/pairs.csv", "evaluation/run.yaml"} <= files
    (table,) = (
        path for path in files if path.startswith("media/table/eval/samples") and path.endswith(".json")
    )
    content = json.loads((folder / "files" / table).read_text())
    assert content["columns"] == ["source", "target", "result", "person", "recognised"]
    assert [row[3:] for row in content["data"]] == [["P1", 1.0], ["P2", 0.0]]
    assert any(path.startswith("media/images/eval/grid") for path in files)


def test_runs_without_it_are_passed_over(run, monkeypatch):
    log_evaluation(LogConfig(wandb="disabled"), run, run.evaluation)
    (run.folder / "wandb_id.txt").unlink()
    log_evaluation(LogConfig(wandb="offline"), run, run.evaluation)
    assert not (run.folder / "wandb").exists()


class Remote:
    """A W&B run with files, which counts what is fetched from it."""

    def __init__(self, folder, name):
        self.folder, self.name, self.id, self.fetched = folder, name, "0a1b2c3d", []

    def files(self):
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.folder).as_posix()
                yield SimpleNamespace(name=name, download=lambda root, name=name: self.download(root, name))

    def download(self, root, name):
        self.fetched.append(name)
        place = Run(runs_home()).folder.parent / root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / name, place)


def test_a_project_at_wandb_becomes_run_folders(run):
    shutil.copyfile(run.config, run.evaluation / CONFIG_BESIDE)
    (run.folder / "config.yaml").write_text("wandb_version: 1\n")  # W&B's own
    remote, other = (
        Remote(run.folder, "tergan_demo/2026-01-01"),
        Remote(run.folder / "wandb_none", "unfinished"),
    )
    api = SimpleNamespace(runs=lambda project, order: [remote, other])
    (fetched,) = fetch("us/facegan", lambda: api)
    assert fetched.folder == runs_home() / "wandb-us-facegan" / "tergan_demo-2026-01-01-0a1b2c3d"
    ((one,), broken) = collect([fetched])
    assert not broken and one.experiment == "tergan_demo" and one.result["expression"] == RESULT["expression"]
    assert "config.yaml" not in remote.fetched
    before = len(remote.fetched)
    fetch("us/facegan", lambda: api)
    assert len(remote.fetched) == before, "what is there is not fetched again"
    with pytest.raises(UserError, match="no run there has an evaluation"):
        fetch("us/facegan", lambda: SimpleNamespace(runs=lambda project, order: [other]))


def test_no_network_is_one_sentence():
    def unreachable():
        raise OSError("no route to host")

    with pytest.raises(UserError, match=r"--wandb us/facegan: no route to host. Type: wandb login"):
        fetch("us/facegan", unreachable)
