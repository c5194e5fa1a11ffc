"""The precision that losses, and what is as delicate, are computed in under autocast."""

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """In single precision, or in double if it is so already."""
    return x if x.dtype == torch.float64 else x.float()
