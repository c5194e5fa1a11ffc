"""The tables of the four papers: what they print, which experiments fill them, where an evaluation has the figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facegan.faces import AU_NAMES, POSE
from facegan.intervals import (
    Statistic,
    correlation,
    mean_of,
    mean_of_classes,
    percent,
    presence,
    product_of,
    squared_error,
)
from facegan.published import (
    AIPGAN_TABLE1,
    EGGAN_TABLE1_AVERAGE,
    EGGAN_TABLE1_MSE,
    EGGAN_TABLE1_PCC,
    EGGAN_TABLE2,
    ICFACE_TABLE1,
    ICFACE_TABLE2,
    TERGAN_TABLE1,
)
from facegan.tables import COPY_SOURCE, COPY_TARGET

Figures = tuple[float | None, ...]


@dataclass(frozen=True)
class PaperTable:
    """One table of a paper, or one that a paper should have had.

    Attributes:
        columns: their names, each with the direction that is better.
        published: rows as printed, in the columns' units; None where the paper has no figure.
        on: the data set that those are measured on.
        experiments: which fill it, the paper's own first.
        fits: whether an evaluation belongs here.
        row: figures of a row (a trivial one, or the method's) of an evaluation.
        rows: the rows of an evaluation that stand here beside the method's.
        command: what fills the table, with the experiment's name in it.
        over_people: columns that have an interval over people, and what of ``pairs.csv`` gives it.
        digits: after the point; ``digits_of`` single columns.
    """

    paper: str
    title: str
    columns: tuple[str, ...]
    published: Mapping[str, Figures]
    on: str
    experiments: tuple[str, ...]
    fits: Callable[[Mapping[str, Any]], bool]
    row: Callable[[Mapping[str, Any], str], Figures]
    rows: tuple[str, ...] = (COPY_SOURCE, COPY_TARGET)
    command: str = "facegan train {}"
    over_people: Mapping[str, Statistic] = field(default_factory=dict)
    digits: int = 2
    digits_of: Mapping[str, int] = field(default_factory=dict)


_RAFD = (
    "eggan_rafd", "eggan_rafd_no_perceptual", "eggan_rafd_no_identity", "eggan_rafd_no_msssim", "eggan_rafd_eq2",
    "eggan_rafd_released",
)  # fmt: skip
_OULU = ("tergan_oulu_finetuned", "tergan_oulu", "tergan_oulu_no_consistency", "tergan_oulu_faithful_pairs")
_AIPGAN = (
    "aipgan_oulu", "aipgan_bu4dfe", "aipgan_oulu_no_attention_no_ceb", "aipgan_bu4dfe_no_attention_no_ceb",
)  # fmt: skip
_VOXCELEB = ("icface_voxceleb", "icface_voxceleb_no_neutralizer", "icface_voxceleb_alternating")
_PERSONS = {
    f"person by {judge}, % ↑": percent(mean_of(f"verified_{judge}")) for judge in ("LightCNN", "dlib")
}


def _protocol(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda result: result["protocol"] in names


def _eggan_aus(measure: str) -> Callable[[Mapping[str, Any], str], Figures]:
    def row(result: Mapping[str, Any], name: str) -> Figures:
        scores = result["table1"]["au"][name]
        return scores[f"{measure}_mean"], *scores[measure]

    return row


def _verified(identity: Mapping[str, Any], name: str) -> Figures:
    """Share in % that LightCNN and dlib take for the same person; None where they did not judge."""
    rows = (identity.get(judge, {}).get(name, {}) for judge in ("LightCNN", "dlib"))
    return tuple(100 * row["accuracy"] if "accuracy" in row else None for row in rows)


def _transferred(result: Mapping[str, Any], name: str) -> Figures:
    recognised, persons = result["expression"][name], _verified(result["identity"], name)
    return 100 * recognised, *persons, *(None if v is None else recognised * v / 100 for v in persons)


def _likeness(result: Mapping[str, Any], name: str) -> Figures:
    likeness = result["likeness"]
    face, own, judged = (
        likeness.get(key, {}).get(name) for key in ("face", "expression", "expression_judge")
    )
    return (
        None if face is None else face["share"],
        *(None if like is None else like["mean"] for like in (face, own, judged)),
    )


_CODES = {"CNN baseline": "baseline", "AUs alone, no encoder": "aus"}


def _recognised(result: Mapping[str, Any], name: str) -> Figures:
    codes = result[_CODES.get(name, "ours")]
    return 100 * codes["accuracy"], 100 * codes["balanced"], 100 * codes["identity_probe"]


def _presence(result: Mapping[str, Any], name: str) -> Figures:
    row = result["rows"][name]
    balanced = row["presence"]["balanced_mean"]
    persons = _verified(result["identity"], name)
    return (
        None if balanced is None else 100 * balanced, row["presence"]["f_mean"], *row["angles"].values(), *persons,
    )  # fmt: skip


def _quality(result: Mapping[str, Any], name: str) -> Figures:
    quality = result["rows"][name]["quality"]
    return quality.get("CNNIQA"), quality.get("DeepIQA")


def _padded(values: Mapping[str, Figures], width: int) -> dict[str, Figures]:
    return {name: (*row, *[None] * (width - len(row))) for name, row in values.items()}


TABLES: tuple[PaperTable, ...] = (
    PaperTable(
        "EGGAN", "Table 1: mean squared error of AU intensities", ("AU mean ↓", *AU_NAMES),
        {name: (EGGAN_TABLE1_AVERAGE[name][0], *row) for name, row in EGGAN_TABLE1_MSE.items()}, "RaFD", _RAFD,
        _protocol("eggan"), _eggan_aus("mse"),
        over_people={"AU mean ↓": mean_of("au_mse")} | {au: squared_error([au]) for au in AU_NAMES},
    ),
    PaperTable(
        "EGGAN", "Table 1: correlation (PCC) of AU intensities", ("AU mean ↑", *AU_NAMES),
        {name: (EGGAN_TABLE1_AVERAGE[name][1], *row) for name, row in EGGAN_TABLE1_PCC.items()}, "RaFD", _RAFD,
        _protocol("eggan"), _eggan_aus("pcc"),
        over_people={"AU mean ↑": correlation()} | {au: correlation([au]) for au in AU_NAMES},
    ),
    PaperTable(
        "EGGAN", "Table 2: the same person, verified", ("LightCNN, % ↑", "dlib, % ↑"),
        _padded({name: (value,) for name, value in EGGAN_TABLE2.items()}, 2), "RaFD", _RAFD,
        _protocol("eggan"), lambda result, name: _verified(result["table2"], name), ("real", COPY_SOURCE, COPY_TARGET),
        over_people={f"{judge}, % ↑": percent(mean_of(f"verified_{judge}")) for judge in ("LightCNN", "dlib")},
    ),
    PaperTable(
        "EGGAN", "Frames of a film (no table of the paper)", ("L1 ↓", "AU MSE ↓", "AU PCC ↑"),
        {}, "", ("eggan_video",), lambda result: _protocol("frames")(result) and "pose" not in result["judges"],
        lambda result, name: (
            result["scores"][name]["l1"], *(result["scores"][name]["au"][f"{k}_mean"] for k in ("mse", "pcc")),
        ),
    ),
    PaperTable(
        "TER-GAN", "Table 1: recognition of six expressions",
        ("accuracy, % ↑", "mean over classes, % ↑", "identity read off f(e), % ↓"),
        _padded({f"{name}, {setting}": (value,) for name, (setting, value) in TERGAN_TABLE1.items()}, 3), "Oulu-CASIA",
        (*_OULU, "tergan_oulu_cnn"), _protocol("recognition"), _recognised, tuple(_CODES),
        "facegan crossval {} --folds 8",
        over_people={
            "accuracy, % ↑": percent(mean_of("recognised")),
            "mean over classes, % ↑": percent(mean_of_classes("recognised")),
        },
    ),
    PaperTable(
        "TER-GAN", "Figs. 3 and 4 in figures (the paper has pictures only)",
        ("expression recognised, % ↑", *_PERSONS, "product, LightCNN ↑", "product, dlib ↑"),
        {}, "", _OULU, _protocol("transfer", "aipgan"), _transferred,
        over_people=_PERSONS | {
            "expression recognised, % ↑": percent(mean_of("recognised")),
            **{f"product, {judge} ↑": product_of("recognised", f"verified_{judge}") for judge in ("LightCNN", "dlib")},
        },
    ),
    *(
        PaperTable(
            "AIP-GAN", f"Table 1, {title}", ("Face-Verf ↑", "mean cosine ↑", "Exp-Sim ↑", "Exp-Sim by the judge ↑"),
            {name: (row[at], None, row[at + 1], None) for name, row in AIPGAN_TABLE1.items()}, on,
            experiments, (lambda cross: lambda result: result["protocol"] == "aipgan"
                          and (result["trained_on"] is not None) == cross)(at > 0), _likeness, digits=3,
            over_people={
                "Face-Verf ↑": mean_of("likeness_face_verified"), "mean cosine ↑": mean_of("likeness_face"),
                "Exp-Sim ↑": mean_of("likeness_expression"),
                "Exp-Sim by the judge ↑": mean_of("likeness_expression_judge"),
            },
        )
        for at, title, on, experiments in (
            (0, "same distribution", "Oulu-CASIA and BU-4DFE", _AIPGAN),
            (2, "across data sets", "BU-4DFE to CelebA", ("aipgan_bu4dfe_celeba",)),
        )
    ),
    PaperTable(
        "ICface", "Table 1: picture quality", ("CNNIQA ↓", "DeepIQA ↓"), ICFACE_TABLE1, "VoxCeleb", _VOXCELEB,
        _protocol("reenactment"), _quality,
        over_people={"CNNIQA ↓": mean_of("CNNIQA"), "DeepIQA ↓": mean_of("DeepIQA")},
    ),
    PaperTable(
        "ICface", "Table 2: AUs of driver and result",
        ("presence, balanced % ↑", "F-score ↑", "pitch ° ↓", "yaw ° ↓", "roll ° ↓", *_PERSONS),
        _padded(ICFACE_TABLE2, 7), "VoxCeleb", _VOXCELEB, _protocol("reenactment"), _presence,
        digits_of={"F-score ↑": 4}, over_people=_PERSONS | {
            "presence, balanced % ↑": percent(presence("balanced")), "F-score ↑": presence("f"),
            **{f"{angle} ° ↓": mean_of(f"{angle}_error") for angle in POSE},
        },
    ),
    PaperTable(
        "ICface", "Frames of a film (no table of the paper)",
        ("L1 ↓", "AU MSE ↓", "AU PCC ↑", "pitch ° ↓", "yaw ° ↓", "roll ° ↓"),
        {}, "", ("icface_clip",), lambda result: _protocol("frames")(result) and "pose" in result["judges"],
        lambda result, name: (
            result["scores"][name]["l1"], *(result["scores"][name]["au"][f"{k}_mean"] for k in ("mse", "pcc")),
            *(result["scores"][name]["angles"][angle] for angle in POSE),
        ),
    ),
)  # fmt: skip
