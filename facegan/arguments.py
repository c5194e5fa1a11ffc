"""What can be typed: the verbs of the command line and their options. What they do is in ``cli.py``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.generated.request import AU_MIXES, LAYOUTS


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was typed; ends the program with a sentence where it cannot be."""
    known = parser()
    args, more = known.parse_known_args(argv)
    # argparse takes no more key=value once it has seen an option
    if any("=" not in word or word.startswith("-") for word in more) or (
        more and not hasattr(args, "overrides")
    ):
        known.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        args.overrides = [*args.overrides, *more]
    return args


def parser() -> argparse.ArgumentParser:
    """The parser of ``facegan VERB …``; what it parses has the verb's name in ``verb``."""
    whole = argparse.ArgumentParser(prog="facegan", description="Experiments in facial expression synthesis.")
    verbs = whole.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=name)
        return sub

    verb("list", "Show the experiments.")
    verb("runs", "Show the runs.")

    sub = verb("assets", "Fetch what is not part of the package (the ict head), once.")
    sub.add_argument("name", choices=["ict"])
    sub.add_argument("--source", type=Path, help="a local copy of the repository, instead of fetching it")

    sub = verb("generate", "Write generated faces in a data set's layout.")
    sub.add_argument("layout", choices=LAYOUTS, nargs="?", default="folder")
    sub.add_argument("--root", help="folder to write to")
    sub.add_argument(
        "--people",
        type=int,
        help="how many; else 100 (folder, voxceleb, celeba), 30 (mmi), or as many as the data set has",
    )
    sub.add_argument("--first-person", type=int, help="seed of the first person; test people start at 500000")
    sub.add_argument("--pictures", type=int, help="pictures of each person (folder)")
    sub.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="more of the layout's options, as kind=1fps (voxceleb)",
    )
    sub.add_argument("--head", choices=["procedural", "ict"], default="procedural")
    sub.add_argument(
        "--aus",
        choices=AU_MIXES,
        help="which expressions (folder); apexes: as Oulu-CASIA's sequences end",
    )
    sub.add_argument(
        "--spread", type=float, help="of pose, light and background (folder): 0 a studio, 1 anything"
    )
    sub.add_argument(
        "--ambiguity",
        type=float,
        help="of expressions (oulu_casia, apexes): 0 as the prototypes, 1 weak and mixed",
    )
    sub.add_argument("--size", type=int, help="side of a picture (folder)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--workers", type=int, help="processes; as many as there are cores if not given")
    sub.add_argument("--defects", action="store_true", help="with the traps of the real data set")
    sub.add_argument(
        "--sheet", metavar="PNG", help="draw a contact sheet instead: people, expressions, AUs 0 to 5"
    )

    sub = verb("openface", "Run OpenFace on raw data, or print the commands that would.")
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

    sub = verb("data", "What a folder of raw data holds: a table, and a sheet of samples.")
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

    for name, text in (
        ("prepare", "Raw pictures to prepared faces."),
        ("train", "Train an experiment."),
    ):
        sub = verb(name, text)
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

    sub = verb("evaluate", "The paper's protocol on a run: tables and figures.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument(
        "overrides", nargs="*", metavar="key=value", help="keys of evaluation, as in data.root=…"
    )
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--targets", type=int, help="target pictures, if not the experiment's number")

    sub = verb("pack", "Make a run small enough to hand on: averaged weights in half precision, and a card.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument("--out", type=Path, required=True, help="folder to write; commands take it as a run")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")

    sub = verb("edit", "Edit a face to action units.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument(
        "--image",
        required=True,
        nargs="+",
        action="extend",
        help="picture with a face; several with --expressions",
    )
    sub.add_argument("--expressions", action="store_true", help="a grid: the pictures x eight expressions, "
                     "with dlib's verdict on the person")  # fmt: skip
    sub.add_argument(
        "--au",
        nargs="+",
        action="extend",
        default=[],
        metavar="AU12=4",
        help="intensities 0 to 5; the others as they are",
    )
    sub.add_argument("--like", help="picture whose AUs to take")
    sub.add_argument("--like-au", help="OpenFace CSV of that picture")
    sub.add_argument("--image-au", help="OpenFace CSV of the picture itself")
    sub.add_argument("--steps", type=int, default=1, help="pictures of an interpolation (eq. 8)")
    sub.add_argument("--paste", action="store_true", help="put the edited face back into the whole picture")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", required=True, help=".png (a strip if there are steps), .gif or .mp4")

    sub = verb("crossval", "Cross-validate recognition over people: Table 1 of TER-GAN.")
    sub.add_argument("experiment", help="a TER-GAN experiment")
    sub.add_argument("overrides", nargs="*", metavar="key=value", help="any config key, for all folds")
    sub.add_argument("--folds", type=int, default=8)
    sub.add_argument("--fold", type=int, help="this fold alone, from 0: a job of a cluster")

    sub = verb("ablate", "An experiment and its ablations over seeds, and their table.")
    sub.add_argument(
        "experiment", help="its ablations are the experiments whose names go on with an underscore"
    )
    sub.add_argument("overrides", nargs="*", metavar="key=value", help="any config key, for all runs")
    sub.add_argument("--seeds", type=int, default=3, help="runs of each")
    sub.add_argument("--variant", help="this one alone")
    sub.add_argument("--seed", type=int, help="this seed alone")
    sub.add_argument("--submit", choices=["slurm", "local"], help="each run as a job, by submitit")
    sub.add_argument(
        "--job",
        action="append",
        default=[],
        metavar="slurm_partition=gpu",
        help="submitit's parameter; may be repeated",
    )

    sub = verb("compare", "Runs of any methods on one task and the same people, side by side.")
    sub.add_argument("runs", nargs="+", metavar="RUN", help="run folders, or experiments for their newest runs; "
                     "key=value among them are config keys of the data")  # fmt: skip
    sub.add_argument("--on", metavar="EXPERIMENT", help="whose test people; else the first run's")
    sub.add_argument("--targets", type=int, default=600, help="pairs")

    sub = verb("transfer", "Give one face the expression of another.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument(
        "--source",
        required=True,
        nargs="+",
        action="extend",
        help="picture with the expression; several make a grid",
    )
    sub.add_argument(
        "--target",
        required=True,
        nargs="+",
        action="extend",
        help="picture with the person; several make a grid",
    )
    sub.add_argument("--paste", action="store_true", help="put the face back into the target's whole picture")
    sub.add_argument("--attention", metavar="PNG", help="draw where AIP-GAN looks in the sources")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", required=True, help=".png or .jpg")

    sub = verb("reenact", "Move a face by a film, by OpenFace's CSV, or by hand.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument("--source", required=True, help="picture with the face")
    sub.add_argument("--driving", help="film or picture whose head and expression are taken")
    sub.add_argument("--driving-csv", help="OpenFace's CSV of it; alone, it drives without a film")
    more: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    sub.add_argument("--take", metavar="mouth=DRIVER", **more, help="columns of another CSV, film or picture: pose, "
                     "expression, brows, eyes, mouth, or names such as yaw,AU45")  # fmt: skip
    sub.add_argument("--set", metavar="AU12=3", **more, help="hold columns; angles in radians")
    sub.add_argument("--scale", metavar="expression=1.5", **more, help="multiply columns")
    sub.add_argument("--au-judge", nargs="?", const="", metavar="WEIGHTS", help="an AU judge looks at drivers without "
                     "a CSV, and dlib at their heads; else the run's own attribute head does")  # fmt: skip
    sub.add_argument("--smooth", type=float, default=0.0, help="frames of a Gaussian over time")
    sub.add_argument("--alone", action="store_true", help="without source and driver beside the result")
    sub.add_argument(
        "--half", action="store_true", help="in bfloat16: faster on GPUs, and on CPUs made for it"
    )
    sub.add_argument(
        "--sweep", metavar="yaw", help="a strip of one angle or AU over its range instead; --set holds others"
    )
    sub.add_argument("--steps", type=int, help="pictures of that strip; else 7")
    sub.add_argument("--neutral", action="store_true", help="the neutral face instead")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", required=True, help=".mp4 of a film, .png of pictures")

    sub = verb("recognise", "Which expressions do pictures show?")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument("pictures", nargs="+", help="picture files, or folders of them")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--out", help="a CSV for the same")

    sub = verb("demo", "A page in the browser to try a run.")
    sub.add_argument("run", help="a run folder, or an experiment's name for its newest run")
    sub.add_argument("--checkpoint", default="last", help="last, best or a file")
    sub.add_argument("--port", type=int, help="of 127.0.0.1; the first free one from 7860 on if not given")
    sub.add_argument("--open", action="store_true", help="open the browser, too")

    sub = verb("report", "Every table and figure of the papers, with what has been evaluated beside it.")
    sub.add_argument(
        "--wandb", metavar="PROJECT", help="the evaluations of a W&B project too, as entity/project"
    )
    sub.add_argument("--out", metavar="FILE", help=".html with its pictures in it, or .md; else the terminal")
    return whole
