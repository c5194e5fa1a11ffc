"""A set of generated faces as an experiment asks for it: made once, recognised afterwards."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datamodules.locking import lock
from facegan.config import UserError, check

MARK = "GENERATED.json"
AU_MIXES = ("mixed", "prototypes", "independent", "apexes")
LAYOUTS = ("folder", "rafd", "oulu_casia", "bu4dfe", "mmi", "voxceleb", "celeba")


@dataclass
class GenerateConfig:
    """What to generate; test people are seeds from 500000 up, so "never trained on" holds across runs."""

    layout: str = "folder"  # one of LAYOUTS
    root: str = ""  # where to
    head: str = "procedural"  # procedural | ict
    # None: 100 (folder, voxceleb, celeba), 30 (mmi), or as many as the data set has
    people: int | None = None
    first_person: int = 0  # seed of the first one
    pictures: int = 24  # of each person (folder)
    aus: str = "mixed"  # mixed | prototypes | independent | apexes, as Oulu-CASIA has them (folder)
    spread: float = 1.0  # of pose, light and background (folder): 0 a studio, 1 anything
    size: int = 160  # pixels of a picture's side (folder)
    # of expressions: 0 the prototypes, 1 weak and mixed (oulu_casia; folder with apexes)
    ambiguity: float = 0.0
    seed: int = 0
    defects: bool = False  # with the traps of the real data set (not folder, which has none)
    # more of the layout's options, as {kind: 1fps}; lists for several values
    variant: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None  # processes; None: one a core

    def __post_init__(self) -> None:
        check("generate.layout", self.layout, LAYOUTS)
        check("generate.head", self.head, ("procedural", "ict"))
        check("generate.aus", self.aus, AU_MIXES)
        if self.defects and self.layout == "folder":
            raise UserError(
                f"generate: the layout {self.layout} has no defects to write; leave --defects out"
            )
        check("generate.ambiguity", self.ambiguity, at_least=0, at_most=1)
        check("generate.spread", self.spread, at_least=0, at_most=1)
        check("generate.pictures", self.pictures, at_least=1)
        check("generate.size", self.size, at_least=32)
        if self.people is not None:
            check("generate.people", self.people, at_least=1)
        if self.layout == "folder" and self.first_person < 500000 < self.first_person + (self.people or 100):
            raise UserError(
                f"generate: people {self.first_person} to {self.first_person + (self.people or 100) - 1} would run "
                "into the test people, who start at 500000; ask for fewer, or for a lower first_person"
            )

    @property
    def asked(self) -> dict[str, object]:
        """What decides the pictures; how many processes write them does not."""
        return {key: value for key, value in asdict(self).items() if key not in ("root", "workers")}


def generate(config: GenerateConfig, progress: bool = True) -> str:
    """Write the set that ``config`` asks for; what of it lies there already is kept.

    Raises:
        UserError: the folder holds another set, or something that is not generated.
    """
    root = Path(config.root)
    _check_root(root, config)
    layout = _layout(config.layout)
    variant = _variant(config, layout.options())
    # said before the first picture is written: what is stopped can be gone on with, and is never taken for photographs
    root.mkdir(parents=True, exist_ok=True)
    begun = {"generated": True, "head": config.head, "asked": config.asked, "complete": False}
    (root / MARK).write_text(json.dumps(begun, indent=1) + "\n")
    options: dict[str, Any] = {"head": config.head, "seed": config.seed}
    if config.layout == "folder":
        options |= {
            "pictures": config.pictures, "size": config.size, "aus": config.aus, "light_spread": config.spread,
            "pose_spread": tuple(config.spread * degrees for degrees in layout.options().pose_spread),
        }  # fmt: skip
    if config.layout in ("oulu_casia", "folder"):
        options["ambiguity"] = config.ambiguity
    if config.defects:
        options["defects"] = True
    options |= variant
    layout.write(root, config.people, config.first_person, config.workers, progress, **options)
    mark = json.loads((root / MARK).read_text())
    (root / MARK).write_text(json.dumps(mark | {"asked": config.asked, "complete": True}, indent=1) + "\n")
    return f"{root}: generated faces (head {config.head})"


def _variant(config: GenerateConfig, defaults: Any) -> dict[str, Any]:
    """``config.variant`` with the types of the layout's own options."""
    chosen: dict[str, Any] = {}
    for name, value in config.variant.items():
        default = getattr(defaults, name, None)
        if default is None:
            known = ", ".join(vars(defaults))
            raise UserError(f"generate: {config.layout} has no option {name}; it has {known}")
        if isinstance(default, tuple):
            value = tuple(value) if isinstance(value, list) else (value,)
        if type(value) is not type(default):
            raise UserError(f"generate: {name}={value}: write it as {default!r}")
        chosen[name] = value
    return chosen


def _layout(name: str) -> Any:
    # here, not above: the writers are slow to import, and most runs find their faces written
    from datamodules.generated.folder import FOLDER_LAYOUT
    from datamodules.generated.mmi import MMI_LAYOUT
    from datamodules.generated.portraits import CELEBA_LAYOUT
    from datamodules.generated.rafd import RAFD_LAYOUT
    from datamodules.generated.sequences import BU4DFE_LAYOUT, OULU_CASIA_LAYOUT
    from datamodules.generated.voxceleb import VOXCELEB_LAYOUT

    layouts = (
        FOLDER_LAYOUT, RAFD_LAYOUT, OULU_CASIA_LAYOUT, BU4DFE_LAYOUT, MMI_LAYOUT, VOXCELEB_LAYOUT, CELEBA_LAYOUT,
    )  # fmt: skip
    return {layout.name: layout for layout in layouts}[name]


def ensure_generated(config: GenerateConfig, progress: bool = True) -> None:
    """Generate the set unless it is there; of several processes, jobs of a cluster say, the first one does."""
    if not _is_there(config):
        with lock(Path(config.root), "generating"):
            if not _is_there(config):
                print(generate(config, progress))


def wait_until_generated(config: GenerateConfig) -> None:
    """Wait for another process to generate the set; started by torchrun or srun, all ranks begin at once."""
    while not _is_there(config):
        time.sleep(0.2)


def _is_there(config: GenerateConfig) -> bool:
    mark = _read_mark(Path(config.root))
    return bool(mark.get("complete")) and _asked(mark) == config.asked


def _read_mark(root: Path) -> dict[str, Any]:
    try:
        return {"complete": True, **json.loads((root / MARK).read_text())}
    except (OSError, json.JSONDecodeError):
        return {}


def _asked(mark: dict[str, Any]) -> dict[str, object] | None:
    # a set that was written before there was an option has its default
    return GenerateConfig().asked | mark["asked"] if "asked" in mark else None


def _check_root(root: Path, config: GenerateConfig) -> None:
    if not root.exists() or not any(root.iterdir()):
        return
    if not (root / MARK).exists():
        raise UserError(f"{root} is not empty and holds no generated faces; choose another --root")
    if _asked(_read_mark(root)) not in (None, config.asked):
        raise UserError(
            f"{root} holds another set of generated faces ({root / MARK}); delete it, or choose another --root"
        )
