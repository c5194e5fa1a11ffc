"""Which pictures make a batch, as (epoch, index) pairs: the same on any number of ranks, after any resume."""

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

from datamodules.draws import permutation
from facegan.config import UserError

Pairs = list[tuple[int, int]]


class EpochBatchSampler(Sampler[Pairs]):
    """Endless sequence of global batches, numbered from 0; an iteration starts at ``batches_seen()``.

    Batch b belongs to epoch b // L, where L is the number of full batches in an epoch, and takes the next
    ``batch_size`` pictures of that epoch's own order. A rank gets its consecutive share of each global
    batch. ``len`` is always L: Lightning knows itself how many batches of an epoch are done.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        batches_seen: Callable[[], int],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % world:
            raise UserError(
                f"data.batch_size={batch_size} counts all {world} processes together and must be a multiple "
                f"of {world}; try {max(world, batch_size // world * world)}"
            )
        if n < batch_size:
            raise UserError(
                f"{n} pictures to train on do not fill one batch; set data.batch_size="
                f"{max(world, n // world * world)} or less, or add pictures"
            )
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.batches_seen = batches_seen
        self._share = slice(rank * batch_size // world, (rank + 1) * batch_size // world)

    def __len__(self) -> int:
        return self.n // self.batch_size

    def __iter__(self) -> Iterator[Pairs]:
        seen = self.batches_seen()
        drawn, order = -1, np.zeros(0, np.int64)
        for number in range(seen, seen + len(self)):
            epoch, batch = divmod(number, len(self))
            if epoch != drawn:
                drawn, order = epoch, permutation(self.seed, epoch, self.n)
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(epoch, index) for index in rows[self._share].tolist()]


class InOrderBatchSampler(Sampler[Pairs]):
    """All pictures once, in order, for validation and test; a rank gets every ``world``-th picture."""

    def __init__(self, n: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self._rows = range(rank, n, world)
        self._size = max(1, batch_size // world)

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)

    def __iter__(self) -> Iterator[Pairs]:
        for start in range(0, len(self._rows), self._size):
            yield [(0, index) for index in self._rows[start : start + self._size]]
