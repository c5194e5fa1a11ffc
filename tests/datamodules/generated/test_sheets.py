"""Contact sheets."""

import cv2

from datamodules.generated.sheets import contact_sheet
from facegan.faces import N_AUS


def test_contact_sheet(tmp_path):
    people, aus = contact_sheet("procedural", tmp_path / "sheet.png", people=2, size=32)
    assert cv2.imread(str(people)).shape[1] == 9 * 32
    assert cv2.imread(str(aus)).shape[:2] == (N_AUS * (32 + 20), 12 * 32)
