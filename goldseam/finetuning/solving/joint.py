"""Many ridge logistic regressions over the same rows at once, by preconditioned L-BFGS in batch.

One product of the rows with K directions serves K problems: the folds and penalties of a category,
or all categories of a block. It runs on CPU and GPU. Source of the update: Nocedal, "Updating
quasi-Newton matrices with limited storage" (1980); the preconditioner takes the place of its first
matrix. Legend: N rows, P parameters of a problem with the intercept last, K problems, M remembered
steps.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from goldseam.finetuning.solving.logistic import INTERCEPT_PENALTY

MEMORY = 8
MAXIMUM_STEPS = 1000

# (gradients of some problems PK, their numbers K) -> roughly the inverse Hessian times each
Precondition = Callable[[Tensor, Tensor], Tensor]
# (margins NK, decrements K) of all problems -> whether the rest of the search is not worth it; a
# decrement is twice what an objective may still fall, 0 where the search has ended
GiveUp = Callable[[Tensor, Tensor], bool]


@dataclasses.dataclass(frozen=True, eq=False)
class Problems:
    """K problems over the rows of one design.

    Attributes:
        present_NK: labels from 0 to 1.
        weight_NK: how much each row counts; what else stands at a row of weight 0 is finite, and
            changes nothing.
        offset_NK: margin of the head that the penalty pulls towards.
        penalty_K: positive.
    """

    present_NK: Tensor
    weight_NK: Tensor
    offset_NK: Tensor
    penalty_K: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Minima:
    """Where each problem's objective is least.

    Attributes:
        theta_PK: weights, and the intercept last.
        margin_NK: offset + design @ theta, of every row, counted or not.
        gradient_norm_K: Euclidean norm of the gradient.
        steps: of the slowest problem.
    """

    theta_PK: Tensor
    margin_NK: Tensor
    gradient_norm_K: Tensor
    steps: int


def minimize_together(
    design_NP: Tensor,
    problems: Problems,
    precondition: Precondition,
    *,
    start_PK: Tensor | None = None,
    gradient_tolerance_K: Tensor | float = 1e-8,
    decrement_tolerance: float = 0.0,
    maximum_steps: int = MAXIMUM_STEPS,
    give_up: GiveUp | None = None,
) -> Minima:
    """Minimize K strictly convex objectives, each sum weight * log_loss + penalty / 2 |w|^2.

    A problem that has converged leaves the batch, so the slow ones do not pay for the fast ones.

    Args:
        design_NP: features of the rows, and a last column of ones.
        problems: on the same device and of the same type.
        precondition: symmetric and positive definite; the nearer to the inverse Hessian the fewer
            steps.
        start_PK: of the search; zero by default.
        gradient_tolerance_K: gradient norm at which a problem is solved.
        decrement_tolerance: likewise for the estimate gradient^T H^-1 gradient, which is twice what
            the objective can still fall.
        maximum_steps: after which the search ends where it is.
        give_up: asked before every second step; where it says True the search ends where it is.
    """
    run = _Run(design_NP, problems, precondition, start_PK)
    tolerance_K = torch.as_tensor(gradient_tolerance_K, dtype=design_NP.dtype).to(design_NP.device)
    tolerance_K = tolerance_K.expand(len(problems.penalty_K))
    steps = 0
    while len(run.active_K):
        gradient_PK = run.gradient()
        direction_PK, decrement_K = run.direction(gradient_PK)
        norm_K = gradient_PK.norm(dim=0)
        done_K = (norm_K <= tolerance_K[run.active_K]) | (decrement_K <= decrement_tolerance)
        ends = steps == maximum_steps
        if give_up is not None and steps % 2 == 1:
            ends = ends or give_up(*run.now(decrement_K))
        if ends:
            done_K = torch.ones_like(done_K)
        stalled_K = run.advance(gradient_PK, direction_PK, decrement_K, ~done_K)
        run.retire(done_K | stalled_K, norm_K)
        steps += 1
    return Minima(run.theta_PK, run.margin_NK, run.norm_K, steps - 1)


class _Run:
    """The state of the problems that are still searched; `*_PA` hold those alone."""

    def __init__(
        self,
        design_NP: Tensor,
        problems: Problems,
        precondition: Precondition,
        start_PK: Tensor | None,
    ) -> None:
        count = len(problems.penalty_K)
        self.design_NP = design_NP
        self.precondition = precondition
        self.active_K = torch.arange(count, device=design_NP.device)
        shape = (design_NP.shape[1], count)
        self.theta_PA = design_NP.new_zeros(shape) if start_PK is None else start_PK.clone()
        self.ridge_PA = problems.penalty_K.expand(shape).clone()
        self.ridge_PA[-1] = INTERCEPT_PENALTY
        self.present_NA = problems.present_NK
        self.weight_NA = problems.weight_NK
        self.margin_NA = problems.offset_NK + design_NP @ self.theta_PA
        self.memory: list[tuple[Tensor, Tensor, Tensor]] = []
        self.last: tuple[Tensor, Tensor] | None = None
        # filled as problems retire
        self.theta_PK = torch.empty_like(self.theta_PA)
        self.margin_NK = torch.empty_like(self.margin_NA)
        self.norm_K = design_NP.new_empty(count)

    def gradient(self) -> Tensor:
        residual_NA = self.weight_NA * (self.margin_NA.sigmoid() - self.present_NA)
        return self.design_NP.T @ residual_NA + self.ridge_PA * self.theta_PA

    def now(self, decrement_A: Tensor) -> tuple[Tensor, Tensor]:
        """Margins and decrements of all problems."""
        if len(self.active_K) == len(self.norm_K):
            return self.margin_NA, decrement_A
        margin_NK, decrement_K = self.margin_NK.clone(), torch.zeros_like(self.norm_K)
        margin_NK[:, self.active_K] = self.margin_NA
        decrement_K[self.active_K] = decrement_A
        return margin_NK, decrement_K

    def direction(self, gradient_PA: Tensor) -> tuple[Tensor, Tensor]:
        """The quasi-Newton direction, and minus the slope along it."""
        if self.last is not None:
            self._remember(self.last[0], gradient_PA - self.last[1])
        direction_PA = -gradient_PA
        parts = []
        for step_PA, change_PA, inverse_A in reversed(self.memory):
            part_A = inverse_A * (step_PA * direction_PA).sum(0)
            direction_PA = direction_PA - part_A * change_PA
            parts.append(part_A)
        direction_PA = self.precondition(direction_PA, self.active_K)
        for (step_PA, change_PA, inverse_A), part_A in zip(
            self.memory, reversed(parts), strict=True
        ):
            back_A = inverse_A * (change_PA * direction_PA).sum(0)
            direction_PA = direction_PA + (part_A - back_A) * step_PA
        decrement_A = -(gradient_PA * direction_PA).sum(0)
        # rounding can spoil a direction; steepest descent never fails
        bad_A = ~(decrement_A > 0)
        direction_PA = torch.where(bad_A, -gradient_PA, direction_PA)
        return direction_PA, torch.where(bad_A, gradient_PA.square().sum(0), decrement_A)

    def _remember(self, step_PA: Tensor, change_PA: Tensor) -> None:
        product_A = (step_PA * change_PA).sum(0)
        floor_A = 1e-12 * step_PA.norm(dim=0) * change_PA.norm(dim=0)
        # a pair whose curvature drowns in rounding counts for nothing
        inverse_A = torch.where(product_A > floor_A, 1 / product_A, torch.zeros_like(product_A))
        self.memory = [*self.memory[-MEMORY + 1 :], (step_PA, change_PA, inverse_A)]

    def advance(
        self, gradient_PA: Tensor, direction_PA: Tensor, decrement_A: Tensor, going_A: Tensor
    ) -> Tensor:
        """Move the problems that go on; True for those whose objective falls no more."""
        along_NA = self.design_NP @ direction_PA
        size_A = self._step_sizes(direction_PA, along_NA, decrement_A) * going_A
        step_PA = size_A * direction_PA
        self.theta_PA = self.theta_PA + step_PA
        self.margin_NA = self.margin_NA + size_A * along_NA
        self.last = (step_PA, gradient_PA)
        return going_A & (size_A == 0)

    def _step_sizes(self, direction_PA: Tensor, along_NA: Tensor, decrement_A: Tensor) -> Tensor:
        """Halve from 1 until the objective falls enough; 0 where it never does.

        Enough is Armijo's rule, or, where a fall drowns in rounding, its form in slopes (Hager and
        Zhang, "A new conjugate gradient method with guaranteed descent", 2005).
        """
        base_NA = _soft(self.margin_NA)
        noise_A = (self.weight_NA * base_NA).sum(0)
        noise_A = 16 * torch.finfo(base_NA.dtype).eps * (1 + noise_A)
        linear_A = (self.ridge_PA * self.theta_PA * direction_PA).sum(0)
        square_A = (self.ridge_PA * direction_PA.square()).sum(0)
        size_A = torch.ones_like(decrement_A)
        for _ in range(40):
            moved_NA = self.margin_NA + size_A * along_NA
            rise_NA = _soft(moved_NA) - base_NA - self.present_NA * size_A * along_NA
            rise_A = (self.weight_NA * rise_NA).sum(0)
            rise_A = rise_A + size_A * linear_A + size_A.square() * square_A / 2
            good_A = rise_A <= -1e-4 * size_A * decrement_A
            if not bool(good_A.all()):
                slope_NA = self.weight_NA * (moved_NA.sigmoid() - self.present_NA) * along_NA
                slope_A = slope_NA.sum(0) + linear_A + size_A * square_A
                good_A |= (rise_A <= noise_A) & (slope_A <= (1 - 2e-4) * decrement_A)
            if bool(good_A.all()):
                return size_A
            size_A = torch.where(good_A, size_A, size_A / 2)
        return torch.where(good_A, size_A, torch.zeros_like(size_A))

    def retire(self, done_A: Tensor, norm_A: Tensor) -> None:
        """Write down the problems that are done, and go on without them."""
        if not bool(done_A.any()):
            return
        at_K = self.active_K[done_A]
        self.theta_PK[:, at_K] = self.theta_PA[:, done_A]
        self.margin_NK[:, at_K] = self.margin_NA[:, done_A]
        self.norm_K[at_K] = norm_A[done_A]
        stay_A = ~done_A
        self.active_K = self.active_K[stay_A]
        for name in ("theta_PA", "ridge_PA", "present_NA", "weight_NA", "margin_NA"):
            setattr(self, name, getattr(self, name)[:, stay_A])
        self.memory = [(s[:, stay_A], y[:, stay_A], r[stay_A]) for s, y, r in self.memory]
        if self.last is not None:
            self.last = (self.last[0][:, stay_A], self.last[1][:, stay_A])


def _soft(margin: Tensor) -> Tensor:
    # torch cuts off at 20 by default, which is seen in float64
    return softplus(margin, threshold=40.0)


def curvature(problems: Problems, margin_NK: Tensor | None = None) -> Tensor:
    """Second derivative of each row's weighted log-loss at some margins, `N K`; at the offset."""
    probability_NK = (problems.offset_NK if margin_NK is None else margin_NK).sigmoid()
    return problems.weight_NK * probability_NK * (1 - probability_NK)


def factored(gram_PP: Tensor, penalty_K: Tensor) -> Precondition:
    """A preconditioner that factors a Hessian without its ridge once for each distinct penalty.

    It works in float32 where that is enough: its error costs steps, not exactness.
    """
    distinct_L, which_K = torch.unique(penalty_K, return_inverse=True)
    single = [_factor(gram_PP.float(), float(penalty)) for penalty in distinct_L]
    factors = [
        factor if factor is not None else _factor(gram_PP.double(), float(penalty), jitter=1e-12)
        for factor, penalty in zip(single, distinct_L, strict=True)
    ]

    def apply(gradient_PA: Tensor, active_A: Tensor) -> Tensor:
        if len(factors) == 1:
            return _solved(factors[0], gradient_PA)
        result_PA = torch.empty_like(gradient_PA)
        for number, factor_PP in enumerate(factors):
            at_A = which_K[active_A] == number
            result_PA[:, at_A] = _solved(factor_PP, gradient_PA[:, at_A])
        return result_PA

    return apply


def _solved(factor_PP: Tensor | None, gradient_PA: Tensor) -> Tensor:
    if factor_PP is None:
        return gradient_PA
    # a common scale keeps small gradients out of the underflow of float32
    top_A = gradient_PA.abs().amax(dim=0).clamp_min(torch.finfo(gradient_PA.dtype).tiny)
    solved_PA = torch.cholesky_solve((gradient_PA / top_A).to(factor_PP.dtype), factor_PP)
    return solved_PA.to(gradient_PA.dtype) * top_A


def _factor(gram_PP: Tensor, penalty: float, jitter: float = 0.0) -> Tensor | None:
    ridge_P = torch.full_like(gram_PP[0], penalty)
    ridge_P[-1] = INTERCEPT_PENALTY
    ridge_P += jitter * gram_PP.diagonal().amax()
    factor_PP, failed = torch.linalg.cholesky_ex(gram_PP + ridge_P.diag())
    return None if int(failed) else factor_PP


def rotated(
    vectors_FF: Tensor, values_F: Tensor, mass_K: Tensor, penalty_K: Tensor
) -> Precondition:
    """A preconditioner from one eigendecomposition for problems over much the same rows.

    Args:
        vectors_FF: eigenvectors of the features' covariance, in columns.
        values_F: its eigenvalues.
        mass_K: sum of a problem's curvatures over its rows.
        penalty_K: its penalty.
    """

    def apply(gradient_PA: Tensor, active_A: Tensor) -> Tensor:
        mass_A, penalty_A = mass_K[active_A], penalty_K[active_A]
        scale_FA = values_F[:, None] * mass_A + penalty_A
        weight_FA = vectors_FF @ ((vectors_FF.T @ gradient_PA[:-1]) / scale_FA)
        intercept_1A = gradient_PA[-1:] / (mass_A + INTERCEPT_PENALTY)
        return torch.cat([weight_FA, intercept_1A])

    return apply
