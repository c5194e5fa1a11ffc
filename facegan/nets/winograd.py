"""3x3 convs with a quarter of the products, for networks that are used on a CPU (Lavin & Gray, CVPR 2016).

F(4x4, 3x3): sixteen outputs from a tile of 6x6 take 36 products where the plain sum takes 144. PyTorch's own CPU
convs do not do so. It pays where channels are many, and the products nearly all of the time.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE, STEP = 6, 4
"""Pixels of a tile's side, and how many of them are outputs; tiles overlap by two."""

# Y = A^T [(G g G^T) . (B^T d B)] A, at the points 0, 1, -1, 2, -2 and infinity; _B and _A are transposed already
_B = torch.tensor([
    [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
], dtype=torch.float64)  # fmt: skip
_G = torch.tensor([
    [6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24],
], dtype=torch.float64) / 24  # fmt: skip
_A = torch.tensor([
    [1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1],
], dtype=torch.float64)  # fmt: skip


def suits(conv: nn.Module) -> bool:
    """Whether it is a 3x3 conv of stride 1 without padding, dilation or groups."""
    return (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (0, 0))
        and (conv.dilation, conv.groups) == ((1, 1), 1)
    )


class WinogradConv(nn.Module):
    """What a conv that ``suits`` makes of a map: (B, C, H, W) -> (B, out, H - 2, W - 2), of fixed weights.

    In single precision it differs from the plain conv by rounding, some 1e-5 of a map's deviation. Under autocast it
    is the plain conv, for the factors of the transforms would enlarge bfloat16's rounding. Its weights take four
    times the memory, beside the plain ones: 0.45 GB for the twelve convs of the released G_A.

    Args:
        conv: what it computes; not to be taught any more.

    Raises:
        ValueError: a conv of another kind.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if not suits(conv):
            raise ValueError(f"{conv} is no 3x3 conv of stride 1 without padding")
        self.plain = conv.requires_grad_(False)
        weight = conv.weight
        products = torch.einsum("ai,ocij,bj->abco", _G.to(weight), weight, _G.to(weight))
        self.register_buffer("products", products.flatten(0, 1).contiguous(), persistent=False)
        self.register_buffer("taking", torch.kron(_B, _B).to(weight), persistent=False)
        self.register_buffer("giving", torch.kron(_A, _A).to(weight), persistent=False)

    products: Tensor
    taking: Tensor
    giving: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The conv; its result lies channels-last."""
        if torch.is_autocast_enabled(x.device.type):
            return self.plain(x)
        rows, channels, high, wide = x.shape
        down, across = (-(-(side - 2) // STEP) for side in (high, wide))
        missing = (0, STEP * across + 2 - wide, 0, STEP * down + 2 - high)
        x = F.pad(x, missing).permute(0, 2, 3, 1).contiguous()
        of_picture, of_row, of_pixel, _ = x.stride()
        tiles = x.as_strided(
            (TILE, TILE, rows, down, across, channels),
            (of_row, of_pixel, of_picture, STEP * of_row, STEP * of_pixel, 1),
        )
        taken = (self.taking @ tiles.reshape(TILE**2, -1)).view(TILE**2, -1, channels)
        given = self.giving @ torch.bmm(taken, self.products).flatten(1)
        y = given.view(STEP, STEP, rows, down, across, -1).permute(2, 3, 0, 4, 1, 5)
        y = y.reshape(rows, STEP * down, STEP * across, -1)[:, : high - 2, : wide - 2]
        if self.plain.bias is not None:
            y = y + self.plain.bias
        return y.permute(0, 3, 1, 2)


def quicken(network: nn.Module, least: int = 128) -> None:
    """Put a ``WinogradConv`` in the place of every conv of a network that suits and has ``least`` channels or more."""
    for part in list(network.modules()):
        if isinstance(part, WinogradConv):
            continue
        for name, conv in list(part.named_children()):
            if suits(conv) and conv.in_channels >= least:  # type: ignore[operator]
                setattr(part, name, WinogradConv(conv))  # type: ignore[arg-type]
