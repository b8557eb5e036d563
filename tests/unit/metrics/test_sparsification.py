"""Sparsification against curves worked out by hand and a brute-force ordering."""

import numpy as np
import pytest

from goldseam.metrics import InvalidMetricInput
from goldseam.metrics.sparsification import SparsificationMetric

KNOWN = np.array([True])


def scored(unsure, error, fractions=4):
    metric = SparsificationMetric(fractions)
    metric.update(np.asarray(unsure, float)[None], np.asarray(error, float)[None], KNOWN, ["a"])
    return metric


def test_worked_by_hand():
    metric = scored([[4, 3, 2, 1]], [[0, 4, 2, 2]])
    curves = metric.curves()
    np.testing.assert_allclose(curves["fraction"], [0, 0.25, 0.5, 0.75])
    # all: 8/4; without the first: 8/3; then 4/2 and 2/1, over the mean error of 2
    np.testing.assert_allclose(curves["left"], [1, 4 / 3, 1, 1])
    np.testing.assert_allclose(curves["best"], [1, 2 / 3, 0.5, 0])
    gaps = np.array([0, 2 / 3, 0.5, 1])
    assert metric.compute()["ause"] == pytest.approx((gaps[1:] + gaps[:-1]).sum() / 8)


def test_the_errors_themselves_are_the_best_order_and_any_monotone_map_of_them():
    error = np.random.default_rng(0).exponential(size=(8, 8))
    for unsure in (error, np.exp(error), 3 * error - 7):
        scores = scored(unsure, error, 20).compute()
        assert scores["ause"] == pytest.approx(0, abs=1e-12)
        assert scores["found"] == pytest.approx(1)
    worst = scored(-error, error, 20).compute()
    assert worst["ause"] > worst["ause_random"] > 0
    assert worst["found"] < 0


def test_an_uncertainty_that_knows_nothing_gets_the_random_area():
    error = np.random.default_rng(0).exponential(size=(64, 64))
    constant = scored(np.ones_like(error), error, 20).compute()
    assert constant["ause"] == pytest.approx(constant["ause_random"])
    assert constant["found"] == pytest.approx(0, abs=1e-9)
    random = scored(np.random.default_rng(1).random(error.shape), error, 20).compute()
    assert random["found"] == pytest.approx(0, abs=0.05)


def test_ties_give_the_mean_of_all_orders():
    rng = np.random.default_rng(3)
    unsure, error = rng.integers(0, 3, (4, 4)), rng.exponential(size=(4, 4))
    expected = []
    for seed in range(4000):
        jitter = np.random.default_rng(seed).random(unsure.shape) / 2
        expected.append(scored(unsure + jitter, error, 8).curves()["left"])
    np.testing.assert_allclose(
        scored(unsure, error, 8).curves()["left"], np.mean(expected, axis=0), rtol=0.02
    )
    # and the place of a pixel in the image decides nothing
    turned = scored(unsure[::-1], error[::-1], 8).compute()
    assert turned == pytest.approx(scored(unsure, error, 8).compute())


def test_what_stands_where_the_truth_is_unknown_changes_nothing():
    rng = np.random.default_rng(5)
    unsure, error = rng.random((3, 6, 6)), rng.random((3, 6, 6))
    error[:, :2] = np.nan
    known_B = np.array([True, False, True])
    first = SparsificationMetric()
    first.update(unsure, error, known_B, ["a", "b", "c"])
    unsure[:, :2], unsure[1], error[1] = np.inf, np.nan, -5
    second = SparsificationMetric()
    second.update(unsure, error, known_B, ["a", "b", "c"])
    assert first.compute() == second.compute()
    assert second.groups == ["a", "c"]


def test_parts_merge_and_nothing_gives_none():
    rng = np.random.default_rng(6)
    unsure, error = rng.random((4, 5, 5)), rng.random((4, 5, 5))
    groups = ["a", "b", "a", "c"]
    whole, one, other = (SparsificationMetric() for _ in range(3))
    whole.update(unsure, error, np.ones(4, bool), groups)
    one.update(unsure[:1], error[:1], np.ones(1, bool), groups[:1])
    other.update(unsure[1:], error[1:], np.ones(3, bool), groups[1:])
    assert one.merge(other).compute() == pytest.approx(whole.compute())
    empty = SparsificationMetric()
    assert set(empty.compute().values()) == {None}
    assert set(scored(unsure[0], np.zeros((5, 5))).compute().values()) == {None}
    with pytest.raises(InvalidMetricInput, match="cannot be merged"):
        whole.merge(SparsificationMetric(5))


@pytest.mark.parametrize(("unsure", "error"), [(np.nan, 1.0), (np.inf, 1.0), (1.0, -1.0)])
def test_bad_values_are_refused(unsure, error):
    with pytest.raises(InvalidMetricInput, match="not finite, or a negative"):
        scored([[unsure]], [[error]])


def test_directions():
    metric = SparsificationMetric()
    assert metric.describe("ause") == ("", "lower")
    assert metric.describe("found") == ("", "higher")
