import pytest
import torch
import torch.nn.functional as F

from facegan.config import UserError
from facegan.nets.vgg_face import MEAN, TAPS, VGGFace, load_published


def published_like(net: VGGFace) -> dict[str, torch.Tensor]:
    """The network's weights under the published file's names."""
    return {key.removeprefix("convs."): value for key, value in net.state_dict().items()}


def test_its_size_is_that_of_the_published_network():
    with torch.device("meta"):
        net = VGGFace()
    count = sum(p.numel() for p in net.parameters())
    assert round(count / 1e6, 1) == 145.0
    trunk = sum(p.numel() for name, p in net.convs.named_parameters() if not name.startswith("conv5_3"))
    assert round(trunk / 1e6, 2) == 12.35, "conv1_1..conv5_2"


def test_taps_are_conv_outputs_before_the_relu_of_pictures_in_0_to_255():
    torch.manual_seed(0)
    net, x = VGGFace(3, size=32, width=0.125), torch.rand(2, 3, 32, 32) * 2 - 1
    taps = net.taps(x)
    assert [t.shape[-1] for t in taps] == [32, 16, 8, 4, 2] and len(taps) == len(TAPS)
    raw = (x + 1) / 2 * 255 - torch.tensor(MEAN).view(1, 3, 1, 1)
    first = net.convs["conv1_2"](F.relu(net.convs["conv1_1"](raw)))
    torch.testing.assert_close(taps[0], first)
    second = net.convs["conv2_2"](F.relu(net.convs["conv2_1"](F.max_pool2d(F.relu(first), 2))))
    torch.testing.assert_close(taps[1], second)
    assert all((t < 0).any() for t in taps)
    assert net.last_maps(x).min() >= 0 and net.embed(x).shape == (2, 512) and net(x).shape == (2, 3)


def test_pictures_are_brought_to_its_size():
    net = VGGFace(None, size=64, width=0.125)
    assert net.taps(torch.zeros(1, 3, 40, 40))[0].shape[-1] == 64
    with pytest.raises(ValueError, match="32 pixels"):
        VGGFace(size=24)


def test_published_weights_load_by_their_names(tmp_path, monkeypatch):
    import facegan.nets.vgg_face as module

    monkeypatch.setattr(module, "STAGES", ((8, 2), (8, 2), (8, 3), (8, 3), (8, 3)))
    torch.manual_seed(0)
    net = VGGFace(None, 64)
    fc = {"fc6.weight": torch.zeros(1), "fc6.bias": torch.zeros(1)}  # of 224 pixels: not looked at
    torch.save(published_like(net) | fc, tmp_path / "vgg_face_dag.pth")
    x = torch.rand(1, 3, 64, 64)
    loaded = load_published(tmp_path / "vgg_face_dag.pth", None, 64)
    for a, b in zip(net.taps(x), loaded.taps(x), strict=True):
        torch.testing.assert_close(a, b)
    fresh = load_published(tmp_path / "vgg_face_dag.pth", 6, 64)
    assert fresh(x).shape == (1, 6), "new linear layers on published convs"


def test_a_wrong_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"vgg_face_dag\.pth.*method\.recogniser=trained"):
        load_published(tmp_path / "nothing.pth")
    torch.save({"conv1_1.weight": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(UserError, match="does not hold VGG-Face"):
        load_published(tmp_path / "wrong.pth", None, 64)
