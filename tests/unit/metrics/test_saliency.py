"""Saliency against scikit-learn, against the published quirk spelled out, and by hand."""

import numpy as np
import pytest
from sklearn.metrics import fbeta_score

from goldseam.metrics import InvalidMetricInput, SaliencyMetric
from goldseam.metrics.saliency import LEGACY_GRID
from tests.unit.metrics.samples import make_batch

KNOWN = np.array([True])
STEPS = [step / 20 for step in range(1, 20)]


def scored(prediction, target):
    metric = SaliencyMetric()
    metric.update(np.array([prediction]), np.array([target]), KNOWN, ["a"])
    return metric.compute()


def pooled(batch):
    counted = (batch.target != 255) & batch.known_B[:, None, None]
    return batch.prediction[counted], batch.target[counted] == 1


@pytest.mark.parametrize("seed", range(5))
def test_max_f_equals_scikit_learn(seed):
    batch = make_batch("saliency", seed)
    probability, truth = pooled(batch)
    scores = batch.into(SaliencyMetric()).compute()
    expected = max(
        fbeta_score(truth, probability >= np.float32(step), beta=np.sqrt(0.3), zero_division=0)
        for step in STEPS
    )
    assert scores["max_f"] == pytest.approx(expected, rel=1e-12)
    assert scores["f1"] == pytest.approx(fbeta_score(truth, probability >= 0.5, beta=1))


@pytest.mark.parametrize("seed", range(5))
def test_the_legacy_score_applies_a_sigmoid_to_probabilities(seed):
    batch = make_batch("saliency", seed)
    probability, truth = pooled(batch)
    twice = 1 / (1 + np.exp(-probability.astype(float)))
    expected = max(
        fbeta_score(truth, twice >= step, beta=np.sqrt(0.3), zero_division=0) for step in STEPS
    )
    assert batch.into(SaliencyMetric()).compute()["max_f_legacy"] == pytest.approx(expected)


def test_the_legacy_thresholds_are_five_probabilities():
    assert sorted(set(LEGACY_GRID)) == pytest.approx([0, 0.2007, 0.4055, 0.6190, 0.8473], abs=1e-4)


def test_worked_by_hand():
    # right above .85: one of two; from .3 on: two of three
    scores = scored([[0.9, 0.3, 0.4, 0.02, 0.5]], [[1, 1, 0, 0, 255]])
    high = 1.3 * 1 * 0.5 / (0.3 * 1 + 0.5)
    low = 1.3 * (2 / 3) * 1 / (0.3 * (2 / 3) + 1)
    assert scores["max_f"] == pytest.approx(max(high, low))
    assert scores["f1"] == pytest.approx(2 / 3)
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)
    assert scores["max_f_legacy"] == pytest.approx(max(high, low))


def test_precision_and_recall_are_pooled_over_images():
    metric = SaliencyMetric()
    metric.update([[[1.0, 1.0, 1.0, 1.0]]], [[[1, 0, 0, 0]]], KNOWN, ["a"])
    metric.update([[[1.0, 0.0, 0.0, 0.0]]], [[[1, 0, 0, 0]]], KNOWN, ["b"])
    assert metric.compute()["precision"] == pytest.approx(2 / 5)


def test_nothing_salient_gives_none_and_nothing_predicted_gives_zero():
    scores = scored([[0.9, 0.1]], [[0, 0]])
    assert scores["max_f"] is scores["max_f_legacy"] is scores["f1"] is scores["recall"] is None
    assert scores["precision"] == 0.0
    scores = scored([[0.01, 0.01]], [[1, 0]])
    assert (scores["max_f"], scores["f1"], scores["precision"]) == (0.0, 0.0, None)
    # up to a threshold of one half the quirk predicts every pixel
    assert scores["max_f_legacy"] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))


@pytest.mark.parametrize(("probability", "label"), [(1.5, 1), (np.nan, 0), (0.5, 2)])
def test_values_outside_what_is_declared_are_refused(probability, label):
    with pytest.raises(InvalidMetricInput, match="expected a probability from 0 to 1"):
        scored([[probability]], [[label]])
