"""Folds over people, each a run of its own, on a few generated people."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import crossval as module
from facegan.cli import main
from facegan.config import UserError
from facegan.crossval import crossval
from facegan.intervals import mean_of, mean_of_classes
from facegan.intervals import whole as whole_figure
from facegan.report.document import document
from facegan.runs import all_runs
from tests.test_transferring import SMALL


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return FOLDER_LAYOUT.write(
        tmp_path_factory.mktemp("faces"), people=5, pictures=14, size=96, workers=1, aus="prototypes",
        light_spread=0.0, pose_spread=(1.0, 1.0, 1.0),
    )  # fmt: skip


def options(people: Path) -> list[str]:
    with (people / "labels.csv").open() as file:
        seen: dict[str, set[str]] = {}
        for row in csv.DictReader(file):
            seen.setdefault(row["expression"], set()).add(row["identity"])
    names = ",".join(sorted(name for name, who in seen.items() if len(who) == 4)[:3])
    small = [option for option in SMALL if not option.startswith(("data.name", "method.epochs"))]
    chosen = [f"method.expressions=[{names}]", f"data.expressions=[{names}]", f"data.roots=[{people}]"]
    return [*small, *chosen, "method.epochs=1"]


def test_every_fold_once_and_then_a_table(people, homes, monkeypatch, capsys):
    file = homes / "tergan_folds.yaml"
    file.write_text("method: {name: tergan}\ndata: {name: folder, pairing: cross_identity}\n")
    trained = []
    train = module.train
    monkeypatch.setattr(
        module, "train", lambda *a, **k: trained.append(k["into"].folder.name) or train(*a, **k)
    )
    assert main(["crossval", str(file), "--folds", "2", "--fold", "1", *options(people)]) == 0
    assert trained == ["fold-1"] and "folds still to do: 0" in capsys.readouterr().out
    written = crossval(str(file), 2, options(people))
    assert trained == ["fold-1", "fold-0"], "a fold that is done is not done again"

    home = written["table"].parent
    tested, counts = [], []
    for fold in range(2):
        with (home / f"fold-{fold}" / "people.csv").open() as lines:
            rows = list(csv.DictReader(lines))
        tested += [row["identity"] for row in rows if row["part"] == "test"]
        counts.append(len(tested) - sum(counts))
        assert {row["part"] for row in rows} == {"train", "test"}
    assert sorted(tested) == sorted(set(tested)) and len(tested) == 5, "everybody is tested on once"
    whole = json.loads(written["all figures"].read_text())
    assert set(whole["folds"]) == {"0", "1"} and sorted(counts) == [2, 3]
    assert [whole["folds"][k]["people"] for k in "01"] == counts, "and measured on those, not on the others"
    assert "2 folds of people" in written["table"].read_text()
    assert "| exact AUs, no encoder" in written["table"].read_text()
    assert written["t-SNE"].stat().st_size > 1000

    pictures = [pd.read_csv(home / f"fold-{k}" / "evaluation" / "pictures.csv") for k in range(2)]
    for found, fold in zip(pictures, whole["folds"].values(), strict=True):
        assert whole_figure([found], mean_of("recognised")) == pytest.approx(fold["ours"]["accuracy"])
        assert whole_figure([found], mean_of("by_baseline")) == pytest.approx(fold["baseline"]["accuracy"])
        assert whole_figure([found], mean_of_classes("recognised")) == pytest.approx(fold["ours"]["balanced"])
    assert set(pictures[0]["person"]).isdisjoint(pictures[1]["person"])
    text = document(all_runs(), homes).split("### Table 1: recognition")[1].split("###")[0]
    assert f"{sum(map(len, pictures)):,} pictures, 5 test people" in text
    row = next(line for line in text.splitlines() if line.startswith("| **"))
    assert row.count("[") == 2, "intervals over the people of all folds"

    # folds of another cross-validation that is not whole are not mixed with these, and the row's command is its own
    other = [*options(people), "trainer.checkpoint_every=7"]
    crossval(str(file), 2, other, only=1)
    text = document(all_runs(), homes).split("### Table 1: recognition")[1].split("###")[0]
    assert next(line for line in text.splitlines() if line.startswith("| **")) == row
    assert "commands:" not in text and "checkpoint_every" not in text
    with pytest.raises(UserError, match=r"--folds \(of 5 people\)=9"):
        crossval(str(file), 9, options(people))

    # measured again without training again
    (home / "fold-0" / "evaluation" / "recognition.json").unlink()
    trained.clear()
    crossval(str(file), 2, options(people))
    assert trained == ["fold-0"]
    assert json.loads(written["all figures"].read_text()) == whole, "its checkpoint was at its end"

    # folds of another training are neither taken as done nor gone on with
    file.write_text("method: {name: tergan, w_adv: 0.25}\ndata: {name: folder, pairing: cross_identity}\n")
    with pytest.raises(UserError, match=r"fold-0 was trained otherwise: method.w_adv=0.5 then, 0.25 now"):
        crossval(str(file), 2, options(people))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eggan_demo",), "eggan has none"),
        (("tergan_oulu", 1), "--folds=1"),
        (("tergan_oulu", 8, (), 8), "--fold=8: folds are counted from 0, so 8 of them end with 7"),
        (
            ("tergan_oulu", 8, ("init_from=nosuch",)),
            "init_from=nosuch: no such checkpoint file, and .*nosuch",
        ),
        (("tergan_oulu", 8, ("data.splits=mine.csv",)), "cuts the people into folds itself"),
        (("tergan_oulu", 8, ("data.fold=1",)), "leave data.fold=1 out"),
        (("tergan_oulu_finetuned",), "train it first: facegan train tergan_bu4dfe"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words):
        crossval(*arguments)
