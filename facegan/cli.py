"""The command line: ``facegan VERB …``; every verb is a few lines around a function of the package."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from facegan import data_verbs
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
    errno.EEXIST,
)
"""What makes writing fail through no fault of the program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a user's mistake is one sentence on stderr and exit status 2."""
    args = parse(argv)
    try:
        _look_first(args)
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
        out, file = getattr(args, "out", None), str(error.filename or "a file")
        place = "--out" if out and (file in out or out in file) else "place (FACEGAN_DATA, FACEGAN_RUNS)"
        print(
            f"facegan: cannot use {file}: {disk_trouble(error)} another {place}, and run the same command "
            f"again{' with --resume' if args.verb == 'train' else ''}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("facegan: stopped", file=sys.stderr)
        return 130
    return 0


def _look_first(args: argparse.Namespace) -> None:
    """Refuse an experiment or a run that is not there before torch and Lightning are imported, which takes long."""
    from facegan.runs import find_experiment, find_run

    given = vars(args)
    experiment = given.get("experiment") if args.verb != "prepare" else None  # that takes data sets, too
    if experiment and "=" not in experiment:
        find_experiment(experiment)
    for run in filter(None, (given.get("run"), given.get("resume"))):
        find_run(run)


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
    written = {key: path for key, path in written.items() if path.exists()}  # of few batches there is no log
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

    still = {"--sweep": args.sweep, "--neutral": args.neutral}
    moving = {
        "--driving": args.driving, "--driving-csv": args.driving_csv, "--take": args.take, "--scale": args.scale,
        "--smooth": args.smooth,
    }  # fmt: skip
    how = {
        "--set": args.set and args.neutral, "--alone": args.alone, "--half": args.half,
        "--au-judge": args.au_judge is not None,
    }  # fmt: skip
    given = [name for name, value in {**still, **moving, **how}.items() if value]
    if len(given) > 1 and (args.sweep or args.neutral):
        raise UserError(
            f"{' and '.join(given)} do not go together: {given[0]} makes pictures of the source alone"
        )
    if args.steps is not None and not args.sweep:
        raise UserError("--steps is how many pictures --sweep makes, and there is none")
    if args.sweep:
        print(sweep_file(
            args.run, args.source, args.sweep, args.out, 7 if args.steps is None else args.steps, args.set,
            checkpoint=args.checkpoint,
        ))  # fmt: skip
    elif args.neutral:
        print(neutral_file(args.run, args.source, args.out, args.checkpoint))
    else:
        print(reenact_file(
            args.run, args.source, args.out, driving=args.driving, driving_csv=args.driving_csv, take=args.take,
            constants=args.set, factors=args.scale, smooth=args.smooth, alone=args.alone, half=args.half,
            au_judge=args.au_judge, checkpoint=args.checkpoint,
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
    "assets": data_verbs.assets,
    "generate": data_verbs.generate,
    "openface": data_verbs.openface,
    "data": data_verbs.data,
    "prepare": data_verbs.prepare,
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
