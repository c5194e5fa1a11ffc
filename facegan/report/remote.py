"""Evaluations that lie at Weights & Biases, fetched as run folders."""

import shutil
from collections.abc import Callable
from typing import Any

from facegan.config import UserError, runs_home
from facegan.logs import CONFIG_BESIDE
from facegan.runs import Run


def fetch(project: str, api: Callable[[], Any] | None = None) -> list[Run]:
    """The evaluated runs of a W&B project, oldest first; what is fetched already is not fetched again.

    Args:
        project: ``entity/project``, or a project of one's own.
        api: gives W&B's interface; None: ``wandb.Api``.

    Returns:
        Runs in ``<runs home>/wandb-<project>/<name>``, each with its config and evaluation.

    Raises:
        UserError: no network, no login, no such project, or no evaluated run in it.
    """
    import wandb

    home = runs_home() / f"wandb-{project.replace('/', '-')}"
    found = []
    try:
        for remote in (api or wandb.Api)().runs(project, order="+created_at"):
            run = Run(home / f"{remote.name.replace('/', '-')}-{remote.id}")
            files = {file.name: file for file in remote.files() if file.name.startswith("evaluation/")}
            if not {f"evaluation/{CONFIG_BESIDE}", "evaluation/evaluation.json"} <= files.keys():
                continue
            for name, file in files.items():
                if not (run.folder / name).exists():
                    file.download(root=str(run.folder))
            shutil.copyfile(run.evaluation / CONFIG_BESIDE, run.config)
            found.append(run)
    except (wandb.errors.Error, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--wandb {project}: {reason}. Type: wandb login, and write entity/project") from None
    if not found:
        raise UserError(
            f"--wandb {project}: no run there has an evaluation; facegan evaluate adds one, wandb sync sends it"
        )
    return found
