"""A person: everything of a generated face that stays the same from picture to picture, drawn from a seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.generated.head import HeadModel
from facegan.faces import N_AUS

TEST_PEOPLE_FROM = 500_000
"""Training people have seeds below, test people from here up."""

GROUPS = ("caucasian", "moroccan", "asian", "african", "indian", "kid")

# Ranges of skin (0 very light, 1 very dark) and hair pigment, the share of red and of curly hair, per group.
_TONES = {
    "caucasian": ((0.02, 0.32), (0.1, 0.95), 0.10, 0.15),
    "moroccan": ((0.25, 0.5), (0.8, 1.0), 0.0, 0.35),
    "asian": ((0.1, 0.35), (0.88, 1.0), 0.0, 0.03),
    "african": ((0.62, 1.0), (0.92, 1.0), 0.0, 0.8),
    "indian": ((0.35, 0.68), (0.88, 1.0), 0.0, 0.15),
    "kid": ((0.02, 0.3), (0.1, 0.9), 0.12, 0.15),
}


@dataclass(frozen=True)
class Person:
    """Shape, looks and way of moving of one person; ``draw`` makes one from a seed.

    Colours are sRGB 0..1; lengths in cm on the face; shares, strengths and pigments 0..1.
    """

    seed: int
    sex: str  # "female" | "male"
    group: str  # one of GROUPS
    age: float  # 0 young, 1 old
    shape: np.ndarray  # (K,) coefficients of the head's identity modes
    stature: np.ndarray  # (3,) scale of width, height and depth of the whole head
    gains: np.ndarray  # (2, 17) how strongly each side shows each AU
    habits: np.ndarray  # (8, 17) how this person's expressions differ from the prototypes, in log units
    # skin
    skin: float
    redness: float
    yellowness: float
    unevenness: float
    ruddy: float  # cheeks and nose
    freckles: float
    moles: int
    gloss: float
    wrinkles: float
    eye_rings: float
    # brows
    brow_width: float
    brow_arch: float
    brow_height: float
    brow_density: float
    brow_length: float
    unibrow: float
    brow_pigment: float
    # lips and make-up
    lip_hue: float
    lip_depth: float
    lipstick: float
    lipstick_hue: float
    eye_shadow: float
    shadow_hue: float
    eyeliner: float
    blush: float
    # beard
    stubble: float
    moustache: float
    chin_beard: float
    full_beard: float
    # eyes and teeth
    iris: float  # 0 blue, 0.35 green, 0.6 hazel, 1 dark brown
    iris_light: float
    iris_size: float
    iris_rim: float
    sclera: float
    teeth: float
    # hair
    hair_style: str
    hair_pigment: float
    hair_red: float
    grey: float
    dye: float  # below 0: not dyed, otherwise a hue
    hair_length: float
    hair_volume: float
    hair_curl: float
    part: float  # -1 right, 1 left
    hairline: float  # height of the forehead, cm above the mean
    recession: float
    # worn
    clothes: np.ndarray  # (3,)

    @property
    def name(self) -> str:
        """The identity's name, as the writers use it."""
        return f"p{self.seed:06d}"

    @staticmethod
    def draw(head: HeadModel, seed: int, sex: str | None = None, group: str | None = None) -> "Person":
        """The person with that seed on that head; ``sex`` and ``group`` may be given (RaFD's names state them)."""
        rng = np.random.default_rng([seed, 7])
        drawn_sex = "female" if rng.random() < 0.5 else "male"
        drawn_group = str(rng.choice(GROUPS[:5], p=[0.4, 0.12, 0.17, 0.17, 0.14]))
        sex, group = sex or drawn_sex, group or drawn_group
        kid = group == "kid"
        return Person(
            seed=seed,
            sex=sex,
            group=group,
            age=0.0 if kid else float(rng.beta(1.2, 1.6)),
            shape=np.clip(rng.normal(size=len(head.identity_modes)), -2.3, 2.3).astype(np.float32),
            stature=np.clip(rng.normal(1, [0.035, 0.04, 0.03]), 0.9, 1.1).astype(np.float32),
            gains=_gains(rng),
            habits=rng.normal(0, 0.22, (8, N_AUS)).astype(np.float32),
            **_skin(rng, group),
            **_brows(rng, sex),
            **_mouth_and_makeup(rng, sex, kid),
            **_beard(rng, sex, kid),
            **_eyes(rng, group),
            **_hair(rng, sex, group, kid),
        )


def _gains(rng: np.random.Generator) -> np.ndarray:
    common = rng.normal(0, 0.08, N_AUS)
    tilt = rng.normal(0, 0.07, N_AUS)
    return np.exp(np.clip([common + tilt, common - tilt], -0.25, 0.2)).astype(np.float32)


def _often(rng: np.random.Generator, share: float, low: float, high: float) -> float:
    """0 for most people, a value in the range for ``share`` of them."""
    has, value = rng.random(), rng.uniform(low, high)
    return float(value) if has < share else 0.0


def _skin(rng: np.random.Generator, group: str) -> dict[str, Any]:
    tone = _TONES[group][0]
    return {
        "skin": float(rng.uniform(*tone)),
        "redness": float(rng.normal()),
        "yellowness": float(rng.normal()),
        "unevenness": float(rng.uniform(0.15, 1)),
        "ruddy": float(rng.uniform(0, 1)),
        "freckles": _often(rng, 0.3 if tone[0] < 0.3 else 0.05, 0.3, 1),
        "moles": int(rng.poisson(1.6)),
        "gloss": float(rng.uniform(0.25, 1.2)),
        "wrinkles": float(rng.uniform(0, 1)),
        "eye_rings": float(rng.uniform(0, 1)),
    }


def _brows(rng: np.random.Generator, sex: str) -> dict[str, Any]:
    male = sex == "male"
    return {
        "brow_width": float(rng.uniform(0.34, 0.62) if male else rng.uniform(0.2, 0.46)),
        "brow_arch": float(rng.normal(0.0 if male else 0.12, 0.14)),
        "brow_height": float(rng.normal(0, 0.13)),
        "brow_density": float(rng.uniform(0.45, 1)),
        "brow_length": float(rng.uniform(0.8, 1.12)),
        "unibrow": _often(rng, 0.12 if male else 0.03, 0.2, 0.8),
        "brow_pigment": float(rng.normal(0, 0.15)),
    }


def _mouth_and_makeup(rng: np.random.Generator, sex: str, kid: bool) -> dict[str, Any]:
    wears = (sex == "female") and not kid
    return {
        "lip_hue": float(rng.normal()),
        "lip_depth": float(rng.uniform(0.25, 0.95)),
        "lipstick": _often(rng, 0.45 * wears, 0.4, 1),
        "lipstick_hue": float(rng.uniform(0, 1)),
        "eye_shadow": _often(rng, 0.4 * wears, 0.25, 0.9),
        "shadow_hue": float(rng.uniform(0, 1)),
        "eyeliner": _often(rng, 0.5 * wears, 0.4, 1),
        "blush": _often(rng, 0.4 * wears, 0.2, 0.8),
    }


def _beard(rng: np.random.Generator, sex: str, kid: bool) -> dict[str, Any]:
    grows = (sex == "male") and not kid
    kind = rng.random()
    stubble, moustache, chin, full = (rng.uniform(0.45, 1) for _ in range(4))
    return {
        "stubble": float(stubble * grows) if kind < 0.75 else 0.1 * grows,
        "moustache": float(moustache) * grows * (kind < 0.16 or 0.26 < kind < 0.5),
        "chin_beard": float(chin) * grows * (0.12 < kind < 0.5),
        "full_beard": float(full) * grows * (0.3 < kind < 0.5),
    }


def _eyes(rng: np.random.Generator, group: str) -> dict[str, Any]:
    light = group in ("caucasian", "kid")
    return {
        "iris": float(
            rng.choice([rng.uniform(0, 0.5), rng.uniform(0.5, 1)]) if light else rng.uniform(0.7, 1)
        ),
        "iris_light": float(rng.uniform(0.6, 1.3)),
        "iris_size": float(rng.uniform(0.43, 0.51)),
        "iris_rim": float(rng.uniform(0.15, 0.6)),
        "sclera": float(rng.uniform(0, 1)),
        "teeth": float(rng.uniform(0, 1)),
    }


def _hair(rng: np.random.Generator, sex: str, group: str, kid: bool) -> dict[str, Any]:
    _, pigment, red, curly = _TONES[group]
    curls = rng.random() < curly
    if sex == "male":
        styles = ["buzz", "short", "parted", "quiff", "fringe", "bald", "horseshoe", "long"]
        shares = [0.18, 0.24, 0.18, 0.15, 0.11, 0.06, 0.05, 0.03]
    else:
        styles = ["long", "long_fringe", "bob", "bob_fringe", "tied", "bun", "short", "parted"]
        shares = [0.3, 0.12, 0.16, 0.09, 0.14, 0.07, 0.06, 0.06]
    if curls:
        styles = [*styles, "afro"]
        shares = [*(0.7 * s for s in shares), 0.3]
    if kid:
        shares = [0.0 if s in ("bald", "horseshoe") else w for s, w in zip(styles, shares, strict=True)]
    weights = np.array(shares) / np.sum(shares)
    dyed = sex == "female" and not kid and rng.random() < 0.08
    return {
        "hair_style": str(rng.choice(styles, p=weights)),
        "hair_pigment": float(rng.uniform(*pigment)),
        "hair_red": float(rng.uniform(0.5, 1)) if rng.random() < red else 0.0,
        "grey": 0.0 if kid else _often(rng, 0.2, 0.3, 1),
        "dye": float(rng.uniform(0, 1)) if dyed else -1.0,
        "hair_length": float(rng.uniform(0, 1)),
        "hair_volume": float(rng.uniform(0.5, 1.5)),
        "hair_curl": float(rng.uniform(0.5, 1) if curls else rng.uniform(0, 0.35)),
        "part": float(rng.uniform(-1, 1)),
        "hairline": float(rng.normal(0, 0.55)),
        "recession": 0.0 if kid else float(rng.beta(1, 3) if sex == "male" else rng.uniform(0, 0.15)),
        "clothes": rng.uniform(0.05, 0.85, 3) * rng.uniform(0.3, 1),
    }
