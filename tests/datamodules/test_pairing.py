import numpy as np
import pytest

from datamodules.pairing import PAIRINGS, Partners, farthest, partners, target_rows
from facegan.config import UserError

GROUPS = np.array([2, 0, 1, 0, 2, 2, 0, 3, 1, 2])


def test_targets_are_uniform_and_repeatable():
    index = np.arange(5000)
    epoch = np.zeros_like(index)
    drawn = target_rows(3, epoch, index, 10)
    assert drawn.min() == 0 and drawn.max() == 9
    assert np.abs(np.bincount(drawn) / 5000 - 0.1).max() < 0.02
    np.testing.assert_array_equal(drawn, target_rows(3, epoch, index, 10))
    assert (drawn != target_rows(3, epoch + 1, index, 10)).mean() > 0.8


def many(probability):
    index = np.tile(np.arange(10), 400)
    epoch = np.repeat(np.arange(400), 10)
    return index, Partners(GROUPS).draw(0, epoch, index, probability)


def test_same_group_never_pairs_a_picture_with_itself_and_reaches_all_others():
    index, partner = many(0.0)
    assert (GROUPS[index] == GROUPS[partner]).all()
    alone = index == 7
    assert (partner[alone] == 7).all() and (partner[~alone] != index[~alone]).all()
    for i in range(10):
        expected = set(np.flatnonzero(GROUPS[i] == GROUPS)) - ({i} if i != 7 else set())
        assert set(partner[index == i]) == expected


def test_cross_reaches_all_of_other_groups_and_none_of_its_own():
    index, partner = many(1.0)
    for i in range(10):
        assert set(partner[index == i]) == set(np.flatnonzero(GROUPS[i] != GROUPS))


def test_the_stated_share_is_crossed():
    index, partner = many(0.3)
    assert (GROUPS[index] != GROUPS[partner]).mean() == pytest.approx(0.3, abs=0.03)


def test_one_person_alone_cannot_be_crossed():
    one = Partners(np.zeros(4, int))
    assert (one.draw(0, np.zeros(4, int), np.arange(4), 1.0) != np.arange(4)).all()


def test_pairings():
    identity, sequence = np.array([0, 0, 0, 0]), np.array([0, 0, 1, 1])
    assert partners("single", identity, sequence) is None
    track = partners("same_track", identity, sequence).draw(0, np.zeros(4, int), np.arange(4), 0.0)
    assert track.tolist() == [1, 0, 3, 2]
    with pytest.raises(UserError, match=", ".join(PAIRINGS)):
        partners("pairs", identity, sequence)


def test_the_farthest_head_is_taken_and_an_unknown_one_is_not():
    candidates = np.array([[1, 2], [3, 4], [5, 6]])
    own = np.zeros((2, 3))
    theirs = np.zeros((3, 2, 3))
    theirs[0, 0], theirs[1, 0] = (0.1, 0.1, 0.1), (0, -0.4, 0)
    theirs[0, 1], theirs[1, 1], theirs[2, 1] = (0, 0.2, 0), np.nan, (0.1, 0, 0)
    assert farthest(candidates, theirs, own).tolist() == [3, 2]


def test_a_candidate_is_drawn_as_the_first_partner_is():
    """From the same group, never the picture itself, each of them anew."""
    drawer, index = Partners(GROUPS), np.zeros(4000, int)
    epoch = np.arange(4000)
    first, second = (drawer.draw(0, epoch, index, 0.0, k) for k in (0, 1))
    group = set(np.flatnonzero(GROUPS[0] == GROUPS)) - {0}
    assert set(second) == group
    assert (first == second).mean() == pytest.approx(1 / len(group), abs=0.05), "independent of the first"
