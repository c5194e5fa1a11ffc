import pytest
import torch
from torch import nn

from facegan.config import UserError
from facegan.nets.lightcnn import LightCNN29v2, load_published, to_grey

# Names and shapes in the published LightCNN_29Layers_V2_checkpoint.pth.tar.
PUBLISHED = {
    "module.conv1.filter.weight": (96, 1, 5, 5),
    "module.block1.0.conv1.filter.weight": (96, 48, 3, 3),
    "module.group1.conv_a.filter.weight": (96, 48, 1, 1),
    "module.group1.conv.filter.weight": (192, 48, 3, 3),
    "module.block2.1.conv2.filter.bias": (192,),
    "module.group2.conv.filter.weight": (384, 96, 3, 3),
    "module.block3.2.conv2.filter.weight": (384, 192, 3, 3),
    "module.group3.conv_a.filter.weight": (384, 192, 1, 1),
    "module.group3.conv.filter.weight": (256, 192, 3, 3),
    "module.block4.3.conv2.filter.weight": (256, 128, 3, 3),
    "module.group4.conv.filter.weight": (256, 128, 3, 3),
    "module.fc.weight": (256, 8192),
    "module.fc.bias": (256,),
}


def published(tmp_path, **changes):
    state = {f"module.{key}": value for key, value in LightCNN29v2().state_dict().items()}
    state["module.fc2.weight"] = torch.zeros(20, 256)
    state |= changes
    path = tmp_path / "LightCNN_29Layers_V2_checkpoint.pth.tar"
    torch.save({"epoch": 80, "arch": "LightCNN", "state_dict": state, "prec1": torch.tensor(1.0)}, path)
    return path, state


def test_names_shapes_and_size_are_those_of_the_published_file(tmp_path):
    _, state = published(tmp_path)
    for key, shape in PUBLISHED.items():
        assert tuple(state[key].shape) == shape, key
    assert len(state) - 1 == 2 * (1 + 2 * (1 + 2 + 3 + 4) + 2 * 4 + 1)  # weight and bias of every layer
    assert sum(p.numel() for p in LightCNN29v2().parameters()) == 10_475_872  # 10.5 M


def test_published_file_loads_with_the_same_answers(tmp_path):
    torch.manual_seed(0)
    path, state = published(tmp_path)
    net = load_published(path)
    assert torch.equal(net.fc.weight, state["module.fc.weight"])
    x = torch.rand(1, 1, 128, 128)
    assert net(x).shape == (1, 256)


def test_forward_is_max_feature_map_and_summed_pooling():
    net = LightCNN29v2(0.125).eval()
    x = torch.rand(1, 1, 128, 128)
    y = net.conv1.filter(x)
    half = y.shape[1] // 2
    y = torch.where(y[:, :half] > y[:, half:], y[:, :half], y[:, half:])
    first = nn.MaxPool2d(2)(y) + nn.AvgPool2d(2)(y)
    handed = {}
    net.block1.register_forward_hook(lambda _module, args, _out: handed.setdefault("x", args[0]))
    net(x)
    torch.testing.assert_close(handed["x"], first)


@pytest.mark.parametrize(
    "change", [{"module.fc.weight": torch.zeros(256, 7)}, {"module.odd": torch.zeros(1)}]
)
def test_another_file_is_refused_in_words(tmp_path, change):
    path, _ = published(tmp_path, **change)
    with pytest.raises(UserError, match="is not LightCNN-29v2"):
        load_published(path)
    with pytest.raises(UserError, match="facegan train judge_identity"):
        load_published(tmp_path / "missing.pth.tar")


def test_grey_has_the_range_the_network_was_trained_with():
    white, red = (
        torch.ones(1, 3, 64, 64),
        torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 64, 64),
    )
    assert to_grey(white).shape == (1, 1, 128, 128)
    torch.testing.assert_close(to_grey(white).mean(), torch.tensor(1.0))
    torch.testing.assert_close(to_grey(red).mean(), torch.tensor(0.299))
    assert to_grey(-white).abs().max() == 0
    halved = to_grey(white.bfloat16())  # as a generator gives them under autocast
    assert halved.dtype == torch.float32 and halved.shape == (1, 1, 128, 128)
