"""What every data set can be asked."""

from dataclasses import dataclass, field

from datamodules.pairing import PAIRINGS
from facegan.config import PrepareConfig, check, check_ranges


@dataclass
class DataConfig(PrepareConfig):
    """What every data set can be asked; each data set's own dataclass adds to it."""

    name: str = ""
    root: str | None = None  # folder of the raw data; None: <data home>/<name>
    store: str | None = None  # folder of the prepared faces; None: <data home>/prepared/<name>-<key>
    # CSV of people and their parts, as `facegan data --splits` writes it; None: the protocol's
    splits: str | None = None
    batch_size: int = 8  # of all processes together; EGGAN 4.1
    seed: int = 0  # of the split and of all draws
    pairing: str = "single"  # single | same_identity | cross_identity | same_track
    cross_probability: float = 0.5  # pairing=cross_identity: share of pairs of two people
    candidates: int = 1  # in training: partners drawn, of which the one that looks farthest away is taken
    # side of the part that is used: one of five in training (TER-GAN 4.1), else the middle
    crop: int | None = None
    # degrees, one of which turns a training picture
    rotate: list[float] = field(default_factory=lambda: [0.0])
    # none | own | neutral_mean: AIP-GAN's H beside each picture (docs/aipgan.md A6)
    identity_maps: str = "none"
    landmark_images: bool = False  # AIP-GAN's Z beside each picture (A15)
    flip: float = 0.0  # probability of mirroring a picture; EGGAN: none
    jitter: float = 0.0  # strength of random brightness, contrast and saturation, 0 to 1; EGGAN: none
    expressions: list[str] = field(default_factory=list)  # use pictures of these alone; none named: all
    needs_au: bool = True  # leave out pictures without AU intensities
    # OpenFace's CSVs in a tree like that of the raw data, and no others; None: with the pictures
    au_root: str | None = None
    min_confidence: float = 0.7  # of OpenFace; below it a face counts as not tracked
    num_workers: int = 0  # a batch is one memory copy: workers would only hand it on
    prepare_workers: int | None = None  # processes; None: one a core

    def __post_init__(self) -> None:
        check("data.pairing", self.pairing, PAIRINGS)
        check("data.landmarks", self.landmarks, ("dlib", "face_alignment", "openface"))
        check("data.align", self.align, ("similarity", "box"))
        check("data.identity_maps", self.identity_maps, ("none", "own", "neutral_mean"))
        check_ranges(
            "data", self, image_size=(16, 4096), batch_size=(1, None), seed=(0, 2**32 - 1), cross_probability=(0, 1),
            candidates=(1, 100),
            rotate=(-180, 180), flip=(0, 1), jitter=(0, 1), min_confidence=(0, 1), num_workers=(0, None),
            prepare_workers=(1, None),
        )  # fmt: skip
