"""Boundaries against a distance transform per threshold and against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from goldseam.metrics import BoundaryMetric, InvalidMetricInput
from goldseam.metrics.binary import reached_thresholds
from goldseam.metrics.boundary import GRID
from tests.unit.metrics.samples import make_batch

KNOWN = np.array([True])


def scored(metric, prediction, target):
    metric.update(np.array([prediction], np.float32), np.array([target]), KNOWN, ["a"])
    return metric.compute()


def line(column, side=7, value=1.0):
    picture = np.zeros((side, side))
    picture[:, column] = value
    return picture


@pytest.mark.parametrize(
    ("shift", "tolerance", "f1"), [(0, 0, 1), (1, 0, 0), (1, 1, 1), (2, 1, 0), (2, 2, 1)]
)
def test_a_shifted_line_matches_within_the_tolerance(shift, tolerance, f1):
    metric = BoundaryMetric(tolerance_px=tolerance)
    assert scored(metric, line(2 + shift), line(2).astype(np.uint8))["f1"] == f1


def test_the_diagonal_neighbor_is_farther_than_one_pixel():
    target, prediction = np.zeros((5, 5), np.uint8), np.zeros((5, 5))
    target[2, 2] = prediction[3, 3] = 1
    assert scored(BoundaryMetric(tolerance_px=1.0), prediction, target)["f1"] == 0.0
    assert scored(BoundaryMetric(tolerance_px=1.5), prediction, target)["f1"] == 1.0


def test_precision_and_recall_worked_by_hand():
    prediction = line(2) + line(5)
    target = line(2).astype(np.uint8)
    target[0] = 255
    prediction[1, 2] = 0.0
    scores = scored(BoundaryMetric(tolerance_px=0), prediction, target)
    assert scores["precision"] == pytest.approx(5 / 11)
    assert scores["recall"] == pytest.approx(5 / 6)
    assert scores["f1"] == pytest.approx(2 * 5 / 11 * 5 / 6 / (5 / 11 + 5 / 6))


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.5, 2.3])
def test_equals_a_distance_transform_at_every_threshold(tolerance):
    batch = make_batch("boundary", 2, side=15)
    for threshold in (0.1, 0.5, 0.7, 0.95):
        metric = batch.into(BoundaryMetric(tolerance_px=tolerance, threshold=threshold))
        counts = np.zeros(4)
        for index in np.flatnonzero(batch.known_B):
            counted = batch.target[index] != 255
            boundary = batch.target[index] == 1
            said = (batch.prediction[index] >= np.float32(threshold)) & counted
            to_boundary = distance_transform_edt(~boundary) if boundary.any() else np.inf
            to_said = distance_transform_edt(~said) if said.any() else np.inf
            counts += [
                (said & (to_boundary <= tolerance)).sum(),
                said.sum(),
                (boundary & (to_said <= tolerance)).sum(),
                boundary.sum(),
            ]
        scores = metric.compute()
        assert scores["precision"] == pytest.approx(counts[0] / counts[1], abs=1e-15)
        assert scores["recall"] == pytest.approx(counts[2] / counts[3], abs=1e-15)


def test_no_boundary_in_the_labels_gives_none():
    scores = scored(BoundaryMetric(), line(2), np.zeros((7, 7), np.uint8))
    assert scores == {"f1": None, "precision": 0.0, "recall": None, "ods_f": None}


def test_nothing_predicted_gives_zero():
    scores = scored(BoundaryMetric(), np.zeros((7, 7)), line(2).astype(np.uint8))
    assert scores == {"f1": 0.0, "precision": None, "recall": 0.0, "ods_f": 0.0}


def test_the_best_threshold_is_found_and_does_not_move_the_score():
    metric = BoundaryMetric(tolerance_px=0)
    prediction = line(2, value=0.9) + line(4, value=0.6)
    assert scored(metric, prediction, line(2).astype(np.uint8))["f1"] == pytest.approx(2 / 3)
    best = metric.best_threshold()
    assert best == pytest.approx(0.62)
    tuned = BoundaryMetric(tolerance_px=0, threshold=best)
    assert scored(tuned, prediction, line(2).astype(np.uint8))["f1"] == 1.0
    assert BoundaryMetric().best_threshold() is None


def test_ods_is_the_f1_of_the_best_threshold_over_all_images():
    batch = make_batch("boundary", 5, size=20, side=15)
    chosen = batch.into(BoundaryMetric(tolerance_px=1.0))
    tried = {
        threshold: batch.into(BoundaryMetric(tolerance_px=1.0, threshold=threshold)).compute()["f1"]
        for threshold in GRID
    }
    assert chosen.compute()["ods_f"] == max(tried.values())
    assert chosen.best_threshold() == max(tried, key=tried.__getitem__)
    assert chosen.compute()["ods_f"] > chosen.compute()["f1"]
    # pooled over the dataset: no image has a threshold of its own
    alone = [
        batch.part(np.array([index])).into(BoundaryMetric(tolerance_px=1.0)).compute()["ods_f"]
        for index in np.flatnonzero(batch.known_B)
    ]
    assert np.mean(alone) > chosen.compute()["ods_f"]


@pytest.mark.parametrize("thresholds", [GRID, (0.3, 0.30001, 0.7), (0.0, 1.0), (-0.5, 0.5, 2.0)])
@pytest.mark.parametrize("precision", [np.float16, np.float32, np.float64])
def test_thresholds_reached_equal_a_sorted_search(thresholds, precision):
    random = np.random.default_rng(0)
    exact = np.array([t for t in thresholds if 0 <= t <= 1], precision)
    probability = np.concatenate([random.random(500).astype(precision), exact, np.array([0, 1])])
    probability = np.concatenate(
        [probability, np.nextafter(exact, precision(0)), np.nextafter(exact, precision(1))]
    ).astype(precision)[None, None]
    counted = random.random(probability.shape) < 0.9
    found = reached_thresholds(probability, counted, thresholds)
    limits = np.array(thresholds, precision)
    expected = (probability[..., None] >= limits).sum(-1) * counted
    np.testing.assert_array_equal(found, expected)


def test_a_large_batch_is_scored_in_blocks(monkeypatch):
    batch = make_batch("boundary", 6)
    whole = batch.into(BoundaryMetric()).compute()
    monkeypatch.setattr("goldseam.metrics.sums.BLOCK", 200)
    assert batch.into(BoundaryMetric()).compute() == whole


def test_binary_predictions_are_probabilities_too():
    metric = BoundaryMetric()
    target = line(2).astype(np.uint8)
    metric.update(target[None], target[None], KNOWN, ["a"])
    metric.update(target[None].astype(bool), target[None], KNOWN, ["b"])
    assert metric.compute()["f1"] == 1.0


@pytest.mark.parametrize(("probability", "label"), [(1.5, 1), (np.nan, 0), (0.5, 2)])
def test_values_outside_what_is_declared_are_refused(probability, label):
    with pytest.raises(InvalidMetricInput, match="expected a probability from 0 to 1"):
        scored(BoundaryMetric(), [[probability]], [[label]])
