"""The ict head: the scan-based ICT Face Model Light (MIT licence, USC Institute for Creative
Technologies)."""

import numpy as np

from datamodules.generated.head import (
    EYE_LEFT,
    EYE_RIGHT,
    GUMS,
    MOUTH,
    SKIN,
    TEETH,
    HeadModel,
    chart_uv,
    sides,
    sparse_modes,
)  # fmt: skip
from datamodules.generated.occlusion import sky_visibility
from facegan.config import UserError, assets_home
from facegan.faces import AUS

ICT_FILE = "ict_face_model_light.npz"

# Shapes at intensity 5. They follow the FACS table of the model's authors where that has the AU; the weights were
# set by eye so that 3 is plainly visible. AU23 has no shape of its own.
SHAPES: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.15},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.7},
    5: {"eyeWide": 1.5},
    6: {"cheekSquint": 1.1, "cheekRaiser": 0.6, "eyeSquint": 0.2},
    7: {"eyeSquint": 1.5, "eyeBlink": 0.14},
    9: {"noseSneer": 1.1, "browDown": 0.3},
    10: {"mouthUpperUp": 1.1},
    12: {"mouthSmile": 1.05},
    14: {"mouthDimple": 1.8},
    15: {"mouthFrown": 1.7},
    17: {"mouthShrugLower": 1.1},
    20: {"mouthStretch": 1.25},
    23: {"mouthPress": 0.7, "mouthPucker": 0.4, "mouthRollUpper": 0.4, "mouthRollLower": 0.4},
    25: {"mouthLowerDown": 0.95, "mouthUpperUp": 0.3},
    26: {"jawOpen": 0.7},
    45: {"eyeBlink": 1.0},
}

# Vertex ranges of the model (its documentation): the sockets lie between the head and the gums.
MOUTH_SOCKET, EYE_SOCKETS = slice(11248, 13294), slice(13294, 14062)
MATERIALS = {
    "M_Face": SKIN, "M_BackHead": SKIN, "M_GumsTongue": GUMS, "M_Teeth": TEETH,
    "M_ScleraLeft": EYE_LEFT, "M_ScleraRight": EYE_RIGHT,
}  # fmt: skip


def ict_head() -> HeadModel:
    """Read the converted arrays from ``assets_home()``.

    Raises:
        UserError: they have not been fetched.
    """
    path = assets_home() / ICT_FILE
    if not path.is_file():
        raise UserError(
            f"the ict head was looked for at {path} and is not there. Fetch it once with: facegan assets ict "
            "(or use the embedded head: --head procedural)"
        )
    with np.load(path) as arrays:
        vertices = arrays["vertices"].astype(np.float32)
        names = list(arrays["material_names"])
        kinds = np.array([MATERIALS.get(name, 255) for name in names], np.uint8)
        material = kinds[arrays["triangle_material"]]
        triangles = arrays["triangles"][material != 255]
        material = material[material != 255]
        identity = arrays["identity_modes"] * arrays["identity_scale"][:, None, None].astype(np.float32)
        shapes = {
            str(name): mode * scale
            for name, mode, scale in zip(
                arrays["expression_names"],
                arrays["expression_modes"],
                arrays["expression_scale"],
                strict=True,
            )
        }
        landmarks = arrays["landmarks68"].astype(np.int32)

    socket = np.zeros(len(vertices), bool)
    socket[MOUTH_SOCKET] = True
    material[socket[triangles].all(1)] = MOUTH
    eyes = [np.unique(triangles[material == kind]) for kind in (EYE_RIGHT, EYE_LEFT)]
    centres, radius = zip(*(sphere(vertices[eye]) for eye in eyes), strict=True)
    # The iris of the model lies inside the closed sclera; the renderer paints it on the sclera.
    lids = [near_eye(vertices, triangles[material == SKIN], centre, radius[0]) for centre in centres]
    length = min(map(len, lids))

    left_right = sides(vertices)
    modes = {au: tuple(_combine(shapes, SHAPES[au], side, left_right) for side in range(2)) for au in AUS}
    start, moved, shift = sparse_modes(modes)
    return HeadModel(
        name="ict",
        vertices=vertices,
        triangles=np.ascontiguousarray(triangles, np.int32),
        material=material,
        identity_modes=np.ascontiguousarray(identity, np.float32),
        mode_start=start,
        mode_vertex=moved,
        mode_shift=shift,
        landmarks=landmarks,
        uv=chart_uv(vertices),
        visibility=sky_visibility(vertices, triangles),
        eye_centres=np.array(centres, np.float32),
        eye_radius=float(radius[0]),
        lid_vertices=np.stack([lid[:length] for lid in lids]).astype(np.int32),
        texels=256,
    )


def sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares centre (3,) and radius of points (N, 3) on a sphere."""
    solution, *_ = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def near_eye(vertices: np.ndarray, triangles: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Skin vertices close in front of an eyeball, nearest first."""
    skin = np.unique(triangles)
    distance = np.linalg.norm(vertices[skin] - centre, axis=1)
    near = (distance < 1.6 * radius) & (vertices[skin, 2] > centre[2])
    return skin[near][np.argsort(distance[near], kind="stable")]


def _combine(
    shapes: dict[str, np.ndarray],
    weights: dict[str, float],
    side: int,
    left_right: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """One side of an AU: the model's own ``_L`` / ``_R`` shapes, or half of a shape that has no sides."""
    parts = []
    for name, weight in weights.items():
        one_sided = shapes.get(f"{name}_{'RL'[side]}")
        parts.append(weight * (one_sided if one_sided is not None else shapes[name] * left_right[side]))
    return np.sum(parts, 0)
