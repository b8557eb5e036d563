"""The exact minimum of ridge logistic regression around an offset, by damped Newton steps.

A step of the primal form factors F x F (F^3 / 3 multiplications after N F^2 / 2 for the Hessian),
one of the dual form N x N (N^3 / 3; the Gram matrix, N^2 F / 2, is made once). So the dual form is
the cheaper one wherever there are fewer rows than features. Legend: N rows, F features, P = F + 1
with the intercept last.
"""

import dataclasses
from typing import Protocol

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
    weight_N: Floats | None = None,
    start: Minimum | None = None,
    tolerance: float = 1e-8,
) -> Minimum:
    """Minimize sum weight * log_loss(offset + feature @ w + b) + penalty / 2 |w|^2, primal form.

    The objective is strictly convex, so the minimum is unique and does not depend on `start`.

    Args:
        feature_NF: rows of known labels.
        present_N: their labels.
        offset_N: margin of the head that the penalty pulls towards.
        penalty: positive.
        weight_N: how much each row counts, not negative; 1 by default.
        start: of the search, such as the minimum for the next larger penalty.
        tolerance: gradient norm at which to stop.
    """
    theta_P = np.zeros(feature_NF.shape[1] + 1)
    if start is not None:
        theta_P = np.append(start.weight_F, start.intercept)
    form = _Primal(feature_NF, penalty)
    theta_P, norm, steps = _descend(form, theta_P, present_N, offset_N, weight_N, tolerance)
    return Minimum(theta_P[:-1], float(theta_P[-1]), norm, steps)


def minimize_dual(
    feature_NF: Floats,
    present_N: Floats,
    offset_N: Floats,
    penalty: float,
    *,
    weight_N: Floats | None = None,
    gram_NN: Floats | None = None,
    start_P: Floats | None = None,
    tolerance: float = 1e-8,
) -> Minimum:
    """The same minimum as `minimize`, found in the span of the rows: w = feature^T coefficients.

    Each Newton system is solved by Woodbury's identity in as many unknowns as rows.

    Args:
        feature_NF: rows of known labels.
        present_N: their labels.
        offset_N: margin of the head that the penalty pulls towards.
        penalty: positive.
        weight_N: how much each row counts, not negative; 1 by default.
        gram_NN: feature_NF @ feature_NF.T where it is at hand.
        start_P: a coefficient for each row, then the intercept.
        tolerance: gradient norm (in w and b) at which to stop.
    """
    gram_NN = feature_NF @ feature_NF.T if gram_NN is None else gram_NN
    position_P = np.zeros(len(feature_NF) + 1) if start_P is None else start_P
    form = _Dual(gram_NN, penalty)
    position_P, norm, steps = _descend(form, position_P, present_N, offset_N, weight_N, tolerance)
    return Minimum(feature_NF.T @ position_P[:-1], float(position_P[-1]), norm, steps)


class _Form(Protocol):
    """What a Newton step needs of the parametrization; a position ends with the intercept."""

    def margin(self, position_P: Floats) -> Floats:
        """What a position, or a step, adds to the offset."""

    def ridge(self, position_P: Floats) -> float:
        """The penalty's part of the objective."""

    def gradient(self, position_P: Floats, residual_N: Floats) -> tuple[Floats, float]:
        """Something that `step` understands, and the norm of the gradient in (w, b)."""

    def step(self, gradient_P: Floats, curvature_N: Floats) -> tuple[Floats, float]:
        """The Newton step, and the slope of the objective along it."""


class _Primal:
    """Positions are the weights themselves."""

    def __init__(self, feature_NF: Floats, penalty: float) -> None:
        self.design_NP = np.concatenate([feature_NF, np.ones((len(feature_NF), 1))], axis=1)
        self.ridge_P = np.append(np.full(feature_NF.shape[1], penalty), INTERCEPT_PENALTY)

    def margin(self, position_P: Floats) -> Floats:
        return self.design_NP @ position_P

    def ridge(self, position_P: Floats) -> float:
        return float(self.ridge_P @ position_P**2) / 2

    def gradient(self, position_P: Floats, residual_N: Floats) -> tuple[Floats, float]:
        gradient_P = self.design_NP.T @ residual_N + self.ridge_P * position_P
        return gradient_P, float(np.linalg.norm(gradient_P))

    def step(self, gradient_P: Floats, curvature_N: Floats) -> tuple[Floats, float]:
        # a product with its own transpose costs half: numpy hands it to the symmetric routine
        root_NP = self.design_NP * np.sqrt(curvature_N)[:, None]
        hessian_PP = root_NP.T @ root_NP
        hessian_PP[np.diag_indices_from(hessian_PP)] += self.ridge_P
        step_P = cho_solve(cho_factor(hessian_PP, overwrite_a=True), -gradient_P)
        return step_P, float(gradient_P @ step_P)


class _Dual:
    """Positions are one coefficient a row: w = feature^T coefficients."""

    def __init__(self, gram_NN: Floats, penalty: float) -> None:
        self.gram_NN = gram_NN
        self.penalty = penalty

    def margin(self, position_P: Floats) -> Floats:
        return np.asarray(self.gram_NN @ position_P[:-1] + position_P[-1], np.float64)

    def ridge(self, position_P: Floats) -> float:
        length = float(position_P[:-1] @ (self.gram_NN @ position_P[:-1]))
        return (self.penalty * length + INTERCEPT_PENALTY * float(position_P[-1]) ** 2) / 2

    def gradient(self, position_P: Floats, residual_N: Floats) -> tuple[Floats, float]:
        # in w the gradient is feature^T of the first N numbers
        rest_N = residual_N + self.penalty * position_P[:-1]
        slope = float(residual_N.sum()) + INTERCEPT_PENALTY * float(position_P[-1])
        squared = max(0.0, float(rest_N @ (self.gram_NN @ rest_N))) + slope**2
        return np.append(rest_N, slope), float(np.sqrt(squared))

    def step(self, gradient_P: Floats, curvature_N: Floats) -> tuple[Floats, float]:
        # (penalty + S K)^-1 r = (r - R (penalty + R K R)^-1 R K r) / penalty where S = R R
        root_N = np.sqrt(curvature_N)
        inner_NN = self.gram_NN * root_N[:, None] * root_N
        inner_NN[np.diag_indices_from(inner_NN)] += self.penalty
        factor = cho_factor(inner_NN, overwrite_a=True)
        right_N2 = np.stack([-gradient_P[:-1], curvature_N], axis=1)
        solved_N2 = cho_solve(factor, root_N[:, None] * (self.gram_NN @ right_N2))
        solved_N2 = (right_N2 - root_N[:, None] * solved_N2) / self.penalty
        # what remains is one equation for the intercept
        pull_2 = curvature_N @ (self.gram_NN @ solved_N2)
        intercept = -(gradient_P[-1] + pull_2[0]) / (
            curvature_N.sum() + INTERCEPT_PENALTY - pull_2[1]
        )
        step_P = np.append(solved_N2[:, 0] - intercept * solved_N2[:, 1], intercept)
        slope = gradient_P[:-1] @ (self.gram_NN @ step_P[:-1]) + gradient_P[-1] * intercept
        return step_P, float(slope)


def _descend(
    form: _Form,
    position_P: Floats,
    present_N: Floats,
    offset_N: Floats,
    weight_N: Floats | None,
    tolerance: float,
) -> tuple[Floats, float, int]:
    """Position of the minimum, gradient norm there, and steps taken."""
    count_N = np.ones(len(present_N)) if weight_N is None else weight_N

    def objective(position_P: Floats) -> tuple[float, Floats]:
        margin_N = offset_N + form.margin(position_P)
        return float(count_N @ log_loss(margin_N, present_N)) + form.ridge(position_P), margin_N

    value, margin_N = objective(position_P)
    steps = 0
    while True:
        probability_N = expit(margin_N)
        gradient_P, norm = form.gradient(position_P, count_N * (probability_N - present_N))
        if norm <= tolerance or steps == MAXIMUM_STEPS:
            return position_P, norm, steps
        step_P, slope = form.step(gradient_P, count_N * probability_N * (1 - probability_N))
        scale = 1.0
        # near the minimum the decrease drowns in rounding: then the full step is the right one
        noise = 1e-12 * (1 + abs(value))
        while True:
            next_value, margin_N = objective(position_P + scale * step_P)
            if next_value <= value + 1e-4 * scale * slope + noise or scale < 1e-10:
                break
            scale /= 2
        position_P, value = position_P + scale * step_P, next_value
        steps += 1


def rescale(
    margin_N: Floats, present_N: Floats, weight_N: Floats | None = None
) -> tuple[float, float, float]:
    """Platt's re-scaling of a head: the slope and intercept that fit its margins best.

    Labels are smoothed as in Platt (1999) to (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keeps the
    slope finite where the margins separate them; with weights, N+ and N- are sums of weights.

    Returns:
        Slope, intercept, and the gradient norm at the minimum.
    """
    count_N = np.ones(len(present_N)) if weight_N is None else weight_N
    presents, total = float(count_N @ present_N), float(count_N.sum())
    high, low = (presents + 1) / (presents + 2), 1 / (total - presents + 2)
    center, spread = float(margin_N.mean()), float(margin_N.std())
    if spread <= 1e-12 * (1 + abs(center)):
        spread = np.inf  # margins that differ by rounding only: nothing to fit a slope to
    minimum = minimize(
        ((margin_N - center) / spread)[:, None],
        np.where(present_N == 1, high, low),
        margin_N,
        INTERCEPT_PENALTY,
        weight_N=weight_N,
    )
    change = float(minimum.weight_F[0]) / spread
    return 1.0 + change, minimum.intercept - change * center, minimum.gradient_norm
