"""A face drawn by hand."""

import numpy as np


def face_points():
    """A drawn face in units where the eyes are 60 apart."""
    points = np.zeros((68, 2))
    t = np.linspace(np.pi, 0, 17)
    points[0:17] = np.stack([64 + 50 * np.cos(t), 60 + 60 * np.sin(t)], 1)
    points[17:22] = np.stack([np.linspace(20, 48, 5), np.full(5, 30)], 1)
    points[22:27] = np.stack([np.linspace(80, 108, 5), np.full(5, 30)], 1)
    points[27:36] = [(64, 48), (64, 56), (64, 64), (64, 70), (56, 76), (60, 77), (64, 78), (68, 77), (72, 76)]
    for start, x in ((36, 34), (42, 94)):
        points[start : start + 6] = [
            (x - 9, 48),
            (x - 3, 45),
            (x + 3, 45),
            (x + 9, 48),
            (x + 3, 51),
            (x - 3, 51),
        ]
    points[48:60] = [(44, 95), (52, 91), (60, 90), (64, 91), (68, 90), (76, 91),
                     (84, 95), (76, 101), (68, 103), (64, 103), (60, 103), (52, 101)]  # fmt: skip
    points[60:68] = [(48, 95), (58, 94), (64, 94), (70, 94), (80, 95), (70, 97), (64, 97), (58, 97)]
    return points
