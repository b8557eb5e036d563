"""Bootstrap intervals: what they cover, how they pair, and that they are fast and repeatable."""

import time

import numpy as np
import pytest

from goldseam.metrics import (
    InvalidMetricInput,
    RegressionMetric,
    TagsMetric,
    bootstrap,
    paired_difference,
)
from tests.unit.metrics.samples import KINDS, make_batch, make_metric

pytestmark = pytest.mark.filterwarnings("error")


def errors_by_group(error_GN):
    """A metric whose absolute errors are given, one row a group."""
    metric = RegressionMetric("m")
    for g, error_N in enumerate(error_GN):
        metric.update(
            error_N[None, None], np.zeros((1, 1, len(error_N))), np.array([True]), [f"g{g}"]
        )
    return metric


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_enclose_the_value_and_repeat(kind):
    metric = make_batch(kind, 1, size=40).into(make_metric(kind))
    estimates = bootstrap(metric, resamples=200, seed=3)
    scores = metric.compute()
    assert estimates.keys() == scores.keys()
    for key, estimate in estimates.items():
        assert estimate.value == pytest.approx(scores[key], rel=1e-12)
        assert (estimate.unit, estimate.better) == metric.describe(key)
        assert estimate.low <= estimate.high
    primary = estimates[metric.primary]
    assert primary.low <= primary.value <= primary.high
    assert bootstrap(metric, resamples=200, seed=3) == estimates
    assert bootstrap(metric, resamples=200, seed=4) != estimates


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    error_G = np.random.default_rng(0).uniform(1, 3, 60)
    estimate = bootstrap(errors_by_group(error_G[:, None]), resamples=4000)["mae"]
    half = 1.96 * error_G.std() / np.sqrt(len(error_G))
    assert estimate.low == pytest.approx(error_G.mean() - half, abs=0.15 * half)
    assert estimate.high == pytest.approx(error_G.mean() + half, abs=0.15 * half)


def test_whole_groups_are_drawn():
    # many pixels in two groups that differ: the interval reaches from one group to the other
    error_GN = np.repeat([[1.0], [3.0]], 500, axis=1)
    estimate = bootstrap(errors_by_group(error_GN))["mae"]
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 2.0, 3.0)


def test_one_group_has_no_interval():
    estimate = bootstrap(errors_by_group(np.array([[1.0, 2.0]])))["mae"]
    assert (estimate.value, estimate.low, estimate.high) == (1.5, None, None)
    assert bootstrap(RegressionMetric("m"))["mae"].value is None


def test_a_score_that_most_draws_lack_has_no_interval():
    metric = TagsMetric(("a", "b"))
    groups = [f"g{i}" for i in range(10)]
    prediction = np.random.default_rng(0).random((10, 2))
    target = np.zeros((10, 2), np.int8)
    target[:5, 0] = 1
    # category b: its only two known labels stand in two groups
    target[:, 1] = -1
    target[0, 1], target[1, 1] = 1, 0
    metric.update(prediction, target, np.ones(10, bool), groups)
    estimates = bootstrap(metric)
    assert estimates["ap.b"].value is not None
    assert estimates["ap.b"].low is None
    assert estimates["ap.a"].low is not None


def test_a_paired_difference_is_narrower_than_the_two_intervals():
    hard_G = np.random.default_rng(1).uniform(1, 9, 30)
    first = errors_by_group(hard_G[:, None])
    second = errors_by_group(hard_G[:, None] + 0.5)
    difference = paired_difference(first, second)["mae"]
    assert difference.value == pytest.approx(-0.5)
    assert difference.low == pytest.approx(-0.5)
    assert difference.high == pytest.approx(-0.5)
    assert (difference.unit, difference.better) == ("m", "lower")
    alone = bootstrap(first)["mae"]
    assert alone.high - alone.low > 1


def test_a_model_differs_from_itself_by_nothing():
    metric = make_batch("tags", 2, size=40).into(make_metric("tags"))
    for estimate in paired_difference(metric, metric).values():
        assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.0)


def test_other_groups_are_not_paired():
    with pytest.raises(InvalidMetricInput, match="only one has g1"):
        paired_difference(errors_by_group(np.ones((2, 1))), errors_by_group(np.ones((1, 1))))


def test_a_thousand_draws_are_fast():
    rng = np.random.default_rng(0)
    metric = TagsMetric([f"c{i}" for i in range(20)])
    groups = [f"g{i % 10}" for i in range(500)]
    target = rng.choice([-1, 0, 1], (500, 20)).astype(np.int8)
    metric.update(rng.random((500, 20)), target, np.ones(500, bool), groups)
    start = time.process_time()
    assert bootstrap(metric, resamples=1000)["map"].low is not None
    assert time.process_time() - start < 4.0
    dense = make_batch("normals", 3, size=40).into(make_metric("normals"))
    start = time.process_time()
    bootstrap(dense, resamples=1000)
    assert time.process_time() - start < 4.0
