"""Intervals of ratios: what they cover, and where there is none."""

import numpy as np
import pytest

from goldseam.audit.statistics.bootstrap import (
    BUNDLES,
    bundle_of,
    clusters_of,
    median_estimate,
    ratio_estimates,
    sum_by_cluster,
)

OPTIONS = {"resamples": 400, "seed": 3}


def test_the_ratio_of_sums_and_its_interval():
    wrong_G1 = np.array([[1.0], [0], [3], [2]])
    total_G1 = np.array([[10.0], [10], [10], [20]])
    (found,) = ratio_estimates(wrong_G1, total_G1, **OPTIONS)
    assert found.value == 6 / 50
    assert 0 <= found.low < found.value < found.high <= 0.3
    assert found == ratio_estimates(wrong_G1, total_G1, **OPTIONS)[0]


def test_one_cluster_has_no_interval_and_none_no_value():
    one, none = ratio_estimates(
        np.array([[1.0, 0], [0, 0]]), np.array([[2.0, 0], [0, 0]]), **OPTIONS
    )
    assert (one.value, one.low, one.high) == (0.5, None, None)
    assert (none.value, none.low, none.high) == (None, None, None)


def test_nothing_wrong_in_few_clusters_is_not_certainty():
    (found,) = ratio_estimates(np.zeros((5, 1)), np.full((5, 1), 100.0), **OPTIONS)
    assert (found.value, found.low) == (0, 0)
    # Wilson's upper end of 0 in 5
    assert found.high == pytest.approx(0.4345, abs=1e-3)


def test_intervals_cover_the_truth_when_groups_differ():
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        rate_G = random.beta(2, 6, 60)
        total_G1 = random.integers(5, 40, (60, 1)).astype(float)
        wrong_G1 = random.binomial(total_G1[:, 0].astype(int), rate_G)[:, None].astype(float)
        (found,) = ratio_estimates(wrong_G1, total_G1, resamples=200, seed=trial)
        covered += found.low <= 0.25 <= found.high
    assert 0.9 <= covered / 200 <= 0.99


def test_many_groups_are_drawn_in_a_thousand_clusters():
    bundle_N = np.array([bundle_of(f"g{number}") for number in range(3000)])
    assert bundle_N.max() < BUNDLES
    cluster_N, clusters = clusters_of(bundle_N)
    assert clusters == 1000
    # equal groups stay together, whatever the order
    order = np.random.default_rng(0).permutation(3000)
    assert (clusters_of(bundle_N[order])[0] == cluster_N[order]).all()
    sums_GK = sum_by_cluster(cluster_N, clusters, np.ones((3000, 1)))
    assert sums_GK.sum() == 3000


def test_the_median_leaves_out_what_is_undefined():
    value_N = np.array([3.0, 1, np.nan, 2, 100])
    found = median_estimate(value_N, np.arange(5), 5, **OPTIONS)
    assert found.value == 2.5
    assert 1 <= found.low <= 2.5 <= found.high <= 100
    assert median_estimate(np.full(3, np.nan), np.arange(3), 3, **OPTIONS).value is None
    assert median_estimate(value_N, np.zeros(5, int), 1, **OPTIONS).low is None
