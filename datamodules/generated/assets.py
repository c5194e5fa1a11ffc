"""Fetch the ICT Face Model Light from its public repository and convert its OBJ files to arrays, once."""

import hashlib
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np

from datamodules.generated.ict import ICT_FILE
from facegan.config import UserError, assets_home

REPOSITORY, COMMIT = "ICT-VGL/ICT-FaceKit", "da5f95a"
ARCHIVE = f"https://github.com/{REPOSITORY}/archive/{COMMIT}.zip"
FOLDER = "FaceXModel"
NEUTRAL, IDENTITY = "generic_neutral_mesh", "identity"

# Of the real model at that commit: SHA-256 of the neutral vertices, and mean absolute displacement over all modes.
VERTICES_SHA256 = "ac102c5e00e34f45d2b4e928e3bdcf3af5f1a90243d1a4cb70e30830bace78c9"
IDENTITY_MOVES, EXPRESSION_MOVES = 1.2100375, 1.4249794

# Transparent layers and lashes, which the renderer has no use for.
_LEFT_OUT = {"M_LacrimalFluid", "M_EyeBlend", "M_EyeOcclusion", "M_EyeLashes"}

# The 68 Multi-PIE landmarks, from the model's documentation.
LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
        268, 493,
    1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
        1507, 1542,
    1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213,
        6346, 6461,
    5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)  # fmt: skip


def fetch_ict(source: Path | str | None = None) -> Path:
    """Download the model (about 200 MB), convert it, and put the arrays where ``load_head("ict")`` looks.

    Args:
        source: a checkout of the repository, or its ``FaceXModel`` folder, to convert instead of downloading.

    Returns:
        The written file in ``assets_home()``.

    Raises:
        UserError: no network, or what came is not the model at the pinned commit.
    """
    target = assets_home() / ICT_FILE
    with tempfile.TemporaryDirectory() as scratch:
        arrays = read_model(_model_folder(Path(source) if source else _download(Path(scratch))))
    check_model(arrays)
    return save_arrays(arrays, target)


def convert_ict(folder: Path, target: Path) -> Path:
    """Convert a folder of the model's form to the arrays file ``target``, without the check of its contents."""
    return save_arrays(read_model(_model_folder(folder)), target)


def _download(scratch: Path) -> Path:
    archive = scratch / "archive.zip"
    try:
        with urllib.request.urlopen(ARCHIVE, timeout=60) as source, archive.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(
                scratch, [n for n in packed.namelist() if f"/{FOLDER}/" in n and n.endswith(".obj")]
            )
    except (urllib.error.URLError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the ict head could not be fetched from {ARCHIVE} ({error}). With no network here, clone "
            f"github.com/{REPOSITORY} at commit {COMMIT} elsewhere, copy it here, and type: "
            "facegan assets ict --source FOLDER. Or use the embedded head: --head procedural"
        ) from error
    return scratch


def _model_folder(folder: Path) -> Path:
    found = sorted(Path(folder).rglob(f"{NEUTRAL}.obj"))
    if not found:
        raise UserError(
            f"looked for {NEUTRAL}.obj below {folder} and found none; give the folder of a checkout of "
            f"github.com/{REPOSITORY} at commit {COMMIT}"
        )
    return found[0].parent


def read_obj(path: Path) -> tuple[np.ndarray, list[list[int]], list[str]]:
    """Vertices (V, 3) float64, polygons as lists of vertex numbers from 0, and the material of each polygon."""
    vertices, polygons, materials, material = [], [], [], ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(v) for v in rest.split()[:3]])
        elif kind == "usemtl":
            material = rest.strip()
        elif kind == "f":
            polygons.append([int(corner.split("/")[0]) - 1 for corner in rest.split()])
            materials.append(material)
    return np.array(vertices), polygons, materials


def _read_vertices(path: Path, count: int) -> np.ndarray | None:
    """The first ``count`` vertices; None for a mesh of another topology."""
    rows = [line[2:].split()[:3] for line in path.read_text().splitlines() if line.startswith("v ")]
    return np.array(rows, np.float64)[:count] if len(rows) >= count else None


def read_model(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder of OBJ files: the neutral mesh, ``identity000`` ..., and the expression shapes.

    Modes are stored as int16 with one scale a mode: displacement = ``modes[k] * scale[k]``.
    """
    vertices, polygons, materials = read_obj(folder / f"{NEUTRAL}.obj")
    kept = [(p, m) for p, m in zip(polygons, materials, strict=True) if m not in _LEFT_OUT]
    count = 1 + max(max(polygon) for polygon, _ in kept)
    vertices = vertices[:count]
    names = list(dict.fromkeys(materials))
    fans = [(p[0], p[k], p[k + 1], names.index(m)) for p, m in kept for k in range(1, len(p) - 1)]
    triangles = np.array(fans, np.int32)

    modes: dict[bool, list[np.ndarray]] = {True: [], False: []}
    shapes = []
    for path in sorted(folder.glob("*.obj")):
        if path.stem == NEUTRAL:
            continue
        moved = _read_vertices(path, count)
        # Shapes of the layers left out (pupils, lashes) move nothing here.
        if moved is None or np.abs(moved - vertices).max() < 1e-6:
            continue
        identity = path.stem.startswith(IDENTITY)
        modes[identity].append(moved - vertices)
        if not identity:
            shapes.append(path.stem)
    if not modes[True] or not modes[False]:
        raise UserError(f"{folder} holds no {IDENTITY}*.obj or no expression shapes; is the copy complete?")
    identity_modes, identity_scale = _quantised(modes[True])
    expression_modes, expression_scale = _quantised(modes[False])
    return {
        "vertices": vertices.astype(np.float32),
        "triangles": triangles[:, :3].copy(),
        "triangle_material": triangles[:, 3].astype(np.uint8),
        "material_names": np.array(names),
        "identity_modes": identity_modes,
        "identity_scale": identity_scale,
        "expression_modes": expression_modes,
        "expression_scale": expression_scale,
        "expression_names": np.array(shapes),
        "landmarks68": np.array(LANDMARKS, np.int32),
    }


def _quantised(modes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    stack = np.stack(modes)
    scale = np.abs(stack).max((1, 2)) / 32767
    return np.rint(stack / scale[:, None, None]).astype(np.int16), scale.astype(np.float32)


def check_model(arrays: dict[str, np.ndarray]) -> None:
    """Compare with the fingerprints of the real model.

    Raises:
        UserError: another version of the model, or a damaged copy.
    """

    def moves(kind: str) -> float:
        return float(
            (np.abs(arrays[f"{kind}_modes"].astype(np.float32)).mean((1, 2)) * arrays[f"{kind}_scale"]).sum()
        )

    same = hashlib.sha256(arrays["vertices"].tobytes()).hexdigest() == VERTICES_SHA256
    same &= bool(np.isclose(moves("identity"), IDENTITY_MOVES, rtol=1e-3))
    same &= bool(np.isclose(moves("expression"), EXPRESSION_MOVES, rtol=1e-3))
    if not same:
        raise UserError(
            f"what was fetched is not the ICT Face Model Light of commit {COMMIT}: its checksums differ. "
            "Type facegan assets ict again; if it repeats, check out that commit and use --source FOLDER"
        )


def save_arrays(arrays: dict[str, np.ndarray], target: Path) -> Path:
    """Write the arrays to ``target``; an interrupted run leaves no half file under that name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)  # type: ignore[arg-type]
    part.replace(target)
    return target
