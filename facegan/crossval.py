"""Cross-validation over people (TER-GAN 4.4): every fold is a run that can be resumed, and one that is done stays done.

The folds lie in ``<runs>/<experiment>-<K>folds[-<key>]/fold-<k>``; ``--fold k`` does one of them, for a cluster.
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.splits import fold_parts, write_people
from datamodules.store import Store
from facegan import figures, report
from facegan.config import UserError, check
from facegan.editing import load_module
from facegan.experiment import build_data, check_same, starting_point, train
from facegan.experiment_config import ExperimentConfig, load_config
from facegan.faces import EXPRESSIONS
from facegan.findings import PICTURES, RECOGNITION, WHOLE
from facegan.protocols.common import json_ready, write_pairs
from facegan.protocols.recognition import BASELINE, OURS, embedding, encode, measure, recognised
from facegan.runs import Run, family
from facegan.tables import number

CODES = "codes.npz"


def crossval(
    experiment: str, folds: int = 8, overrides: Sequence[str] = (), only: int | None = None
) -> dict[str, Path]:
    """Train and measure the folds that are not done yet; where all are, write the table and Fig. 5.

    Args:
        experiment: one of a method with codes (TER-GAN's).
        folds: K; people are cut into K parts as ``data.fold_by`` says, or shuffled by the seed.
        overrides: config keys, the same for all folds; other keys have folders of their own.
        only: do this fold alone, from 0.

    Returns:
        What was written, by name.

    Raises:
        UserError: a method without codes, too many folds, no such fold, or folds that were trained otherwise.
    """
    config = load_config(experiment, overrides)
    if config.method.name != "tergan":
        raise UserError(
            f"crossval {experiment}: a cross-validation of f(e) is TER-GAN's; {config.method.name} has none"
        )
    own = [item for item in overrides if item.startswith(("data.fold=", "data.folds="))]
    if config.data.splits is not None or own:
        raise UserError(
            f"crossval cuts the people into folds itself; leave {(own or ['data.splits'])[0]} out"
        )
    if config.init_from:
        config.init_from = str(starting_point(config.init_from))  # missing, it is said before any work
    check("--folds", folds, at_least=2)
    if only is not None and not 0 <= only < folds:
        raise UserError(f"--fold={only}: folds are counted from 0, so {folds} of them end with {folds - 1}")
    home = family(f"{config.name}-{folds}folds", overrides)
    for fold in range(folds):
        check_same(Run(home / f"fold-{fold}"), config)
    for fold in range(folds) if only is None else [only]:
        run = Run(home / f"fold-{fold}")
        if not (run.evaluation / RECOGNITION).exists():
            _do(config, run, folds, fold)
    results = {fold: home / f"fold-{fold}" / "evaluation" / RECOGNITION for fold in range(folds)}
    missing = [fold for fold, path in results.items() if not path.exists()]
    if missing:
        print(f"folds still to do: {', '.join(map(str, missing))}")
        return {f"fold {only}": results[only]} if only is not None else {}
    command = shlex.join(["facegan", "crossval", experiment, "--folds", str(folds), *overrides])
    return _summary(
        config, home, {fold: json.loads(path.read_text()) for fold, path in results.items()}, command
    )


def _do(config: ExperimentConfig, run: Run, folds: int, fold: int) -> None:
    """Train one fold from where it is, and measure it."""
    data = build_data(config)
    data.prepare_data()
    people = Store(data.store_path()).records.everybody()
    by = getattr(config.data, "fold_by", "shuffled")
    if len(people) > 1:
        check(f"--folds (of {len(people)} people)", folds, at_most=len(people))
    run.folder.mkdir(parents=True, exist_ok=True)
    config.data.splits = str(run.folder / "fold.csv")
    write_people(run.folder / "fold.csv", fold_parts(people, folds, fold, by, config.seed))
    print(f"fold {fold} of {folds}: {run.folder}")
    train(config, resume=run if run.last.exists() else None, into=run)
    module = load_module(run, can="recognise").eval().requires_grad_(False)
    data = build_data(config)
    data.setup()
    codes = {name: encode(module, part) for name, part in (("train", data.train), ("test", data.test))}
    given = recognised(codes["train"], codes["test"])
    result = measure(codes["train"], codes["test"], given)
    run.evaluation.mkdir(exist_ok=True)
    right = {
        name: [torch.from_numpy(one == codes["test"]["expression"]).float()] for name, one in given.items()
    }
    people = [data.test.identities[k] for k in codes["test"]["person"].tolist()]
    shown = {"expression": [torch.from_numpy(codes["test"]["expression"])]}
    pictures = {"picture": (data.test, np.arange(len(people)))}
    write_pairs(
        run.evaluation / PICTURES,
        people,
        shown | {"recognised": right[OURS], "by_baseline": right[BASELINE]},
        **pictures,
    )
    np.savez(run.evaluation / CODES, **codes["test"])  # type: ignore[arg-type]
    about = {"data": data.describe(), "generated": data.generated}
    part = run.evaluation / f"{RECOGNITION}.part"
    part.write_text(json.dumps(json_ready(result | about), indent=1) + "\n")
    part.replace(run.evaluation / RECOGNITION)


def _summary(
    config: ExperimentConfig, home: Path, results: dict[int, dict[str, Any]], command: str
) -> dict[str, Path]:
    """Table 1 over all folds, the confusion matrix, and Fig. 5 of the first fold's test people."""
    table, figure, whole = home / "table1.md", home / "fig5.png", home / WHOLE
    whole.write_text(json.dumps({"command": command, "folds": results}, indent=1) + "\n")
    stage_two = config.method.epochs > 0
    table.write_text(report.tergan_table1(results, config.name, command, stage_two))
    codes = np.load(home / "fold-0" / "evaluation" / CODES)
    labels = [EXPRESSIONS[k] for k in codes["expression"]]
    panels = {
        f"{title}\nsilhouette {number(results[0][name]['silhouette_expression'], 2)} by expression, "
        f"{number(results[0][name]['silhouette_identity'], 2)} by person": embedding(codes[name])
        for title, name in (("CNN baseline", BASELINE), ("TER-GAN", OURS))[: 1 + stage_two]
    }
    figures.scatter(figure, panels, labels, figures.provenance(results[0]["generated"]))
    return {"table": table, "t-SNE": figure, "all figures": whole}
