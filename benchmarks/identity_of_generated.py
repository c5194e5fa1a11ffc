"""Does a recogniser trained on photographs tell generated people apart? dlib's detector and ResNet say.

Run: python benchmarks/identity_of_generated.py [--head ict] [--people 100]
Prints the share of faces found and the balanced accuracy of "same person?" at the best threshold, over all
pairs of pictures of people in the eight expressions, in a studio and in random poses and lights.
"""

import argparse
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datamodules.generated.head import load_head
from datamodules.generated.person import Person
from datamodules.generated.render import Picture, apex, draw_shot, embody, render, studio
from facegan.config import UserError
from facegan.faces import EXPRESSIONS


class Dlib:
    """dlib's frontal detector and its face recogniser."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("face_recognition_models")
        if spec is None or importlib.util.find_spec("dlib") is None:
            raise UserError(
                "this check needs dlib and its weights; type: pip install dlib-bin face_recognition_models"
            )
        import dlib

        self.dlib = dlib
        models = Path(str(spec.origin)).parent / "models"
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self.recogniser = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def __call__(self, picture: Picture) -> tuple[bool, np.ndarray]:
        """Whether the face was found, and its descriptor (128,); a face not found is described at its true
        place."""
        image = np.ascontiguousarray(picture.image)
        boxes = self.detector(image, 1)
        if boxes:
            box = max(boxes, key=lambda b: b.area())
        else:
            (x0, y0), (x1, y1) = picture.landmarks.min(0), picture.landmarks.max(0)
            box = self.dlib.rectangle(int(x0), int(y0), int(x1), int(y1))
        shape = self.predictor(image, box)
        return bool(boxes), np.array(self.recogniser.compute_face_descriptor(image, shape))


def balanced_accuracy(descriptors: np.ndarray, people: np.ndarray) -> tuple[float, float, float, float]:
    """Best balanced accuracy over thresholds, that threshold, mean distance of same and of different
    people."""
    first, second = np.triu_indices(len(people), 1)
    distance = np.linalg.norm(descriptors[first] - descriptors[second], axis=1)
    same = people[first] == people[second]
    order = np.argsort(distance)
    hits, false = np.cumsum(same[order]) / same.sum(), np.cumsum(~same[order]) / (~same).sum()
    accuracy = (hits + 1 - false) / 2
    best = int(accuracy.argmax())
    return float(accuracy[best]), float(distance[order][best]), distance[same].mean(), distance[~same].mean()


def pictures(head: str, people: int, size: int, wild: bool, first_person: int) -> Iterator[Picture]:
    model = load_head(head)
    for seed in range(first_person, first_person + people):
        body = embody(model, Person.draw(model, seed))
        for k, name in enumerate(EXPRESSIONS):
            au = apex(body.person, name)
            shot = draw_shot(np.random.default_rng([seed, k]), au, name) if wild else studio(au, name)
            yield render(body, shot, size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", default="ict")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--first-person", type=int, default=500_000)
    options = parser.parse_args()
    judge = Dlib()
    for wild in (False, True):
        found, descriptors, names = [], [], []
        for picture in pictures(options.head, options.people, options.size, wild, options.first_person):
            seen, descriptor = judge(picture)
            found.append(seen)
            descriptors.append(descriptor)
            names.append(picture.identity)
        accuracy, threshold, same, other = balanced_accuracy(np.array(descriptors), np.array(names))
        print(
            f"{options.head}, {options.people} people x {len(EXPRESSIONS)} expressions, "
            f"{'random pose and light' if wild else 'studio'}: found {np.mean(found):.1%}, balanced accuracy "
            f"{accuracy:.1%} at distance {threshold:.3f} (same person {same:.3f}, others {other:.3f})"
        )


if __name__ == "__main__":
    main()
