"""The command line: ``facegan VERB …``; every verb is a few lines around a function of the package."""

import argparse
import errno
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from facegan.arguments import parse
from facegan.config import UserError, disk_trouble

_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EFBIG,
    errno.EACCES,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
)
"""What makes writing fail through no fault of the program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a user's mistake is one sentence on stderr and exit status 2."""
    args = parse(argv)
    try:
        _VERBS[args.verb](args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, as in facegan list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UserError as error:
        print(f"facegan: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(
            f"facegan: cannot use {error.filename or 'a file'}: {disk_trouble(error)} another place (FACEGAN_DATA, "
            f"FACEGAN_RUNS), and run the same command again{' with --resume' if args.verb == 'train' else ''}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("facegan: stopped", file=sys.stderr)
        return 130
    return 0


def _list(args: argparse.Namespace) -> None:
    from facegan.runs import experiments

    for name, path in experiments().items():
        first = path.read_text().splitlines()[0].lstrip("# ")
        print(f"{name:28} {first}")


def _runs(args: argparse.Namespace) -> None:
    from facegan.findings import state
    from facegan.runs import all_runs, pretrained

    for run in pretrained():
        print(f"{run.folder.name}  came with the package")
    for run in all_runs():
        print(f"{run.folder}  {state(run)}")


def _assets(args: argparse.Namespace) -> None:
    from datamodules.generated.assets import fetch_ict

    print(fetch_ict(source=args.source))


def _generate(args: argparse.Namespace) -> None:
    from omegaconf import OmegaConf

    from datamodules.generated.request import GenerateConfig, generate

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
    keys = [option.name for option in fields(GenerateConfig)]
    given = {key: value for key in keys if (value := getattr(args, key)) is not None}
    print(generate(GenerateConfig(**given)))


def _dataset(args: argparse.Namespace) -> Any:
    """The data module that a command line names."""
    from datamodules.all import DATAMODULES
    from facegan.experiment_config import load_data_config

    if args.dataset not in DATAMODULES:
        raise UserError(f"{args.verb} {args.dataset}: choose one of {', '.join(DATAMODULES)}")
    overrides = list(args.overrides) + ([f"data.root={args.root}"] if args.root else [])
    return DATAMODULES[args.dataset][1](load_data_config(args.dataset, overrides))


def _openface(args: argparse.Namespace) -> None:
    from datamodules.preparation import openface_run

    work = openface_run.jobs(_dataset(args).find().records, args.out, args.stills)
    failed = openface_run.run(work, args.workers)
    print(f"OpenFace: {len(work) - len(failed):,} of {len(work):,} folders and videos done")
    if failed:
        job, reason = failed[0]
        raise UserError(f"OpenFace failed on {len(failed):,} of them, first on {job.source}: {reason}")


def _data(args: argparse.Namespace) -> None:
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


def _prepare(args: argparse.Namespace) -> None:
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


def _train(args: argparse.Namespace) -> None:
    from facegan.experiment import train
    from facegan.experiment_config import load_config
    from facegan.runs import find_run, first_rank

    resumed = None
    if args.experiment and "=" in args.experiment:
        args.overrides.insert(0, args.experiment)
        args.experiment = None
    if args.resume is not None:
        name = args.resume or args.experiment
        if not name:
            raise UserError(
                "--resume: name a run folder or an experiment, as in facegan train eggan_rafd --resume"
            )
        resumed = find_run(name)
        config = load_config(str(resumed.config), args.overrides)
    elif args.experiment:
        config = load_config(args.experiment, args.overrides)
    else:
        raise UserError("train needs an experiment; facegan list shows them")
    run = train(config, resumed)

    if not first_rank():
        return
    written = {"run": run.folder, "log": run.metrics, "checkpoint": run.last}
    if config.evaluate_after:
        from facegan.evaluation import evaluate_run

        try:
            written |= evaluate_run(run)
        except UserError as error:
            raise UserError(
                f"{error}\nThe training itself is whole: {run.last}. Then type: facegan evaluate {run.folder}"
            ) from None
    for key, path in written.items():
        print(f"{key:14} {path}")


def _evaluate(args: argparse.Namespace) -> None:
    from facegan.evaluation import evaluate_run
    from facegan.runs import find_run

    for key, path in evaluate_run(find_run(args.run), args.checkpoint, args.overrides, args.targets).items():
        print(f"{key:14} {path}")


def _pack(args: argparse.Namespace) -> None:
    from facegan.releases import pack
    from facegan.runs import find_run

    print(pack(find_run(args.run), args.out, args.checkpoint))


def _edit(args: argparse.Namespace) -> None:
    from facegan.editing import edit_file, edit_to_expressions

    if args.expressions:
        print(edit_to_expressions(args.run, args.image, args.out, args.checkpoint))
        return
    if len(args.image) > 1:
        raise UserError("several pictures make a grid with --expressions; else give one --image")
    print(edit_file(
        args.run, args.image[0], args.out, aus=args.au, like=args.like, like_au=args.like_au, image_au=args.image_au,
        steps=args.steps, paste_back=args.paste, checkpoint=args.checkpoint,
    ))  # fmt: skip


def _crossval(args: argparse.Namespace) -> None:
    from facegan.crossval import crossval

    for key, path in crossval(args.experiment, args.folds, args.overrides, args.fold).items():
        print(f"{key:14} {path}")


def _ablate(args: argparse.Namespace) -> None:
    from facegan.ablation import ablate, submit

    if args.submit:
        jobs = submit(
            args.experiment, args.seeds, args.overrides, args.submit, args.job, args.variant, args.seed
        )
        print(f"{len(jobs)} jobs: {', '.join(job.job_id for job in jobs)}" if jobs else "all runs are done")
        if jobs:
            print(f"their words: {jobs[0].paths.folder}; the table when they have ended: the same command")
        return
    if args.job:
        raise UserError("--job is for jobs: give --submit slurm or --submit local with it")
    table = ablate(args.experiment, args.seeds, args.overrides, args.variant, args.seed)
    print(table.read_text() + f"\ntable  {table}")


def _transfer(args: argparse.Namespace) -> None:
    from facegan.transferring import transfer_files

    options = {"paste_back": args.paste, "attention": args.attention, "checkpoint": args.checkpoint}
    print(transfer_files(args.run, args.source, args.target, args.out, **options))


def _reenact(args: argparse.Namespace) -> None:
    from facegan.reenacting import neutral_file, reenact_file, sweep_file

    if args.sweep:
        print(sweep_file(args.run, args.source, args.sweep, args.out, args.steps, args.checkpoint))
    elif args.neutral:
        print(neutral_file(args.run, args.source, args.out, args.checkpoint))
    else:
        print(reenact_file(
            args.run, args.source, args.out, driving=args.driving, driving_csv=args.driving_csv, take=args.take,
            constants=args.set, factors=args.scale, smooth=args.smooth, alone=args.alone, half=args.half,
            checkpoint=args.checkpoint,
        ))  # fmt: skip


def _recognise(args: argparse.Namespace) -> None:
    from facegan.transferring import recognise_files

    print(recognise_files(args.run, args.pictures, args.out, args.checkpoint))


def _demo(args: argparse.Namespace) -> None:
    try:
        from facegan.demo import serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError(
            "the page needs gradio, which is not installed. Type: pip install 'facegan[demo]'"
        ) from None
    serve(args.run, args.checkpoint, args.port, args.open)


def _compare(args: argparse.Namespace) -> None:
    from facegan.comparison import compare

    runs = [word for word in args.runs if "=" not in word]
    overrides = [word for word in args.runs if "=" in word]
    for key, path in compare(runs, args.on, overrides, args.targets).items():
        print(f"{key:14} {path}")


def _report(args: argparse.Namespace) -> None:
    from facegan.report.document import document, write_report
    from facegan.runs import all_runs

    if args.wandb:
        from facegan.report.remote import fetch

        fetch(args.wandb)  # as run folders beside the others
    if args.out:
        print(write_report(all_runs(), Path(args.out)))
    else:
        print(document(all_runs(), Path()))


_VERBS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "list": _list,
    "runs": _runs,
    "assets": _assets,
    "generate": _generate,
    "openface": _openface,
    "data": _data,
    "prepare": _prepare,
    "train": _train,
    "evaluate": _evaluate,
    "pack": _pack,
    "edit": _edit,
    "crossval": _crossval,
    "ablate": _ablate,
    "compare": _compare,
    "transfer": _transfer,
    "reenact": _reenact,
    "recognise": _recognise,
    "demo": _demo,
    "report": _report,
}


if __name__ == "__main__":
    sys.exit(main())
