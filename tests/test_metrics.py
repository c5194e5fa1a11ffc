import warnings

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_curve

from facegan.metrics import Acceptance, Agreement, Presence, Verification


def filled(names, x, y, batch=7):
    metric = Agreement(names)
    for start in range(0, len(x), batch):
        metric.update(torch.from_numpy(x[start : start + batch]), torch.from_numpy(y[start : start + batch]))
    return metric


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_agreement_equals_scipy_in_batches_and_far_from_zero(offset):
    rng = np.random.default_rng(0)
    y = rng.normal(offset, 1.0, (100, 3))
    x = y + rng.normal(0, [0.2, 1.0, 5.0], (100, 3))
    result = filled("abc", x, y).compute()
    expected = [pearsonr(x[:, k], y[:, k]).statistic for k in range(3)]
    np.testing.assert_allclose(result["pcc"], expected, atol=1e-8)
    np.testing.assert_allclose(result["mse"], ((x - y) ** 2).mean(0), rtol=1e-10)
    assert result["pcc_mean"] == pytest.approx(np.mean(expected))
    assert result["rows"] == 100


def test_a_constant_column_has_no_correlation_and_is_left_out_of_the_mean():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 50, 3)).astype(np.float32)
    y[:, 1] = 0.1  # not a binary fraction: its variance by sums need not be exactly 0
    x[:, 2] = 3.3
    result = filled("abc", x, y).compute()
    assert result["pcc"].isnan().tolist() == [False, True, True]
    assert result["excluded"] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert result["pcc_mean"] == pytest.approx(pearsonr(x[:, 0], y[:, 0]).statistic, abs=1e-6)


def test_rows_without_a_face_are_counted_and_change_nothing():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 20, 2))
    clean = filled("ab", x, y).compute()
    holed = np.insert(x, [3, 9], np.nan, axis=0)
    result = filled("ab", holed, np.insert(y, [3, 9], 0.0, axis=0)).compute()
    assert result["rejected"] == 2 and result["rows"] == 20
    torch.testing.assert_close(result["pcc"], clean["pcc"])
    nothing = filled("ab", np.full((4, 2), np.nan), y[:4]).compute()
    assert nothing["rejected"] == 4 and nothing["mse"].isnan().all() and nothing["pcc_mean"].isnan()


def test_two_ranks_summed_equal_one_process():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 31, 2))
    whole = filled("ab", x, y)
    parts = [filled("ab", x[:12], y[:12]), filled("ab", x[12:], y[12:])]
    merged = Agreement("ab")
    for name, reduce in merged._reductions.items():
        stacked = torch.stack([getattr(part, name) for part in parts])
        setattr(merged, name, reduce(stacked))
    merged._update_count = 1
    for key, value in whole.compute().items():
        torch.testing.assert_close(merged.compute()[key], value)


def test_presence_equals_scikit_learn_and_skips_aus_of_one_class():
    rng = np.random.default_rng(6)
    y = rng.uniform(0, 2.5, (80, 4))
    x = np.clip(y + rng.normal(0, [0.2, 1.0, 3.0, 1.0], (80, 4)), 0, 5)
    y[:, 3] = 0.2  # never there
    metric = Presence("abcd")
    for start in range(0, 80, 9):
        metric.update(torch.from_numpy(x[start : start + 9]), torch.from_numpy(y[start : start + 9]))
    metric.update(torch.full((2, 4), torch.nan), torch.ones(2, 4))
    result = metric.compute()
    seen, there = x >= 1, y >= 1
    expected = [balanced_accuracy_score(there[:, k], seen[:, k]) for k in range(3)]
    np.testing.assert_allclose(result["balanced"][:3], expected)
    np.testing.assert_allclose(result["f"][:3], [f1_score(there[:, k], seen[:, k]) for k in range(3)])
    assert result["balanced"][3].isnan() and result["f"][3].isnan() and result["excluded"] == 1
    assert result["balanced_mean"] == pytest.approx(np.mean(expected))
    assert result["rows"] == 80 and result["rejected"] == 2


def test_verification_threshold_is_the_best_of_all():
    rng = np.random.default_rng(4)
    similarity = np.concatenate([rng.normal(0.7, 0.2, 60), rng.normal(0.3, 0.2, 240)])
    same = np.arange(300) < 60
    for balanced in (False, True):
        metric = Verification(balanced)
        metric.update(torch.from_numpy(similarity[:100]), torch.from_numpy(same[:100]))
        metric.update(torch.from_numpy(similarity[100:]), torch.from_numpy(same[100:]))
        result = metric.compute()
        fpr, tpr, _ = roc_curve(same, similarity, drop_intermediate=False)
        best = ((tpr + 1 - fpr) / 2 if balanced else (tpr * 60 + (1 - fpr) * 240) / 300).max()
        assert result["balanced_accuracy" if balanced else "accuracy"] == pytest.approx(best)
        reached = ((similarity >= float(result["threshold"])) == same).mean()
        assert result["accuracy"] == pytest.approx(reached)
        assert result["mean_same"] == pytest.approx(similarity[same].mean())
        assert result["accepted_same"] == pytest.approx(
            (similarity[same] >= float(result["threshold"])).mean()
        )


def test_the_threshold_lies_in_the_middle_of_the_gap_and_equal_values_are_not_parted():
    metric = Verification()
    metric.update(torch.tensor([0.9, 0.8, 0.2, 0.1]), torch.tensor([True, True, False, False]))
    assert metric.compute()["threshold"] == pytest.approx(0.5)
    tied = Verification()
    tied.update(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([True, True, False]))
    assert tied.compute()["accuracy"] == pytest.approx(2 / 3)


def test_pairs_without_a_face_are_never_accepted():
    metric = Verification()
    metric.update(torch.tensor([0.9, torch.nan, 0.1, torch.nan]), torch.tensor([True, True, False, False]))
    result = metric.compute()
    assert result["accuracy"] == pytest.approx(3 / 4) and result["rejected"] == 2
    share = Acceptance(0.5)
    share.update(torch.tensor([0.9, 0.4, torch.nan, 0.6]))
    result = share.compute()
    assert result["accuracy"] == pytest.approx(0.5) and result["rejected"] == 1
    assert result["mean_similarity"] == pytest.approx(1.9 / 3)


def test_verification_needs_both_kinds_of_pairs():
    metric = Verification()
    metric.update(torch.tensor([0.9]), torch.tensor([True]))
    with pytest.raises(ValueError, match="both kinds"):
        metric.compute()
