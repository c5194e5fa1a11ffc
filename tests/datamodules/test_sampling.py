import numpy as np
import pytest

from datamodules.sampling import EpochBatchSampler, InOrderBatchSampler
from facegan.config import UserError


def sampler(seen=0, rank=0, world=1, n=50, batch=8, seed=0):
    return EpochBatchSampler(n, batch, seed, lambda: seen, rank, world)


def test_an_epoch_visits_each_picture_once_in_its_own_order():
    epochs = [list(sampler(seen=6 * epoch)) for epoch in range(2)]
    for number, batches in enumerate(epochs):
        assert len(batches) == len(sampler()) == 6
        pairs = [pair for batch in batches for pair in batch]
        assert {epoch for epoch, _ in pairs} == {number} and len({index for _, index in pairs}) == 48
    assert [i for _, i in epochs[0][0]] != [i for _, i in epochs[1][0]]
    assert list(sampler()) == epochs[0] and list(sampler(seed=1)) != epochs[0]


@pytest.mark.parametrize("seen", [1, 4, 6, 9])
def test_it_starts_where_the_run_stopped(seen):
    stream = [batch for epoch in range(4) for batch in sampler(seen=6 * epoch)]
    assert list(sampler(seen=seen)) == stream[seen : seen + 6]


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_shares_make_up_the_batch_of_one_process_in_order(world):
    ranks = [list(sampler(rank=rank, world=world)) for rank in range(world)]
    joined = [[pair for share in shares for pair in share] for shares in zip(*ranks, strict=True)]
    assert joined == list(sampler())


def test_mistakes_say_what_to_set():
    with pytest.raises(UserError, match=r"batch_size=8.*multiple of 3; try 6"):
        sampler(world=3)
    with pytest.raises(UserError, match=r"5 pictures.*data\.batch_size=5"):
        sampler(n=5)


@pytest.mark.parametrize("world", [1, 3])
def test_in_order_covers_everything_once_over_all_ranks(world):
    pairs = []
    for rank in range(world):
        one = InOrderBatchSampler(20, 6, rank, world)
        batches = list(one)
        assert len(batches) == len(one)
        pairs += [pair for batch in batches for pair in batch]
    assert sorted(index for _, index in pairs) == list(range(20)) and {epoch for epoch, _ in pairs} == {0}
    if world == 1:
        assert [i for _, i in pairs] == np.arange(20).tolist()
