"""How much of the sky each vertex of a head sees, in every direction: soft shadows at almost no cost."""

import numpy as np
from scipy.sparse import coo_array

from datamodules.generated.raster import depth_map, normals


def sky_visibility(
    vertices: np.ndarray, triangles: np.ndarray, directions: int = 64, size: int = 160
) -> np.ndarray:
    """Second-order spherical harmonics (N, 9) of the share of light that reaches each vertex (N, 3).

    The head is seen from evenly spread directions; a vertex is lit where its depth is the nearest one. The
    harmonics are fitted per vertex, directions weighted by their cosine with the normal: those behind the
    surface do not matter.
    """
    vertices = vertices.astype(np.float32)
    normal = normals(vertices, triangles.astype(np.int32))
    toward = _fibonacci(directions)
    basis = harmonics(toward)
    gram = np.zeros((len(vertices), 9, 9), np.float32)
    right = np.zeros((len(vertices), 9), np.float32)
    for d, row in zip(toward, basis, strict=True):
        seen = _seen_from(vertices, triangles, d, size)
        weight = np.maximum(normal @ d, 0.02).astype(np.float32)
        gram += weight[:, None, None] * np.outer(row, row)
        right += (weight * seen)[:, None] * row
    gram += 0.02 * directions / 8 * np.eye(9, dtype=np.float32)
    return _smooth(np.linalg.solve(gram, right[..., None])[..., 0].astype(np.float32), triangles)


def _smooth(values: np.ndarray, triangles: np.ndarray, passes: int = 2) -> np.ndarray:
    """Values (N, K) mixed with the mean of their neighbours: one vertex alone is seen or not by chance."""
    pairs = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    n = len(values)
    links = coo_array(
        (np.ones(2 * len(pairs), np.float32), (pairs.T.ravel(), pairs[:, ::-1].T.ravel())), (n, n)
    ).tocsr()
    count = np.maximum(links.sum(1), 1)[:, None]
    for _ in range(passes):
        values = 0.5 * values + 0.5 * (links @ values) / count
    return values.astype(np.float32)


def harmonics(directions: np.ndarray) -> np.ndarray:
    """The basis (D, 9), in the order of ``raster.light_visibility``, of unit directions (D, 3)."""
    x, y, z = directions.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], 1).astype(
        np.float32
    )


def _fibonacci(count: int) -> np.ndarray:
    k = np.arange(count) + 0.5
    height = 1 - 2 * k / count
    angle = np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], 1).astype(np.float32)


def _seen_from(vertices: np.ndarray, triangles: np.ndarray, toward: np.ndarray, size: int) -> np.ndarray:
    """1 where a vertex is the nearest surface seen from far away in direction ``toward``, else 0; (N,) float32."""
    helper = np.array([0, 1, 0]) if abs(toward[1]) < 0.9 else np.array([1, 0, 0])
    across = np.cross(helper, toward)
    across = across / np.linalg.norm(across)
    up = np.cross(toward, across)
    extent = np.abs(vertices).max() * 1.45
    place = np.stack([vertices @ across, -(vertices @ up)], 1)
    screen = ((place / extent + 1) / 2 * (size - 1)).astype(np.float32)
    near = (vertices @ toward + 2 * extent).astype(np.float32)
    depth = depth_map(screen, near, triangles.astype(np.int32), size, size)
    x, y = np.clip(np.rint(screen).astype(int), 0, size - 1).T
    return (near > depth[y, x] - 0.5).astype(np.float32)
