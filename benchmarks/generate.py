"""Generated pictures per second, written to disk, beside drawing the same meshes triangle by triangle with
OpenCV.

Run: python benchmarks/generate.py [--workers 2] [--people 100] [--pictures 24]
Bars: 150 pictures/s with the ict head and 400 with the procedural one, 128x128, two cores.
"""

import argparse
import tempfile
import time

import cv2
import numpy as np

from datamodules.generated import raster
from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.generated.head import HEADS, load_head
from datamodules.generated.person import Person
from datamodules.generated.render import apex, au_weights, draw_shot, embody, rotation
from facegan.config import UserError

SIZE = 128


def painters_order(name: str, pictures: int) -> float:
    """Pictures per second of one process that deforms with numpy and fills triangles from back to front."""
    head = load_head(name)
    body = embody(head, Person.draw(head, 0))
    rng = np.random.default_rng(0)
    for k in range(pictures + 1):
        if k == 1:  # what numba compiles for the first does not count
            start = time.perf_counter()
        shot = draw_shot(rng, apex(body.person, "happiness"))
        points = body.rest.copy()
        for mode, weight in enumerate(au_weights(body.person, shot.au)):
            part = slice(head.mode_start[mode], head.mode_start[mode + 1])
            points[head.mode_vertex[part]] += weight * head.mode_shift[part]
        points = points @ (rotation(shot.pose) @ np.diag([1.0, -1.0, -1.0])).T + [0, 0, shot.distance]
        screen = 2 * SIZE * (shot.distance / shot.frame * points[:, :2] / points[:, 2:] + 0.5)
        shade = np.clip(-raster.normals(points, body.triangles)[:, 2], 0.1, 1) * 255
        corners = points[body.triangles]
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] < 0
        order = np.flatnonzero(facing)[np.argsort(-corners[facing].mean(1)[:, 2])]
        image = np.zeros((2 * SIZE, 2 * SIZE, 3), np.uint8)
        outlines = screen[body.triangles].astype(np.int32)
        colours = shade[body.triangles].mean(1)
        for t in order:
            cv2.fillConvexPoly(image, outlines[t], (colours[t],) * 3)
        cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return pictures / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=24)
    options = parser.parse_args()
    for name in HEADS:
        try:
            load_head(name)
        except UserError as error:
            print(f"{name}: left out ({error})")
            continue
        with tempfile.TemporaryDirectory() as root:
            asked = {"head": name, "workers": options.workers}
            FOLDER_LAYOUT.write(f"{root}/warm", people=options.workers, pictures=2, **asked)
            start = time.perf_counter()
            FOLDER_LAYOUT.write(f"{root}/timed", people=options.people, pictures=options.pictures, **asked)
            rate = options.people * options.pictures / (time.perf_counter() - start)
        plain = painters_order(name, 10)
        print(
            f"{name}: {rate:.0f} pictures/s at {SIZE}x{SIZE} with {options.workers} processes, written; "
            f"painter's order, one process, not written: {plain:.1f}/s; ratio {rate / plain:.1f}"
        )


if __name__ == "__main__":
    main()
