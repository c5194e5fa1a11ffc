import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facegan.judges.weights import save_judge
from facegan.nets.au_regressor import AURegressor
from facegan.nets.lightcnn import LightCNN29v2

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def au_weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "judge_au.safetensors"
    about = {"channels": [8, 8, 16, 16], "trained_on": "10 generated pictures (procedural head) of 2 people"}
    save_judge(path, AURegressor([8, 8, 16, 16]), about)
    return path


@pytest.fixture
def lightcnn_weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "judge_identity.safetensors"
    save_judge(path, LightCNN29v2(0.125), {"width": 0.125, "trained_on": "pictures"})
    return path


@pytest.fixture(scope="module")
def generated_faces():
    """One person with the mouth shut and open, at 128 pixels: pictures and their exact landmarks."""
    from datamodules.generated.head import load_head
    from datamodules.generated.person import Person
    from datamodules.generated.render import embody, render, studio
    from facegan.faces import AUS

    head = load_head("procedural")
    body = embody(head, Person.draw(head, 500003))
    pictures = []
    for opening in (0, 4):
        au = np.zeros(17, np.float32)
        au[[AUS.index(25), AUS.index(26)]] = opening
        pictures.append(render(body, studio(au), 128))
    images = torch.from_numpy(np.stack([p.image for p in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images, np.stack([p.landmarks for p in pictures])
