"""Trivial drawn faces and OpenFace CSVs, independent of the generated faces: the tests' own raw data."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from facegan.faces import AU_COLUMNS, AU_NAMES, N_AUS

SEQUENCE = ("frame", "face_id", "timestamp", "confidence", "success")
STILL = ("face", "confidence")


def landmarks(size: int = 120, turn: float = 0.0, shift: tuple[float, float] = (0, 0), mouth: float = 0.0):
    """68 points (68, 2) of a schematic face in a picture of this size; ``turn`` in radians is its roll."""
    angle = np.pi * np.arange(17) / 16
    jaw = np.c_[-np.cos(angle), np.sin(angle) * 1.1] * 0.36 + [0, 0.02]
    brow = np.c_[np.linspace(-0.27, -0.08, 5), [-0.15, -0.18, -0.19, -0.18, -0.16]]
    bridge = np.c_[np.zeros(4), np.linspace(-0.08, 0.10, 4)]
    base = np.c_[np.linspace(-0.06, 0.06, 5), [0.13, 0.145, 0.15, 0.145, 0.13]]
    around = np.pi * (1 - np.arange(6) / 3)
    eye = np.c_[np.cos(around) * 0.06 - 0.16, -np.sin(around) * 0.03 - 0.07]
    other = np.c_[np.cos(around) * 0.06 + 0.16, -np.sin(around) * 0.03 - 0.07]
    outer = np.pi * (1 - np.arange(12) / 6)
    inner = np.pi * (1 - np.arange(8) / 4)
    lips = np.c_[np.cos(outer) * 0.13, -np.sin(outer) * (0.04 + mouth) + 0.25]
    teeth = np.c_[np.cos(inner) * 0.10, -np.sin(inner) * (0.01 + mouth) + 0.25]
    points = np.concatenate([jaw, brow, brow[::-1] * [-1, 1], bridge, base, eye, other, lips, teeth])
    c, s = np.cos(turn), np.sin(turn)
    return (points @ np.array([[c, s], [-s, c]]) + 0.5) * size + shift


def draw(
    points: np.ndarray, size: tuple[int, int] = (120, 120), tone: int = 180, noise: int = 0
) -> np.ndarray:
    """The face of these landmarks, RGB (H, W, 3) uint8; size is (width, height)."""
    image = np.full((size[1], size[0], 3), (60, 90, 130), np.uint8)
    polygon = np.concatenate([points[:17], points[26:16:-1] - [0, 12]]).round().astype(np.int32)
    cv2.fillPoly(image, [polygon], (tone, tone - 40, tone - 70))
    for part, colour in (
        (slice(36, 42), (250,) * 3),
        (slice(42, 48), (250,) * 3),
        (slice(48, 60), (170, 40, 60)),
    ):
        cv2.fillPoly(image, [points[part].round().astype(np.int32)], colour)
    for part in (slice(17, 22), slice(22, 27), slice(27, 31)):
        cv2.polylines(image, [points[part].round().astype(np.int32)], False, (50, 30, 20), 2)
    grain = np.random.default_rng(noise).integers(-6, 7, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


def write_video(path: Path, frames: Sequence[np.ndarray], rate: int = 25) -> None:
    """RGB frames (H, W, 3) uint8 as a video, in the container that the name's ending says."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.bit_rate = width, height, 4_000_000
        for image in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def aus(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 5, N_AUS).round(2)


def csv_rows(
    points, au, pose=(0.1, -0.2, 0.05), *, lead=SEQUENCE, confidence=0.98, success=1
) -> dict[str, list]:
    """Columns of an OpenFace CSV for points (N, 68, 2) and au (N, 17)."""
    n = len(points)
    first = {
        "frame": range(1, n + 1), "face_id": [0] * n, "face": range(n), "confidence": [confidence] * n,
        "timestamp": np.arange(n) / 25, "success": [success] * n,
    }  # fmt: skip
    columns = {name: list(first[name]) for name in lead}
    columns |= {f"pose_R{axis}": [value] * n for axis, value in zip("xyz", pose, strict=True)}
    columns |= {
        f"{axis}_{i}": list(np.asarray(points)[:, i, k]) for k, axis in enumerate("xy") for i in range(68)
    }
    columns |= {name: list(np.asarray(au)[:, k]) for k, name in enumerate(AU_COLUMNS)}
    columns |= {f"{name}_c": [1.0] * n for name in (*AU_NAMES[:-1], "AU28", "AU45")}
    return columns


def write_csv(path: Path, columns: dict[str, list], separator: str = ", ") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        separator.join(columns),
        *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_people(root: Path, people: int = 4, pictures: int = 5, size: int = 120, first: int = 0) -> Path:
    """The ``folder`` layout: ``p000000/000001.png …``, ``p000000.csv`` beside the folder, ``labels.csv``."""
    labels = ["image,identity,expression"]
    for person in range(first, first + people):
        name = f"p{person:06d}"
        points = []
        for k in range(pictures):
            points.append(landmarks(size, turn=0.05 * (k - 2), mouth=0.01 * k))
            save(root / name / f"{k + 1:06d}.png", draw(points[-1], (size, size), 130 + 20 * (person % 6), k))
            labels.append(f"{name}/{k + 1:06d}.png,{name},{'happiness' if k % 2 else 'neutral'}")
        au = [aus(100 * person + k) for k in range(pictures)]
        write_csv(root / f"{name}.csv", csv_rows(points, au))
    (root / "labels.csv").write_text("\n".join(labels) + "\n")
    return root
