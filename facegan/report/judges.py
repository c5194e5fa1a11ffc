"""The judges that the figures of a report rest on: what each is worth, and how far figures move with another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from facegan.findings import MARK, headlines, judges_of, marked, on_real, weak_judges
from facegan.judges.weights import IN_LOSS, TRUSTED, WEAK
from facegan.report.collection import Evaluated, by_judges
from facegan.tables import markdown_table, number


def each_judge(judges: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each judge and what it is, one by one."""
    named: list[tuple[str, str]] = []
    for kind, text in judges.items():
        if isinstance(text, Mapping):
            each = [f"{name}: {words}" for name, words in text.items()]
        else:
            each = text if isinstance(text, list) else [text]
        named += [(kind, one) for one in each]
    return named


def judges_table(evaluations: Sequence[Evaluated]) -> str:
    """Every judge that a figure above rests on, what it is worth, and where it is not to be trusted."""
    used: dict[tuple[str, str], list[Evaluated]] = {}
    for one in evaluations:
        for kind, text in each_judge(judges_of(one.result)):
            used.setdefault((kind, text), []).append(one)
    rows = []
    for (kind, text), group in used.items():
        name = next((name for name in ("LightCNN", "dlib") if kind == "identity" and name in text), kind)
        said: dict[str, str] = {}
        for one in group:
            measure, value = on_real(one.result).get(name, ("", None))
            seen = f" ({TRUSTED[measure][0]} {number(value, 3)})" if measure else ""
            said[one.label] = one.label + seen + MARK * (name in weak_judges(one.result))
        trust = "**weak**" if WEAK in text else "**in the loss**" if IN_LOSS in text else ""
        rows.append([kind, text, trust, ", ".join(said.values())])
    least = ", ".join(f"{name} {value}" for name, value in TRUSTED.values())
    header = [
        "of", "judge, and what it reached on people it did not learn from", "",
        f"for (and on those test people's own pictures; {MARK} weak there)",
    ]  # fmt: skip
    return "\n".join([
        markdown_table(header, rows),
        f"Weak is below {least}, by what is known of the judge or on the test people's own, untouched pictures: of AUs "
        "on the targets, of expressions on the sources, of persons on real pairs. Landmarks and poses are read by "
        "dlib's finder, whose errors show in the row *copy the target*. A network in a method's loss is one that it "
        "was trained to please: such figures are there because papers have them.\n",
    ])  # fmt: skip


def moved(evaluations: Sequence[Evaluated]) -> str:
    """How far figures move with another judge: of the runs that were put to several, the mean over seeds."""
    parts = ["### The same runs, other judges\n"]
    by_label: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for one in evaluations:
        for result in (judged.result for judged in by_judges(one)):
            by_label.setdefault(one.label, {}).setdefault(str(result["judges"]), []).append(result)
    for label, judged in by_label.items():
        if len(judged) < 2:
            continue
        figures = [[headlines(result) for result in results] for results in judged.values()]
        names = [name for name in figures[0][0] if all(name in one for seeds in figures for one in seeds)]
        firsts = [results[0] for results in judged.values()]
        rows = []
        for first, seeds in zip(firsts, figures, strict=True):
            means = (sum(one[name] for one in seeds) / len(seeds) for name in names)
            cells = (marked(first, name, mean) for name, mean in zip(names, means, strict=True))
            rows.append([f"`{first['command']}`", str(len(seeds)), *cells])
        parts += [f"{label}:\n", markdown_table(["", "seeds", *names], rows)]
        parts.append("".join(f"* `{one['command']}`: {_different(one, firsts)}\n" for one in firsts))
    if len(parts) == 1:
        parts.append(
            "Not asked yet: `facegan evaluate RUN judge=EXPERIMENT`, with the experiment of another judge: "
            "`judge_au` for `eggan_demo`.\n"
        )
    return "\n".join(parts)


def _different(result: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str:
    """The judges of an evaluation that not all the others have."""
    everywhere = set.intersection(*(set(each_judge(judges_of(other))) for other in others))
    return "; ".join(
        f"{kind}: {text}" for kind, text in each_judge(judges_of(result)) if (kind, text) not in everywhere
    )
