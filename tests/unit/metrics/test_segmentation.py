"""Masks against numbers worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from goldseam.metrics import InvalidMetricInput, SegmentationMetric
from tests.unit.metrics.samples import make_batch

CATEGORIES = ("sea", "land", "lake")
KNOWN = np.array([True])


def scored(prediction, target, categories=CATEGORIES):
    metric = SegmentationMetric(categories)
    metric.update(np.array([prediction]), np.array([target]), KNOWN, ["a"])
    return metric.compute()


def test_worked_by_hand():
    scores = scored([[0, 0, 1], [1, 2, 2]], [[0, 1, 1], [255, 2, 0]])
    # one hit each; sea has one false and one missed, land one missed, lake one false
    assert scores["iou.sea"] == pytest.approx(1 / 3)
    assert scores["iou.land"] == pytest.approx(1 / 2)
    assert scores["iou.lake"] == pytest.approx(1 / 2)
    assert scores["miou"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)
    assert scores["accuracy"] == pytest.approx(3 / 5)


def test_an_absent_category_has_no_score_and_no_part_in_the_mean():
    scores = scored([[0, 0, 1, 1]], [[0, 0, 0, 1]])
    assert scores["iou.lake"] is None
    assert scores["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_category_that_only_the_model_sees_has_no_score_but_costs_the_others():
    scores = scored([[0, 2, 1, 1]], [[0, 0, 1, 1]])
    assert scores["iou.lake"] is None
    assert scores["iou.sea"] == pytest.approx(1 / 2)
    assert scores["miou"] == pytest.approx((1 / 2 + 1) / 2)


def test_confusion_equals_scikit_learn():
    batch = make_batch("segmentation", 1)
    metric = batch.into(SegmentationMetric(CATEGORIES))
    target, prediction = batch.target[batch.known_B], batch.prediction[batch.known_B]
    counted = target != 255
    expected = confusion_matrix(target[counted], prediction[counted])
    np.testing.assert_array_equal(metric.confusion(), expected)
    assert metric.confusion().dtype == np.int64


def test_sixteen_bit_masks():
    metric = SegmentationMetric(tuple(str(i) for i in range(300)), ignore=65535)
    target = np.array([[[299, 65535]]], np.uint16)
    metric.update(np.array([[[299, 7]]]), target, KNOWN, ["a"])
    assert metric.compute()["miou"] == 1.0
    # eight-bit targets never hold the sixteen-bit ignore id
    metric.update(np.array([[[0, 7]]]), np.array([[[0, 7]]], np.uint8), KNOWN, ["a"])
    assert metric.compute()["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("prediction", "target", "match"),
    [
        ([[3]], [[0]], "prediction holds 3"),
        ([[0]], [[-1]], "target holds -1"),
        ([[0.5]], [[0]], "0.5"),
    ],
)
def test_an_id_that_is_no_category_is_refused(prediction, target, match):
    with pytest.raises(InvalidMetricInput, match=match) as error:
        scored(prediction, target)
    assert "sea" in error.value.remedy
