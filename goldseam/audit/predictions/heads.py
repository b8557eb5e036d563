"""Linear heads with a ridge, fit at once for all categories on what is known.

Legend: N rows, F features, C categories. Features are standardized by the rows of the fit, so that
a penalty means the same whatever network they came from. Intercepts are free.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from goldseam.dataset.codecs import PRESENT, UNKNOWN, Array

MAXIMUM_STEPS = 300
FLAT = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class LinearHead:
    """Outputs are `feature @ weight + bias`, of features as they come from the network.

    Attributes:
        weight_FC: float32.
        bias_C: float32.
    """

    weight_FC: Array
    bias_C: Array

    def __call__(self, feature_NF: Array) -> Array:
        """Logits or values, float32 `NC`."""
        output_NC: Array = np.asarray(feature_NF, np.float32) @ self.weight_FC + self.bias_C
        return output_NC


def fit_binary(feature_NF: Array, state_NC: Array, penalty_C: Array) -> LinearHead:
    """Logistic heads, each on its known rows: sum of log-losses + penalty / 2 |weight|^2.

    Args:
        feature_NF: finite.
        state_NC: 1 present, 0 absent, -1 unknown; unknown entries have no part in it.
        penalty_C: positive.
    """
    known_NC = (state_NC != UNKNOWN).astype(np.float32)
    present_NC = (state_NC == PRESENT).astype(np.float32)
    rate_C = (present_NC.sum(axis=0) + 0.5) / (known_NC.sum(axis=0) + 1)

    def loss(margin_NC: Array) -> tuple[float, Array]:
        each_NC = np.logaddexp(0, margin_NC) - present_NC * margin_NC
        slope_NC = (_expit(margin_NC) - present_NC) * known_NC
        return float((each_NC * known_NC).sum(dtype=np.float64)), slope_NC

    return _minimize(feature_NF, loss, np.log(rate_C / (1 - rate_C)), penalty_C)


def fit_multinomial(
    feature_NF: Array, category_N: Array, categories: int, penalty: float
) -> LinearHead:
    """A softmax head: sum of cross-entropies + penalty / 2 |weight|^2."""
    truth_NC = np.eye(categories, dtype=np.float32)[category_N]
    rate_C = (truth_NC.sum(axis=0) + 0.5) / (len(truth_NC) + 0.5 * categories)

    def loss(margin_NC: Array) -> tuple[float, Array]:
        shifted_NC = margin_NC - margin_NC.max(axis=1, keepdims=True)
        total_N = np.exp(shifted_NC).sum(axis=1)
        each_N = np.log(total_N) - (shifted_NC * truth_NC).sum(axis=1)
        slope_NC = np.exp(shifted_NC) / total_N[:, None] - truth_NC
        return float(each_N.sum(dtype=np.float64)), slope_NC

    return _minimize(feature_NF, loss, np.log(rate_C), np.full(categories, penalty))


def fit_values(feature_NF: Array, value_N: Array, penalty: float) -> LinearHead:
    """Ridge regression: half the sum of squares, in standard deviations, + penalty / 2 |weight|^2.

    Raises:
        numpy.linalg.LinAlgError: a feature is not finite.
    """
    standard_NF, center_F, scale_F = _standardized(feature_NF)
    center, scale = float(value_N.mean()), float(value_N.std()) or 1.0
    gram_FF = (standard_NF.T @ standard_NF).astype(np.float64)
    gram_FF[np.diag_indices_from(gram_FF)] += penalty
    target_N = ((value_N - center) / scale).astype(np.float32)
    weight_F = scale * np.linalg.solve(gram_FF, (standard_NF.T @ target_N).astype(np.float64))
    weight_FC = (weight_F / scale_F)[:, None]
    return _head(weight_FC, np.array([center]), center_F)


def choose_penalty(loss_PC: Array, penalties: tuple[float, ...]) -> Array:
    """For each category, the penalty of least held-out loss; the larger of equal ones.

    Args:
        loss_PC: of each penalty, in the order of `penalties`; NaN where a category has no held-out
            label, which then takes what is best for the others together.
        penalties: P of them.
    """
    order = np.argsort(penalties)[::-1]
    loss_PC = loss_PC[order]
    judged_C = np.isfinite(loss_PC).all(axis=0)
    together = int(loss_PC[:, judged_C].sum(axis=1).argmin())
    best_C = np.where(judged_C, np.where(judged_C, loss_PC, 0.0).argmin(axis=0), together)
    chosen_C: Array = np.array(penalties)[order][best_C]
    return chosen_C


def _minimize(
    feature_NF: Array,
    loss: Callable[[Array], tuple[float, Array]],
    start_C: Array,
    penalty_C: Array,
) -> LinearHead:
    from scipy.optimize import minimize

    standard_NF, center_F, scale_F = _standardized(feature_NF)
    count, features = standard_NF.shape
    categories = len(start_C)

    def objective(theta: Array) -> tuple[float, Array]:
        weight_FC = theta[:-categories].reshape(features, categories)
        bias_C = theta[-categories:]
        margin_NC = standard_NF @ weight_FC.astype(np.float32) + bias_C.astype(np.float32)
        value, slope_NC = loss(margin_NC)
        value += float((penalty_C * weight_FC**2).sum()) / 2
        gradient_FC = standard_NF.T @ slope_NC + penalty_C * weight_FC
        gradient = np.concatenate([gradient_FC.ravel(), slope_NC.sum(axis=0, dtype=np.float64)])
        # divided by the rows, so that the tolerances below mean the same for any number of them
        return value / count, gradient / count

    start = np.concatenate([np.zeros(features * categories), start_C])
    found: Any = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAXIMUM_STEPS, "ftol": 1e-8, "gtol": 1e-6},
    )
    weight_FC = found.x[:-categories].reshape(features, categories) / scale_F[:, None]
    return _head(weight_FC, found.x[-categories:], center_F)


def _standardized(feature_NF: Array) -> tuple[Array, Array, Array]:
    """Centered and scaled features (float32), with their centers and scales."""
    center_F = feature_NF.mean(axis=0, dtype=np.float64)
    scale_F = feature_NF.std(axis=0, dtype=np.float64)
    scale_F = np.where(scale_F > FLAT * (1 + np.abs(center_F)), scale_F, 1.0)
    standard_NF = ((feature_NF - center_F) / scale_F).astype(np.float32)
    return standard_NF, center_F, scale_F


def _head(weight_FC: Array, bias_C: Array, center_F: Array) -> LinearHead:
    """A head of standardized features as one of the features themselves."""
    return LinearHead(
        weight_FC.astype(np.float32), (bias_C - center_F @ weight_FC).astype(np.float32)
    )


def _expit(margin: Array) -> Array:
    from scipy.special import expit

    probability: Array = expit(margin)
    return probability
