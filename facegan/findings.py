"""What an evaluation found: its file, the figures that runs are compared by, and the judges not to be trusted."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facegan.config import UserError
from facegan.faces import AU_NAMES
from facegan.judges.weights import IN_LOSS, TRUSTED, WEAK
from facegan.runs import Run
from facegan.tables import COPY_SOURCE, COPY_TARGET, number

FINDINGS = "evaluation.json"
"""What every protocol leaves in a run's folder ``evaluation``."""
RECOGNITION = "recognition.json"
"""What a fold of a cross-validation leaves there."""
WHOLE = "crossval.json"
"""What all folds together leave in the folder above: command and figures."""
PICTURES = "pictures.csv"
"""What it leaves of each picture beside it: person, expression, and whether it was recognised."""
SOURCES = ("each person's calmest picture", "each person's strongest expression")
"""Whom a method is shown, by the protocol's ``strong``."""
MARK = "†"
"""Stands behind a figure that rests on a weak judge."""


def write_findings(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write ``evaluation.json``, whole or not at all."""
    path = folder / FINDINGS
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(temporary, path)
    return path


def read_findings(
    path: Path, keys: Sequence[str] = ("protocol", "method", "data", "judges")
) -> dict[str, Any]:
    """The JSON of an evaluation, which has these keys.

    Raises:
        UserError: it is not there, not whole, or of something else.
    """
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); make it again") from None
    missing = [key for key in keys if not isinstance(result, dict) or key not in result]
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}: it is not whole; make it again")
    return dict(result)


def headlines(result: Mapping[str, Any]) -> dict[str, float]:
    """The few figures by which runs of one experiment are compared, by name; what was not measured is left out.

    Args:
        result: any protocol's ``evaluation.json``.
    """
    own: dict[str, float | None]
    match result["protocol"]:
        case "frames":
            row = result["scores"][result["method"]]
            own = {
                "L1": row["l1"], "AU MSE": row["au"]["mse_mean"], "AU PCC": row["au"]["pcc_mean"],
                "geometry PCC": row["geometry"]["pcc_mean"],
                **{f"{name}, degrees": value for name, value in row.get("angles", {}).items()},
            }  # fmt: skip
        case "reenactment":
            row = result["rows"][result["method"]]
            own = {"AU presence": row["presence"]["balanced_mean"], "AU PCC": row["intensity"]["pcc_mean"]}
            own |= {f"{name}, degrees": value for name, value in row["angles"].items()}
            own |= _verified(result["identity"], result["method"])
        case "transfer" | "aipgan":
            recognised = result["expression"][result["method"]]
            own = {"expression recognised": recognised} | _verified(result["identity"], result["method"])
            for name, table in _judged(result["identity"], result["method"]).items():
                own[f"product with {name}"] = recognised * table[result["method"]]["accuracy"]
            own |= _likenesses(result.get("likeness", {}), result["method"])
        case _:
            summary = result["summary"]
            own = {
                "AU MSE": summary["au_mse"], "AU PCC": summary["au_pcc"], "geometry PCC": summary["geometry_pcc"],
                "FID": summary.get("fid"),
                **{f"cosine by {judge}": v for judge, v in summary.get("cosine", {}).items()},
                **{f"verified by {judge}, of Real": v for judge, v in summary["verification_over_real"].items()},
            }  # fmt: skip
    return {name: value for name, value in own.items() if value is not None}


def _verified(identity: Mapping[str, Any], method: str) -> dict[str, float | None]:
    return {
        f"verified by {name}, of Real": table[method]["accuracy"] / table["real"]["accuracy"]
        for name, table in _judged(identity, method).items()
    }


def _judged(identity: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    return {name: table for name, table in identity.items() if method in table}


def judges_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What figures rest on, by kind: the judges, and the networks of AIP-GAN's two measures by the measures' names."""
    networks = {"face": "Face-Verf", **_EXP_SIM}
    likeness = result.get("likeness", {})
    return result["judges"] | {
        networks[key]: like["network"] for key, like in likeness.items() if key in networks
    }


_EXP_SIM = {"expression": "Exp-Sim", "expression_judge": "Exp-Sim by the judge"}


def _likenesses(likeness: Mapping[str, Any], method: str) -> dict[str, float | None]:
    """AIP-GAN's two measures, through the networks of its losses and through a judge apart."""
    means = {title: likeness[key][method]["mean"] for key, title in _EXP_SIM.items() if key in likeness}
    return ({"Face-Verf": likeness["face"][method]["share"]} if "face" in likeness else {}) | means


def state(run: Run) -> str:
    """How far a run has come, in a few words."""
    path = run.evaluation / FINDINGS
    if path.exists():
        try:
            read_findings(path)
        except UserError:
            return f"its {FINDINGS} is broken: evaluate it again"
        return "evaluated"
    if any(run.folder.glob(f"evaluation-*/{FINDINGS}")):
        return "evaluated in another way than its own"
    return "trained" if run.last.exists() else "no checkpoint"


def rests_on(figure: str) -> set[str]:
    """The judges that a figure of that name rests on: "au", "expression", "LightCNN", "dlib", or a measure's own."""
    judges = {name for name in ("LightCNN", "dlib") if name in figure}
    if figure.startswith(("expression recognised", "product", "Exp-Sim by the judge")):
        judges.add("expression")
    if figure.startswith(("AU ", "presence", "F-score", "FID", *AU_NAMES)):
        judges.add("au")
    if figure.startswith(("Face-Verf", "mean cosine")):
        judges.add("Face-Verf")
    if figure.startswith("Exp-Sim") and "by the judge" not in figure:
        judges.add("Exp-Sim")
    return judges


def on_real(result: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """How each judge did on the untouched pictures of an evaluation's own test people: by judge, measure and figure."""
    seen: dict[str, tuple[str, float | None]] = {}
    for name, rows in (result.get("identity") or result.get("table2") or {}).items():
        seen[name] = ("balanced_accuracy", rows.get("real", {}).get("accuracy"))
    if "expression" in result:
        seen["expression"] = ("accuracy", result["expression"][COPY_SOURCE])
    match result["protocol"]:
        case "eggan":
            seen["au"] = ("pcc_mean", result["table1"]["au"][COPY_TARGET]["pcc_mean"])
        case "reenactment":
            seen["au"] = ("pcc_mean", result["rows"][COPY_TARGET]["intensity"]["pcc_mean"])
        case "frames":
            seen["au"] = ("pcc_mean", result["scores"][COPY_TARGET]["au"]["pcc_mean"])
        case "comparison":
            seen |= {name: ("balanced_accuracy", value) for name, value in result["real"].items()}
            # both rows are asked for the source's expression: only the source itself has it
            seen["expression"] = ("accuracy", result["rows"][COPY_SOURCE]["recognised"])
            seen["au"] = ("pcc_mean", result["rows"][COPY_SOURCE]["au_pcc"])
    return {name: (measure, value) for name, (measure, value) in seen.items() if value is not None}


def untrusted(description: str) -> bool:
    """Whether a judge's description says that its figures are to be marked."""
    return WEAK in description or IN_LOSS in description


def weak_judges(result: Mapping[str, Any]) -> set[str]:
    """Which judges of an evaluation are not to be trusted.

    Weak ones, by what is known of them or on its own people's real pictures, and networks of the method's losses.
    """
    told = {kind for kind, text in judges_of(result).items() if isinstance(text, str) and untrusted(text)}
    return told | {name for name, (measure, value) in on_real(result).items() if value < TRUSTED[measure][1]}


def marked(result: Mapping[str, Any], figure: str, value: float) -> str:
    """A headline figure for a table, with ``MARK`` where its judge is weak."""
    return number(value, 3) + MARK * bool(rests_on(figure) & weak_judges(result))
