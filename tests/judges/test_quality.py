"""Which quality judges there are follows from the weights that lie with the judges."""

import torch

from facegan.judges.quality import CNNIQA_FILE, quality_judges
from facegan.nets.cnniqa import CNNIQA


def test_weights_that_are_not_there_are_named_and_the_others_judge(homes):
    found, said = quality_judges()
    assert not found and "lidq92/CNNIQA" in said["CNNIQA"] and "dmaniry/deepIQA" in said["DeepIQA"]
    (homes / "judges").mkdir()
    net = CNNIQA()
    torch.save(net.state_dict(), homes / "judges" / CNNIQA_FILE)
    found, said = quality_judges()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(found["CNNIQA"](images, torch.zeros(0)), net.eval().score(images))
    assert list(found) == ["CNNIQA"] and "sha256" in said["CNNIQA"] and "not measured" in said["DeepIQA"]
