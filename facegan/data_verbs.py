"""The verbs of data: ``facegan assets``, ``generate``, ``openface``, ``data``, ``prepare``."""

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from facegan.config import UserError


def assets(args: argparse.Namespace) -> None:
    """Download the assets of the ict head."""
    from datamodules.generated.assets import fetch_ict

    print(fetch_ict(source=args.source))


def generate(args: argparse.Namespace) -> None:
    """Write generated faces in a data set's layout, or draw a look at them."""
    from omegaconf import OmegaConf

    from datamodules.generated import request

    if args.sheet and args.root:
        raise UserError(
            "generate: --sheet draws a look at the faces, --root writes them; give one of the two"
        )
    if args.sheet:
        from datamodules.generated.sheets import contact_sheet

        print(*contact_sheet(args.head, Path(args.sheet)), sep="\n")
        return
    if not args.root:
        raise UserError("generate needs --root DIR (where to write) or --sheet PNG (a look at the faces)")
    for item in args.overrides:
        if "=" not in item:
            raise UserError(f"generate {item}: write an option as key=value")
    args.variant = OmegaConf.to_container(OmegaConf.from_dotlist(args.overrides))
    keys = [option.name for option in fields(request.GenerateConfig)]
    given = {key: value for key in keys if (value := getattr(args, key)) is not None}
    print(request.generate(request.GenerateConfig(**given)))


def _dataset(args: argparse.Namespace) -> Any:
    """The data module that a command line names."""
    from datamodules.all import DATAMODULES
    from facegan.experiment_config import load_data_config

    if args.dataset not in DATAMODULES:
        raise UserError(f"{args.verb} {args.dataset}: choose one of {', '.join(DATAMODULES)}")
    overrides = list(args.overrides) + ([f"data.root={args.root}"] if args.root else [])
    return DATAMODULES[args.dataset][1](load_data_config(args.dataset, overrides))


def openface(args: argparse.Namespace) -> None:
    """Run OpenFace over a data set's pictures and films."""
    from datamodules.preparation import openface_run

    work = openface_run.jobs(_dataset(args).find().records, args.out, args.stills)
    failed = openface_run.run(work, args.workers)
    print(f"OpenFace: {len(work) - len(failed):,} of {len(work):,} folders and videos done")
    if failed:
        job, reason = failed[0]
        raise UserError(f"OpenFace failed on {len(failed):,} of them, first on {job.source}: {reason}")


def data(args: argparse.Namespace) -> None:
    """Say what a data set's folder holds; draw a sheet of it; write its parts down."""
    import csv

    import numpy as np

    from datamodules import inspection
    from datamodules.generated.files import save_picture
    from datamodules.splits import Split

    data = _dataset(args)
    found = data.find()
    none_made: UserError | None = None
    try:
        split = data.parts(found.records)
    except UserError as error:
        # a part of a data set is worth a look, too
        none_made = error
        print(f"{error}\n")
        none = np.zeros(0, np.int64)
        split = Split(none, none, none)
    print(inspection.table(found, split))
    if args.samples > 0:
        path = Path(args.sheet or f"{args.dataset}_sheet.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(path, inspection.sheet(found.records, data.config.landmarks, args.samples))
        print(f"sheet: {path}")
    if args.splits and none_made is not None:
        raise UserError(f"--splits {args.splits}: not written; {none_made}")
    if args.splits:
        with open(args.splits, "w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("path", "frame", "identity", "part"))
            rows.writerows(split.table(found.records))
        print(f"splits: {args.splits}")


def prepare(args: argparse.Namespace) -> None:
    """Crop a data set once into its store."""
    from datamodules.all import DATAMODULES
    from facegan.experiment import build_data
    from facegan.experiment_config import load_config, load_data_config

    overrides = list(args.overrides) + ([f"data.root={args.root}"] if args.root else [])
    judged = args.au is not None and args.au.startswith("judge:")
    if args.au and not judged:
        overrides.append(f"data.au_root={args.au}")
    if args.experiment in DATAMODULES:
        config = load_data_config(args.experiment, overrides)
        data = DATAMODULES[args.experiment][1](config)
    else:
        data = build_data(load_config(args.experiment, overrides))
    part, _, whole = args.shard.partition("/")
    if not (part.isdigit() and whole.isdigit() and 1 <= int(part) <= int(whole)):
        raise UserError(f"--shard {args.shard}: write part/whole, as in 3/16")
    if judged:
        judge, description = _au_judge(args.au.removeprefix("judge:"))
        if not data.config.store:
            # a store of its own: one whose AUs are OpenFace's must not change under a run that uses it
            data.config.store = f"{data.store_path()}-{hashlib.sha256(description.encode()).hexdigest()[:6]}"
    prepared = data.prepare((int(part), int(whole)))
    print(prepared.summary())
    if judged and prepared.store is not None:
        from datamodules.preparation.annotate import annotate

        annotate(prepared.store, judge, description)
        print(f"AUs by {description}; to train on them: data.store={prepared.store.path}")


def _au_judge(name: str) -> tuple[Callable[[Any], Any], str]:
    """An AU judge and what to call it: of a run, of a weight file, or the one that evaluation uses."""
    from facegan.judges import AUJudge

    if not name or name.endswith(".safetensors"):
        judge = AUJudge(Path(name) if name else None)
        return judge, judge.description
    import torch

    from facegan.methods import METHODS
    from facegan.runs import find_run

    run = find_run(name)
    saved = torch.load(run.checkpoint("last"), map_location="cpu", weights_only=True)
    if saved["hyper_parameters"]["config"]["name"] != "judge_au":
        raise UserError(
            f"--au judge:{name}: {run.folder} is no run of judge_au; train one: facegan train judge_au"
        )
    module = METHODS["judge_au"][1](**saved["hyper_parameters"])
    module.load_state_dict(saved["state_dict"])
    return module.eval(), f"AU regressor of the run {run.folder.parent.name}/{run.folder.name}"
