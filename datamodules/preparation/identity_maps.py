"""AIP-GAN's two targets: a face without its expression (identity map H), and its landmarks as a picture (Z).

An identity map is the texture of an active appearance model (Cootes et al. 2001; Matthews & Baker 2004): the face
warped, piece by piece, from its own landmarks onto the mean shape of its person's neutral pictures (docs/aipgan.md A5,
A6). A landmark image has a Gaussian dot at each of the 68 landmarks (A15).
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
from numba import njit
from scipy.spatial import Delaunay

from datamodules.preparation.chunks import allocated, replacing
from datamodules.store import Store, maps_file
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

APPEARANCES = ("own", "neutral_mean")


class NeutralShape:
    """A mesh on a mean neutral shape, and for each pixel of the map the triangle and the place in it.

    Args:
        points: (68, 2) pixels of the map.
        size: side of the map.
    """

    def __init__(self, points: np.ndarray, size: int) -> None:
        mesh = Delaunay(points.astype(np.float64))
        pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2).astype(np.float64)
        triangle = mesh.find_simplex(pixels)
        self.inside = np.flatnonzero(triangle >= 0)
        triangle = triangle[self.inside]
        self._corners = mesh.simplices[triangle]
        solve, origin = mesh.transform[triangle, :2], mesh.transform[triangle, 2]
        first = np.einsum("pij,pj->pi", solve, pixels[self.inside] - origin)
        self._weights = np.column_stack([first, 1 - first.sum(1)]).astype(np.float32)
        self._size = size

    def warp(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """The face (S, S, 3) uint8 with landmarks (68, 2) in this shape: (S, S, 3) uint8, 0 outside the mesh."""
        places = np.einsum("pk,pkc->pc", self._weights, landmarks.astype(np.float32)[self._corners])
        seen = cv2.remap(
            image, places[None, :, 0], places[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        out = np.zeros((self._size * self._size, image.shape[2]), np.uint8)
        out[self.inside] = seen[0]
        return out.reshape(self._size, self._size, image.shape[2])


def add_identity_maps(store: Store, appearance: str = "own", workers: int = 2) -> tuple[int, list[str]]:
    """Write the identity maps (N, S, S, 3) uint8 of all faces of a store beside them, unless they are there.

    Args:
        store: prepared faces with expressions.
        appearance: "own" (each face's own texture), or "neutral_mean" (of a person's neutral faces, the same for
            all of theirs).
        workers: threads.

    Returns:
        The number of maps, and the people who have none because no picture of theirs is neutral: theirs are black.

    Raises:
        UserError: an unknown appearance, or nobody has a neutral picture.
    """
    if appearance not in APPEARANCES:
        raise UserError(f"data.identity_maps={appearance} is unknown; choose none, {', '.join(APPEARANCES)}")
    records = store.records
    codes, names = records.codes("identity"), records.names("identity")
    neutral = records.numbers("expression") == EXPRESSIONS.index("neutral")
    without = [names[code] for code in np.setdiff1d(codes, codes[neutral])]
    if not neutral.any():
        raise UserError(
            f"identity maps need neutral pictures, and {store.path} has none among {len(records):,}; use a data "
            "set with neutral frames, or set data.identity_maps=none"
        )
    path = store.path / maps_file(appearance)
    if path.exists():
        return len(records) - int(np.isin(codes, codes[neutral], invert=True).sum()), without
    side = store.image_size
    with replacing(path) as temporary:
        maps = allocated(temporary, (len(records), side, side, 3))
        people = [np.flatnonzero(codes == code) for code in np.unique(codes[neutral])]
        with ThreadPoolExecutor(workers) as pool:
            made = sum(pool.map(partial(_fill, store, maps, neutral, appearance), people))
        maps.flush()
    return made, without


def _fill(store: Store, maps: np.ndarray, neutral: np.ndarray, appearance: str, rows: np.ndarray) -> int:
    """The maps of one person's faces."""
    calm = rows[neutral[rows]]
    shape = NeutralShape(store.landmarks[calm].mean(0), store.image_size)
    if appearance == "own":
        for row, warped in _warped(store, shape, rows):
            maps[row] = warped
    else:
        faces = [warped for _, warped in _warped(store, shape, calm)]
        maps[rows] = np.rint(np.mean(faces, 0)).astype(np.uint8)
    return len(rows)


def _warped(store: Store, shape: NeutralShape, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for row in rows.tolist():
        yield row, shape.warp(store.images(np.array([row])).numpy()[0], store.landmarks[row])


def landmark_images(landmarks: np.ndarray, size: int, sigma: float = 1.0) -> np.ndarray:
    """Pictures (B, 1, S, S) float32 in [0, 1] with a Gaussian dot at each landmark (B, 68, 2); the larger counts."""
    out = np.zeros((len(landmarks), 1, size, size), np.float32)
    _dots(np.ascontiguousarray(landmarks, np.float32), sigma, out)
    return out


@njit(cache=True, fastmath=True)
def _dots(landmarks: np.ndarray, sigma: float, out: np.ndarray) -> None:
    size = out.shape[2]
    reach = math.ceil(4 * sigma)
    for b in range(landmarks.shape[0]):
        for k in range(landmarks.shape[1]):
            x, y = landmarks[b, k, 0], landmarks[b, k, 1]
            if not (-reach < x < size + reach and -reach < y < size + reach):
                continue
            column, row = round(x), round(y)
            for r in range(max(0, row - reach), min(size, row + reach + 1)):
                for c in range(max(0, column - reach), min(size, column + reach + 1)):
                    far = (c - x) * (c - x) + (r - y) * (r - y)
                    out[b, 0, r, c] = max(out[b, 0, r, c], math.exp(-far / (2 * sigma * sigma)))
