"""The exact minimum of ridge logistic regression around an offset, by damped Newton steps.

Legend: N rows, F features.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

Floats = npt.NDArray[np.float64]

# the intercept is free but for this trace of a penalty, which keeps the minimum unique and finite
# where a fold's rows could be told apart by the intercept alone
INTERCEPT_PENALTY = 1e-8
MAXIMUM_STEPS = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Minimum:
    """Where the objective is least.

    Attributes:
        weight_F: added to the weights that the offset stands for.
        intercept: added to the offset.
        gradient_norm: Euclidean norm of the objective's gradient there.
        steps: Newton steps taken.
    """

    weight_F: Floats
    intercept: float
    gradient_norm: float
    steps: int


def log_loss(margin_N: Floats, present_N: Floats) -> Floats:
    """Negative log-likelihood of each label (1 present, 0 absent, or between) under its margin."""
    return np.asarray(np.logaddexp(0.0, margin_N) - present_N * margin_N, np.float64)


def minimize(
    feature_NF: Floats,
    present_N: Floats,
    offset_N: Floats,
    penalty: float,
    *,
    start: Minimum | None = None,
    tolerance: float = 1e-8,
) -> Minimum:
    """Minimize sum log_loss(offset + feature @ weight + intercept) + penalty / 2 |weight|^2.

    The objective is strictly convex, so the minimum is unique and does not depend on `start`.

    Args:
        feature_NF: rows of known labels.
        present_N: their labels.
        offset_N: margin of the head that the penalty pulls towards.
        penalty: positive.
        start: of the search, such as the minimum for the next larger penalty.
        tolerance: gradient norm at which to stop.
    """
    design_NP = np.concatenate([feature_NF, np.ones((len(feature_NF), 1))], axis=1)
    ridge_P = np.append(np.full(feature_NF.shape[1], penalty), INTERCEPT_PENALTY)
    theta_P = np.zeros(design_NP.shape[1])
    if start is not None:
        theta_P = np.append(start.weight_F, start.intercept)

    def objective(theta_P: Floats) -> tuple[float, Floats]:
        margin_N = offset_N + design_NP @ theta_P
        return float(log_loss(margin_N, present_N).sum() + ridge_P @ theta_P**2 / 2), margin_N

    value, margin_N = objective(theta_P)
    steps = 0
    while True:
        probability_N = expit(margin_N)
        gradient_P = design_NP.T @ (probability_N - present_N) + ridge_P * theta_P
        norm = float(np.linalg.norm(gradient_P))
        if norm <= tolerance or steps == MAXIMUM_STEPS:
            break
        # a product with its own transpose costs half: numpy hands it to the symmetric routine
        root_NP = design_NP * np.sqrt(probability_N * (1 - probability_N))[:, None]
        hessian_PP = root_NP.T @ root_NP
        hessian_PP[np.diag_indices_from(hessian_PP)] += ridge_P
        step_P = cho_solve(cho_factor(hessian_PP), -gradient_P)
        slope = float(gradient_P @ step_P)
        scale = 1.0
        # near the minimum the decrease drowns in rounding: then the full step is the right one
        noise = 1e-12 * (1 + abs(value))
        while True:
            next_value, margin_N = objective(theta_P + scale * step_P)
            if next_value <= value + 1e-4 * scale * slope + noise or scale < 1e-10:
                break
            scale /= 2
        theta_P, value = theta_P + scale * step_P, next_value
        steps += 1
    return Minimum(theta_P[:-1], float(theta_P[-1]), norm, steps)


def rescale(margin_N: Floats, present_N: Floats) -> tuple[float, float, float]:
    """Platt's re-scaling of a head: the slope and intercept that fit its margins best.

    Labels are smoothed as in Platt (1999) to (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keeps the
    slope finite where the margins separate them.

    Returns:
        Slope, intercept, and the gradient norm at the minimum.
    """
    presents = present_N.sum()
    high, low = (presents + 1) / (presents + 2), 1 / (len(present_N) - presents + 2)
    center, spread = float(margin_N.mean()), float(margin_N.std())
    if spread <= 1e-12 * (1 + abs(center)):
        spread = np.inf  # margins that differ by rounding only: nothing to fit a slope to
    minimum = minimize(
        ((margin_N - center) / spread)[:, None],
        np.where(present_N == 1, high, low),
        margin_N,
        INTERCEPT_PENALTY,
    )
    change = float(minimum.weight_F[0]) / spread
    return 1.0 + change, minimum.intercept - change * center, minimum.gradient_norm
