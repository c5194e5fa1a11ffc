"""The vocabulary of the whole suite: action units, expressions, landmarks, pose signs and value ranges.

Ranges used everywhere:

* pictures   uint8 in the store and from the loader; float in [-1, 1] on the device
* AUs        raw OpenFace intensities, 0 (absent) to 5 (maximum), in the order of ``AUS``
* pose       radians (pitch, yaw, roll) with OpenFace's signs, see ``POSE``
* landmarks  (68, 2) x right, y down, pixels; "left" and "right" are the person's own
"""

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""The 17 AUs for which OpenFace gives an intensity, in the order of its CSV."""

AU_NAMES = tuple(f"AU{au:02d}" for au in AUS)
AU_COLUMNS = tuple(f"{name}_r" for name in AU_NAMES)
AU_MAX = 5.0
N_AUS = len(AUS)

AU_ACTIONS = (
    "inner brow raiser", "outer brow raiser", "brow lowerer", "upper lid raiser", "cheek raiser",
    "lid tightener", "nose wrinkler", "upper lip raiser", "lip corner puller", "dimpler",
    "lip corner depressor", "chin raiser", "lip stretcher", "lip tightener", "lips part", "jaw drop",
    "blink",
)  # fmt: skip

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "contempt")
UNKNOWN_EXPRESSION = -1

PROTOTYPES: Mapping[str, Mapping[int, float]] = {
    "neutral": {},
    "anger": {4: 3.5, 5: 2.0, 7: 3.0, 23: 3.0, 17: 1.5},
    "disgust": {9: 3.5, 10: 2.5, 4: 1.5, 7: 1.5, 15: 1.5, 17: 1.5},
    "fear": {1: 3.5, 2: 2.5, 4: 2.0, 5: 3.0, 7: 1.0, 20: 3.0, 25: 2.0, 26: 1.0},
    "happiness": {6: 3.0, 12: 4.0, 25: 3.0, 7: 1.0},
    "sadness": {1: 3.0, 4: 2.5, 15: 3.0, 17: 2.5},
    "surprise": {1: 3.5, 2: 3.5, 5: 3.0, 25: 3.0, 26: 4.0},
    "contempt": {14: 4.0, 12: 1.0},
}
"""AU intensities of the eight expressions, after the EMFACS prototypes (Ekman & Rosenberg)."""

POSE = ("pitch", "yaw", "roll")
"""OpenFace's signs: pitch > 0 head down; yaw > 0 nose to the picture's left; roll > 0 the line of the
eyes falls to the picture's right. A mirrored picture negates yaw and roll."""

# The 68 landmarks of Multi-PIE, as dlib, face-alignment and OpenFace number them. "Right" is the
# person's right, the picture's left.
JAW = slice(0, 17)
BROW_RIGHT, BROW_LEFT = slice(17, 22), slice(22, 27)
NOSE_BRIDGE, NOSE_BASE = slice(27, 31), slice(31, 36)
EYE_RIGHT, EYE_LEFT = slice(36, 42), slice(42, 48)
MOUTH_OUTER, MOUTH_INNER = slice(48, 60), slice(60, 68)
N_LANDMARKS = 68

LANDMARK_MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
     45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
     54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)  # fmt: skip
"""``landmarks[LANDMARK_MIRROR]`` after x -> width - 1 - x gives a mirrored picture's landmarks."""


def prototype(expression: str) -> np.ndarray:
    """AU intensities (17,) float32 0..5 of an expression's prototype."""
    au = np.zeros(N_AUS, np.float32)
    for number, value in PROTOTYPES[expression].items():
        au[AUS.index(number)] = value
    return au


def parse_aus(items: Iterable[str]) -> dict[int, float]:
    """``["AU12=4", "au25=2"]`` -> ``{index in AUS: intensity}``.

    Raises:
        ValueError: an unknown AU, a missing or unreadable value, or a value outside 0..5.
    """
    values: dict[int, float] = {}
    for item in items:
        name, sign, text = item.partition("=")
        number = name.strip().upper().removeprefix("AU").lstrip("0")
        if not number.isdigit() or int(number) not in AUS:
            near = difflib.get_close_matches(name.upper(), AU_NAMES, 1, 0.0)[0]
            raise ValueError(
                f"unknown action unit {name!r}; did you mean {near}? Known: {', '.join(AU_NAMES)}"
            )
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not sign or not 0 <= value <= AU_MAX:
            raise ValueError(
                f"{item!r}: write an intensity from 0 to 5, as in {AU_NAMES[AUS.index(int(number))]}=3"
            )
        values[AUS.index(int(number))] = value
    return values


def mirror_pose(pose: np.ndarray) -> np.ndarray:
    """Pose (..., 3) of the mirrored picture: yaw and roll change sign."""
    return pose * np.array([1, -1, -1], pose.dtype)
