"""The command line: ``facegan VERB …``; every verb is a few lines around a function of the package."""

import argparse
import errno
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from datamodules.generated.request import LAYOUTS
from facegan.config import UserError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES)
"""What makes writing fail through no fault of the program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a user's mistake is one sentence on stderr and exit status 2."""
    parser = _parser()
    args, more = parser.parse_known_args(argv)
    # argparse takes no more key=value once it has seen an option
    if any("=" not in word or word.startswith("-") for word in more) or (
        more and not hasattr(args, "overrides")
    ):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        args.overrides = [*args.overrides, *more]
    try:
        call: Callable[[argparse.Namespace], None] = args.call
        call(args)
    except UserError as error:
        print(f"facegan: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(
            f"facegan: cannot use {error.filename or 'a file'}: {error.strerror}. What is finished is kept: make "
            "room, or choose another place (FACEGAN_DATA, FACEGAN_RUNS), and run the same command again (a "
            "training with --resume)",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("facegan: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facegan", description="Experiments in facial expression synthesis."
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, call: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(call=call, verb=name)
        return sub

    verb("list", _list, "Show the experiments.")
    verb("runs", _runs, "Show the runs.")

    sub = verb("assets", _assets, "Fetch what is not part of the package (the ict head), once.")
    sub.add_argument("name", choices=["ict"])
    sub.add_argument("--source", type=Path, help="a local copy of the repository, instead of fetching it")

    sub = verb("generate", _generate, "Write generated faces in a data set's layout.")
    sub.add_argument("layout", choices=LAYOUTS, nargs="?", default="folder")
    sub.add_argument("--root", help="folder to write to")
    sub.add_argument(
        "--people",
        type=int,
        help="how many; else 100 (folder, voxceleb, celeba), 30 (mmi), or as many as the data set has",
    )
    sub.add_argument("--first-person", type=int, help="seed of the first person; test people start at 500000")
    sub.add_argument("--pictures", type=int, help="pictures of each person (folder)")
    sub.add_argument("--head", choices=["procedural", "ict"], default="procedural")
    sub.add_argument(
        "--aus", choices=["mixed", "prototypes", "independent"], help="which expressions (folder)"
    )
    sub.add_argument(
        "--spread", type=float, help="of pose, light and background (folder): 0 a studio, 1 anything"
    )
    sub.add_argument(
        "--ambiguity", type=float, help="of expressions (oulu_casia): 0 as the prototypes, 1 weak and mixed"
    )
    sub.add_argument("--size", type=int, help="side of a picture (folder)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--workers", type=int, help="processes; as many as there are cores if not given")
    sub.add_argument("--defects", action="store_true", help="with the traps of the real data set")
    sub.add_argument(
        "--sheet", metavar="PNG", help="draw a contact sheet instead: people, expressions, AUs 0 to 5"
    )

    sub = verb("openface", _openface, "Run OpenFace on raw data, or print the commands that would.")
    sub.add_argument("dataset", help="a data set's name, as of `facegan data`")
    sub.add_argument("overrides", nargs="*", metavar="data.key=value", help="any config key of the data")
    sub.add_argument("--root", help="folder of the raw data")
    sub.add_argument(
        "--out", type=Path, help="folder for the CSVs (data.au_root); else processed/ with the pictures"
    )
    sub.add_argument(
        "--stills", action="store_true", help="every picture is on its own, not a frame of a sequence"
    )
    sub.add_argument("--workers", type=int, default=1, help="calls at once")

    sub = verb("data", _data, "What a folder of raw data holds: a table, and a sheet of samples.")
    sub.add_argument(
        "dataset", help="a data set's name: rafd, oulu_casia, bu4dfe, mmi, voxceleb, celeba, folder"
    )
    sub.add_argument("overrides", nargs="*", metavar="data.key=value", help="any config key of the data")
    sub.add_argument("--root", help="folder of the raw data")
    sub.add_argument("--sheet", metavar="PNG", help="where the sheet goes; else ./<dataset>_sheet.png")
    sub.add_argument("--samples", type=int, default=24, help="pictures in the sheet; 0 for none")
    sub.add_argument(
        "--splits", metavar="CSV", help="write who is trained and tested on: path, frame, identity, part"
    )

    for name, call, text in (
        ("prepare", _prepare, "Raw pictures to prepared faces."),
        ("train", _train, "Train an experiment."),
    ):
        sub = verb(name, call, text)
        sub.add_argument("experiment", nargs="?" if name == "train" else None, help="a name of `facegan list`, "
                         "or a YAML file" + (" (or a data set's name)" if name == "prepare" else ""))  # fmt: skip
        sub.add_argument("overrides", nargs="*", metavar="key=value", help="any config key")
        if name == "prepare":
            sub.add_argument("--root", help="folder of the raw data")
            sub.add_argument("--shard", default="1/1", help="this job's share, as in 3/16")
            sub.add_argument("--au", metavar="DIR|judge:RUN", help="OpenFace's CSVs in a tree of their own, or AUs by "
                             "a run of judge_au (judge: alone is the judge that evaluation uses)")  # fmt: skip
        else:
            sub.add_argument("--resume", nargs="?", const="", metavar="RUN", help="go on with a run; without a "
                             "name with the experiment's newest")  # fmt: skip

    sub = verb("evaluate", _evaluate, "The paper's protocol on a run: tables and figures.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument(
        "overrides", nargs="*", metavar="key=value", help="keys of evaluation, as in data.root=…"
    )
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--targets", type=int, help="target pictures, if not the experiment's number")

    sub = verb("edit", _edit, "Edit a face to action units.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument(
        "--image", required=True, nargs="+", help="picture with a face; several with --expressions"
    )
    sub.add_argument("--expressions", action="store_true", help="a grid: the pictures x eight expressions, "
                     "with dlib's verdict on the person")  # fmt: skip
    sub.add_argument(
        "--au", nargs="+", default=[], metavar="AU12=4", help="intensities 0 to 5; the others as they are"
    )
    sub.add_argument("--like", help="picture whose AUs to take")
    sub.add_argument("--like-au", help="OpenFace CSV of that picture")
    sub.add_argument("--image-au", help="OpenFace CSV of the picture itself")
    sub.add_argument("--steps", type=int, default=1, help="pictures of an interpolation (eq. 8)")
    sub.add_argument("--paste", action="store_true", help="put the edited face back into the whole picture")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", required=True, help=".png (a strip if there are steps), .gif or .mp4")

    sub = verb("crossval", _crossval, "Cross-validate recognition over people: Table 1 of TER-GAN.")
    sub.add_argument("experiment", help="a TER-GAN experiment")
    sub.add_argument("overrides", nargs="*", metavar="key=value", help="any config key, for all folds")
    sub.add_argument("--folds", type=int, default=8)
    sub.add_argument("--fold", type=int, help="this fold alone, from 0: a job of a cluster")

    sub = verb("transfer", _transfer, "Give one face the expression of another.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument(
        "--source", required=True, nargs="+", help="picture with the expression; several make a grid"
    )
    sub.add_argument(
        "--target", required=True, nargs="+", help="picture with the person; several make a grid"
    )
    sub.add_argument("--paste", action="store_true", help="put the face back into the target's whole picture")
    sub.add_argument("--attention", metavar="PNG", help="draw where AIP-GAN looks in the sources")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", required=True, help=".png or .jpg")

    sub = verb("reenact", _reenact, "Move a face by a film, by OpenFace's CSV, or by hand.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument("--source", required=True, help="picture with the face")
    sub.add_argument("--driving", help="film whose head and expression are taken")
    sub.add_argument("--driving-csv", help="OpenFace's CSV of it; alone, it drives without a film")
    sub.add_argument("--take", nargs="+", default=[], metavar="mouth=CSV", help="columns from another CSV: pose, "
                     "expression, brows, eyes, mouth, or names such as yaw,AU45")  # fmt: skip
    sub.add_argument("--set", nargs="+", default=[], metavar="AU12=3", help="hold columns; angles in radians")
    sub.add_argument("--scale", nargs="+", default=[], metavar="expression=1.5", help="multiply columns")
    sub.add_argument("--smooth", type=float, default=0.0, help="frames of a Gaussian over time")
    sub.add_argument("--alone", action="store_true", help="without source and driver beside the result")
    sub.add_argument("--sweep", metavar="yaw", help="a strip of one angle or AU over its range instead")
    sub.add_argument("--steps", type=int, default=7, help="pictures of that strip")
    sub.add_argument("--neutral", action="store_true", help="the neutral face instead")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", required=True, help=".mp4 of a film, .png of pictures")

    sub = verb("recognise", _recognise, "Which expressions do pictures show?")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument("pictures", nargs="+", help="picture files, or folders of them")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", help="a CSV for the same")

    sub = verb("report", _report, "Published figures beside those of the newest runs.")
    sub.add_argument("--out", help="a file; the terminal if not given")
    return parser


def _list(args: argparse.Namespace) -> None:
    from facegan.runs import experiments

    for name, path in experiments().items():
        first = path.read_text().splitlines()[0].lstrip("# ")
        print(f"{name:28} {first}")


def _runs(args: argparse.Namespace) -> None:
    from facegan.runs import all_runs

    for run in all_runs():
        state = "evaluated" if (run.evaluation / "evaluation.json").exists() else (
            "trained" if run.last.exists() else "no checkpoint"
        )  # fmt: skip
        print(f"{run.folder}  {state}")


def _assets(args: argparse.Namespace) -> None:
    from datamodules.generated.assets import fetch_ict

    print(fetch_ict(source=args.source))


def _generate(args: argparse.Namespace) -> None:
    from datamodules.generated.request import GenerateConfig, generate

    if args.sheet:
        from datamodules.generated.sheets import contact_sheet

        print(*contact_sheet(args.head, Path(args.sheet)), sep="\n")
        return
    if not args.root:
        raise UserError("generate needs --root DIR (where to write) or --sheet PNG (a look at the faces)")
    keys = [option.name for option in fields(GenerateConfig)]
    given = {key: value for key in keys if (value := getattr(args, key)) is not None}
    print(generate(GenerateConfig(**given)))


def _dataset(args: argparse.Namespace) -> Any:
    """The data module that a command line names."""
    from datamodules.all import DATAMODULES
    from facegan.experiment import load_data_config

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
    try:
        split = data.parts(found.records)
    except UserError as error:
        # a part of a data set is worth a look, too
        print(f"{error}\n")
        none = np.zeros(0, np.int64)
        split = Split(none, none, none)
    print(inspection.table(found, split))
    if args.samples > 0:
        path = Path(args.sheet or f"{args.dataset}_sheet.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(path, inspection.sheet(found.records, data.config.landmarks, args.samples))
        print(f"sheet: {path}")
    if args.splits:
        with open(args.splits, "w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("path", "frame", "identity", "part"))
            rows.writerows(split.table(found.records))
        print(f"splits: {args.splits}")


def _prepare(args: argparse.Namespace) -> None:
    from datamodules.all import DATAMODULES
    from facegan.experiment import build_data, load_config, load_data_config

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
    from facegan.experiment import load_config, train
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

        written |= evaluate_run(run)
    for key, path in written.items():
        print(f"{key:14} {path}")


def _evaluate(args: argparse.Namespace) -> None:
    from facegan.evaluation import evaluate_run
    from facegan.runs import find_run

    for key, path in evaluate_run(find_run(args.run), args.checkpoint, args.overrides, args.targets).items():
        print(f"{key:14} {path}")


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
            constants=args.set, factors=args.scale, smooth=args.smooth, alone=args.alone, checkpoint=args.checkpoint,
        ))  # fmt: skip


def _recognise(args: argparse.Namespace) -> None:
    from facegan.transferring import recognise_files

    print(recognise_files(args.run, args.pictures, args.out, args.checkpoint))


def _report(args: argparse.Namespace) -> None:
    from facegan.report import report
    from facegan.runs import all_runs

    text = report([run.evaluation / "evaluation.json" for run in all_runs()])
    if args.out:
        Path(args.out).write_text(text)
    print(args.out or text)


if __name__ == "__main__":
    sys.exit(main())
