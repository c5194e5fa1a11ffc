"""Trained networks as a small folder to hand on: config, weights in half precision, and a card that says what they are.

``facegan pack RUN --out FOLDER`` makes one; every command that takes a run takes such a folder, or the name of
one that came with the package (``facegan/pretrained``).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from facegan.config import UserError, data_home, judges_home, runs_home
from facegan.faces import AU_NAMES
from facegan.findings import FINDINGS, read_findings, weak_judges
from facegan.methods import METHODS, TITLES
from facegan.report.collection import training
from facegan.runs import WEIGHTS, Run
from facegan.tables import COPY_SOURCE, COPY_TARGET

LIMITS = "**Limits.**"
"""Begins a card's line on what the network cannot do."""
LOSSES_ONLY = ("w_if", "w_ef", "w_identity", "w_perceptual")
"""Weights of losses that look through networks of their own; without them those networks are not built."""


def pack(run: Run, out: Path, checkpoint: str = "last") -> Path:
    """Write the networks that users of a run need, its config and a card to the folder ``out``; gives the weights.

    Raises:
        UserError: no such checkpoint, or trained without averaging, or ``out`` holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / WEIGHTS).exists():
        raise UserError(f"{out} holds other files; name a new folder")
    if run.last.name == WEIGHTS:
        raise UserError(f"{run.folder} is packed already")
    parameters, weights = read_weights(run.checkpoint(checkpoint))
    method: Any = METHODS[parameters["config"]["name"]][1]
    if not hasattr(method, "in_use"):
        raise UserError(f"{run.folder} is a run of {parameters['config']['name']}, which edits no faces")
    if parameters["config"]["ema_half_life"] == 0:
        raise UserError(
            f"{run.folder} was trained without averaging (method.ema_half_life=0), and has nothing to pack"
        )
    without = {key: 0.0 for key in LOSSES_ONLY if key in parameters["config"]}
    parameters = {**parameters, "config": {**parameters["config"], **without}}
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in weights.items()
        if key.startswith(method.in_use)
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, out / WEIGHTS, {"hyper_parameters": json.dumps(parameters)})
    (out / WEIGHTS).chmod(0o644)  # else nobody but its maker may read it
    config = OmegaConf.to_container(OmegaConf.load(run.config))
    assert isinstance(config, dict)
    config["init_from"] = None  # a path of this machine, and no use without training
    OmegaConf.save(OmegaConf.create(_portable(config)), out / "config.yaml")
    (out / "README.md").write_text(_card(run, out, checkpoint))
    return out / WEIGHTS


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Hyper-parameters and weights of a checkpoint, or of a packed one (``.safetensors``).

    Raises:
        UserError: the file is something else.
    """
    if path.suffix != ".safetensors":
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            return saved["hyper_parameters"], saved["state_dict"]
        except (KeyError, RuntimeError, UnpicklingError) as error:
            raise UserError(f"{path} is no checkpoint of facegan train ({type(error).__name__})") from None
    with safe_open(path, "pt") as file:
        names = file.keys()
        return json.loads(file.metadata()["hyper_parameters"]), {
            name: file.get_tensor(name) for name in names
        }


def _portable(value: Any) -> Any:
    """A config without this machine's folders: what lies below that of data is named from there, else by its name."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    if isinstance(value, str) and Path(value).is_relative_to(data_home()):
        return "${oc.env:FACEGAN_DATA,data}/" + str(Path(value).relative_to(data_home()))
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _without_homes(text: str) -> str:
    """A text without this machine's folders."""
    for home, name in ((data_home(), "data"), (runs_home(), "runs"), (judges_home(), "judges")):
        text = text.replace(str(home), name)
    return text


def _card(run: Run, out: Path, checkpoint: str) -> str:
    config = OmegaConf.load(run.config)
    version = json.loads((run.folder / "version.json").read_text())
    generated = bool(OmegaConf.select(config, "generate"))
    commit = (version.get("commit") or "unknown")[:10]
    faces = "generated faces" if generated else f"the data set {config.data.name}"
    size = sum(file.stat().st_size for file in out.glob("*.safetensors")) / 1e6
    lines = [
        f"# {out.name}",
        "",
        f"{TITLES[config.method.name]} at {config.data.get('crop') or config.data.image_size} pixels, "
        f"averaged weights in half precision ({size:.1f} MB), seed {config.seed}. Trained on {faces} by "
        f"`{training(config)}` (commit {commit}), config.yaml; packed from its {checkpoint} checkpoint.",
    ]  # fmt: skip
    if config.init_from:
        before = Path(config.init_from)
        name = before.relative_to(runs_home()) if before.is_relative_to(runs_home()) else before.name
        lines[-1] += (
            f" That training started from the weights of {name} (`init_from`), which config.yaml says nothing of."
        )
    asked = [run.evaluation, *sorted(run.folder.glob("evaluation-*"), key=lambda path: path.stat().st_mtime)]
    folder = next((folder for folder in asked if (folder / FINDINGS).is_file()), None)
    tables = [] if folder is None else sorted(folder.glob("table*.md"))
    for table in tables:
        lines += ["", re.sub(r"^#", "##", table.read_text().strip(), flags=re.M)]
    limits = (
        ["It has not been evaluated."] if folder is None else _shortfalls(read_findings(folder / FINDINGS))
    )
    if generated:
        limits += [
            "It knows generated faces only. A photograph mostly comes out as somebody else, or as no face at all; no "
            "claim about real faces is made from it."
        ]
    lines += ["", f"{LIMITS} {' '.join(limits)}"] if limits else []
    return "\n".join(_without_homes(line) for line in lines) + "\n"


def _shortfalls(result: Mapping[str, Any]) -> list[str]:
    """What the test people's results lack, in sentences."""
    method, said = result["method"], []
    for judge in sorted(weak_judges(result)):
        said.append(f"Its judge ({judge}) is weak on these people.")
    for judge, rows in (result.get("identity") or result.get("table2") or {}).items():
        if method not in rows:
            continue
        kept = rows[method]["accuracy"]
        said.append(
            f"Of people it was not trained on, {judge} takes {100 * kept:.0f} % of the results for the wanted person."
        )
        if "expression" in result:
            ours = kept * result["expression"][method]
            copies = max(
                rows[copy]["accuracy"] * result["expression"][copy] for copy in (COPY_SOURCE, COPY_TARGET)
            )
            if ours < copies:
                said.append(
                    f"Expression recognised times person kept is {ours:.3f}: below the {copies:.3f} of a mere copy."
                )
    balanced = result.get("rows", {}).get(method, {}).get("presence", {}).get("balanced", [])
    if unseen := [name for name, value in zip(AU_NAMES, balanced, strict=False) if value is None]:
        names = ", ".join(unseen)
        said.append(
            f"The faces of its test show {names} always or never: not measured, and perhaps not learnt."
        )
    return said
