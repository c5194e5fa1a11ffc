import pytest
import torch

from facegan.nets.blocks import group_norm


@pytest.mark.parametrize(
    ("channels", "groups"), [(3, 1), (8, 1), (51, 1), (60, 1), (64, 8), (96, 4), (512, 32)]
)
def test_group_norm_takes_any_number_of_channels(channels, groups):
    norm = group_norm(channels)
    assert norm.num_groups == groups
    x = norm(torch.randn(2, channels, 4, 4)).reshape(2, groups, -1)
    torch.testing.assert_close(x.mean(2), torch.zeros(2, groups), atol=1e-5, rtol=0)
