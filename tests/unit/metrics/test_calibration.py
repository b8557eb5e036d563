"""Calibration against numbers worked out by hand and a direct count."""

import numpy as np
import pytest

from goldseam.metrics import InvalidMetricInput
from goldseam.metrics.calibration import CalibrationMetric

KNOWN = np.array([True])


def make_batch(seed: int, images: int = 10, categories: int = 3):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(categories), (images, 6, 7)).transpose(0, 3, 1, 2)
    target = rng.choice([*range(categories), 255], (images, 6, 7))
    known_B = rng.random(images) < 0.7
    return probability, target, known_B, [f"g{n % 3}" for n in range(images)]


def direct(confidence_P, right_P, bins):
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (confidence_P >= low) & (confidence_P < low + 1 / bins)
        if inside.any():
            total += abs(confidence_P[inside].sum() - right_P[inside].sum())
    return total / len(confidence_P)


def test_worked_by_hand():
    metric = CalibrationMetric(bins=2)
    metric.update([[0.1, 0.3, 0.9, 0.7]], [[0, 1, 1, 1]], KNOWN, ["a"])
    # below one half: said 20 % on average, half are positive; above: said 80 %, all are
    assert metric.compute()["ece"] == pytest.approx((0.3 + 0.2) / 2)
    curve = metric.reliability()
    np.testing.assert_allclose(curve["share"], [0.5, 0.5])
    np.testing.assert_allclose(curve["confidence"], [0.2, 0.8])
    np.testing.assert_allclose(curve["right"], [0.5, 1.0])


def test_categories_equal_a_direct_count():
    probability, target, known_B, groups = make_batch(0)
    metric = CalibrationMetric(categories=3, bins=10)
    metric.update(probability, target, known_B, groups)
    counted = (target != 255) & known_B[:, None, None]
    confidence = probability.max(axis=1)[counted]
    right = (probability.argmax(axis=1) == target)[counted]
    assert metric.compute()["ece"] == pytest.approx(direct(confidence, right, 10))


def test_perfectly_calibrated_forecasts_come_close_to_zero():
    rng = np.random.default_rng(0)
    probability = rng.random((1, 200_000))
    target = (rng.random(probability.shape) < probability).astype(int)
    metric = CalibrationMetric()
    metric.update(probability, target, KNOWN, ["a"])
    assert metric.compute()["ece"] < 0.005
    sure = CalibrationMetric()
    sure.update((probability > 0.5).astype(float), target, KNOWN, ["a"])
    assert sure.compute()["ece"] == pytest.approx(0.25, abs=0.01)


def test_what_stands_in_unknown_or_ignored_places_changes_nothing():
    probability, target, known_B, groups = make_batch(1)
    metric = CalibrationMetric(categories=3)
    metric.update(probability, target, known_B, groups)
    expected = metric.compute()
    target[~known_B] = 77
    probability[~known_B] = np.nan
    probability[:, 0][target == 255] = np.inf
    again = CalibrationMetric(categories=3)
    again.update(probability, target, known_B, groups)
    assert again.compute() == expected
    assert again.groups == sorted({g for g, known in zip(groups, known_B, strict=True) if known})


def test_unknown_tags_are_not_read():
    metric = CalibrationMetric(ignore=-1, bins=2)
    metric.update([[0.2, np.nan, 0.9]], [[0, -1, 1]], KNOWN, ["a"])
    assert metric.compute()["ece"] == pytest.approx(0.15)


def test_merged_parts_equal_a_single_pass():
    probability, target, known_B, groups = make_batch(2)
    whole = CalibrationMetric(categories=3)
    whole.update(probability, target, known_B, groups)
    parts = [CalibrationMetric(categories=3) for _ in range(2)]
    for part, rows in zip(parts, (slice(4), slice(4, None)), strict=True):
        part.update(probability[rows], target[rows], known_B[rows], groups[rows])
    merged = parts[0].merge(parts[1])
    assert merged.compute()["ece"] == pytest.approx(whole.compute()["ece"], rel=1e-12)
    with pytest.raises(InvalidMetricInput, match="cannot be merged"):
        merged.merge(CalibrationMetric(categories=4))


def test_nothing_known_gives_none():
    metric = CalibrationMetric()
    assert metric.compute() == {"ece": None}
    metric.update([[0.5]], [[255]], KNOWN, ["a"])
    assert metric.compute() == {"ece": None}
    assert np.isnan(metric.reliability()["right"]).all()
    assert metric.describe("ece") == ("", "lower")


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([[1.5]], [[1]], "no probability"),
        ([[np.nan]], [[1]], "no probability"),
        ([[0.5]], [[2]], "a label 2"),
        ([[0.5, 0.5]], [[1]], "do not fit"),
    ],
)
def test_what_is_no_probability_or_label_is_refused(prediction, target, message):
    with pytest.raises(InvalidMetricInput, match=message):
        CalibrationMetric().update(prediction, target, KNOWN, ["a"])


def test_the_number_of_categories_must_fit():
    with pytest.raises(InvalidMetricInput, match="B 3 …"):
        CalibrationMetric(categories=3).update(
            np.full((1, 2, 4, 4), 0.5), np.zeros((1, 4, 4)), KNOWN, ["a"]
        )
