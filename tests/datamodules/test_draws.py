import numpy as np

from datamodules.draws import FLIP, TARGET, permutation, philox, uniform


def test_philox_gives_the_published_answers():
    """Known answers of Random123 (kat_vectors, philox4x32-10)."""
    zeros, ones = np.zeros((1, 4), np.uint64), np.full((1, 4), 0xFFFFFFFF, np.uint64)
    pi = np.array([[0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]], np.uint64)
    assert [hex(v) for v in philox(zeros, (0, 0))[0]] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]
    assert [hex(v) for v in philox(ones, (0xFFFFFFFF, 0xFFFFFFFF))[0]] == [
        "0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd",
    ]  # fmt: skip
    assert [hex(v) for v in philox(pi, (0xA4093822, 0x299F31D0))[0]] == [
        "0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1",
    ]  # fmt: skip


def test_a_draw_depends_on_its_place_only():
    epoch, index = np.full(1000, 3), np.arange(1000)
    whole = uniform(7, TARGET, epoch, index)
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(uniform(7, TARGET, epoch[order], index[order]), whole[order])
    np.testing.assert_array_equal(uniform(7, TARGET, epoch[500:501], index[500:501]), whole[500:501])


def test_seed_stream_epoch_and_index_all_matter_and_the_numbers_are_uniform():
    epoch, index = np.zeros(20_000, np.int64), np.arange(20_000)
    draws = [uniform(0, FLIP, epoch, index), uniform(1, FLIP, epoch, index), uniform(0, TARGET, epoch, index),
             uniform(0, FLIP, epoch + 1, index)]  # fmt: skip
    for k, values in enumerate(draws):
        assert values.min() >= 0 and values.max() < 1
        assert np.abs(np.histogram(values, 10)[0] / values.size - 0.1).max() < 0.005
        for other in draws[:k]:
            assert abs(np.corrcoef(values.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[0][:-1, 0], draws[0][1:, 0])[0, 1]) < 0.02


def test_permutation_differs_by_epoch_and_seed():
    orders = [permutation(seed, epoch, 100) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert (
        (orders[0] == orders[3]).all() and (orders[0] != orders[1]).any() and (orders[0] != orders[2]).any()
    )
