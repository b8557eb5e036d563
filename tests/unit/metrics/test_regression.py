"""Values and normals against numbers worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    root_mean_squared_error,
)

from goldseam.metrics import InvalidMetricInput, NormalsMetric, RegressionMetric
from goldseam.metrics.regression import angles
from tests.unit.metrics.samples import make_batch

KNOWN = np.array([True])


def test_worked_by_hand():
    metric = RegressionMetric("px", relative=True)
    metric.update([[[1.0, 4.0, -2.0, 9.0]]], [[[2.0, 2.0, -2.0, np.nan]]], KNOWN, ["a"])
    scores = metric.compute()
    assert scores["mae"] == pytest.approx(1.0)
    assert scores["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert scores["abs_rel"] == pytest.approx((1 / 2 + 2 / 2) / 2)
    assert "abs_rel" not in RegressionMetric("px").compute()


def test_equals_numpy_over_all_valid_pixels():
    batch = make_batch("regression", 1)
    scores = batch.into(RegressionMetric("m")).compute()
    error = (batch.prediction.astype(float) - batch.target)[batch.known_B]
    assert scores["mae"] == pytest.approx(np.nanmean(np.abs(error)), rel=1e-12)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-12)


def test_a_diverged_prediction_is_refused():
    with pytest.raises(InvalidMetricInput, match="a prediction is nan"):
        RegressionMetric("m").update([[[np.nan]]], [[[1.0]]], KNOWN, ["a"])


def test_small_and_straight_angles_are_exact():
    first = np.array([[1.0, 1.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 5])
    second = np.array([[1.0, -3.0, 0.0, 1.0, 1.0], [1e-9, 0.0, 5.0, 0.0, 1.0], [0.0] * 5])
    expected = [np.degrees(1e-9), 180.0, 90.0, 180.0, 45.0]
    np.testing.assert_allclose(angles(first, second), expected, rtol=1e-12)


def test_angles_equal_the_half_angle_form_of_unit_vectors():
    first, second = np.random.default_rng(0).normal(size=(2, 3, 500))
    u, v = first / np.linalg.norm(first, axis=0), second / np.linalg.norm(second, axis=0)
    half = np.arctan2(np.linalg.norm(u - v, axis=0), np.linalg.norm(u + v, axis=0))
    np.testing.assert_allclose(angles(first, second), np.degrees(2 * half), rtol=1e-12)


def test_normals_of_another_shape_are_refused():
    with pytest.raises(InvalidMetricInput, match="expected B 3 H W"):
        NormalsMetric().update(np.ones((1, 2, 3, 3)), np.ones((1, 2, 3, 3)), KNOWN, ["a"])


def test_equals_scikit_learn():
    batch = make_batch("regression", 2)
    batch.target = np.abs(batch.target) + 0.1
    valid = np.isfinite(batch.target) & batch.known_B[:, None, None]
    truth, said = batch.target[valid], batch.prediction[valid].astype(float)
    scores = batch.into(RegressionMetric("m", relative=True)).compute()
    assert scores["mae"] == pytest.approx(mean_absolute_error(truth, said))
    assert scores["rmse"] == pytest.approx(root_mean_squared_error(truth, said))
    assert scores["abs_rel"] == pytest.approx(mean_absolute_percentage_error(truth, said))


def test_normals_equal_numpy_within_half_a_bin():
    batch = make_batch("normals", 1, size=30)
    scores = batch.into(NormalsMetric()).compute()
    angle = np.concatenate(
        [
            angles(prediction[:, 1:].reshape(3, -1), target[:, 1:].reshape(3, -1).astype(float))
            for prediction, target, known in zip(
                batch.prediction, batch.target, batch.known_B, strict=True
            )
            if known
        ]
    )
    assert scores["mean"] == pytest.approx(angle.mean(), rel=1e-12)
    assert scores["median"] == pytest.approx(
        np.median(angle), abs=NormalsMetric.bin_degrees / 2 + 1e-9
    )
    for limit in (11.25, 22.5, 30):
        name = f"within_{limit:g}".replace(".", "_")
        assert scores[name] == pytest.approx((angle < limit).mean())
    assert scores["within_11_25"] > 0


def test_the_median_of_opposite_normals_is_the_last_bin():
    metric = NormalsMetric()
    target = np.zeros((1, 3, 1, 2))
    target[:, 2] = 1.0
    metric.update(-target, target, KNOWN, ["a"])
    scores = metric.compute()
    assert scores["mean"] == 180.0
    assert scores["median"] == pytest.approx(180.0, abs=0.025 + 1e-9)
