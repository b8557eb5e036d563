"""The few directions in which a head can rank better, around the convex optimum of each fold.

Every smooth ranking loss (pairwise hinge, smoothed average precision, ...) pulls at a head with a
sum over rows of weight x features, where the weight depends on the row's label and score alone. So
the rows of each label are cut into bins of score, and each bin's share of the log-loss gradient is
one vector g: whatever weights a ranking loss gives, its pull is near a combination of these. The
directions are H^-1 g with the Hessian H of the penalized log-loss, made orthonormal under H. A step
of length r in their coordinates then costs r^2 / 2 nats near the optimum, in any direction. The
columns of H^-1/2 itself would share that scale, but of its D columns nothing tells which few rank.
Legend: N known rows, D features, R coordinates of the rows, P = R + 1, F folds, K directions.
"""

import dataclasses

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from goldseam.finetuning.config import PENALTIES
from goldseam.finetuning.ranking.evolution import Landscape
from goldseam.finetuning.solving.folds import Integers
from goldseam.finetuning.solving.known import FeatureRows, KnownLabels, ScaledRows, read_rows
from goldseam.finetuning.solving.logistic import INTERCEPT_PENALTY, Floats
from goldseam.finetuning.solving.penalties import Coordinates, Rescaled, training_weights
from goldseam.finetuning.solving.solver import HeadFit

# whitened pulls with less than this share of the largest variance repeat the others
RANK_TOLERANCE = 1e-8
# twice the nats that a fold's optimum, only the start of a search, may still be away
DECREMENT = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class Neighborhood:
    """The head that was fit without one fold, or on all rows, and the directions around it.

    Attributes:
        margin_N: of all known rows.
        move_KN: what a unit step in each direction adds to them.
        train_N: the rows it was fit on.
        step_PK: the directions, in the coordinates of `Surroundings`.
    """

    margin_N: Floats
    move_KN: Floats
    train_N: Integers
    step_PK: Floats

    def landscape(self, present_N: Floats) -> Landscape:
        """The training rows, ready to be searched."""
        train_N = self.train_N
        return Landscape(self.margin_N[train_N], self.move_KN[:, train_N], present_N[train_N] == 1)

    def moved(self, point_K: Floats) -> Floats:
        """Margins of all known rows by a candidate."""
        return np.asarray(self.margin_N + point_K[: len(self.move_KN)] @ self.move_KN)


@dataclasses.dataclass(frozen=True, eq=False)
class Surroundings:
    """One category, ready to be searched in each fold and on all rows.

    Attributes:
        fit: its convex fit.
        known: its labels, weights and folds.
        folds: a neighborhood for each fold left out, and last the one of all rows.
        scaled: its features.
        coordinates: of the rows.
    """

    fit: HeadFit
    known: KnownLabels
    folds: tuple[Neighborhood, ...]
    scaled: ScaledRows
    coordinates: Coordinates

    @classmethod
    def of(
        cls, features: FeatureRows, fit: HeadFit, known: KnownLabels, directions: int
    ) -> "Surroundings":
        """Fit each fold anew with the penalty that was chosen, and lay out the directions.

        A head that cross-validation kept, or only re-scaled, is taken as it is in every fold: two
        numbers do not change a ranking. Its directions are those under the largest penalty.

        Raises:
            InvalidConfig: a feature of a known row is NaN or infinite.
        """
        feature_MD = read_rows(features, known.row_N, known.category)
        scaled = ScaledRows.of(feature_MD)
        coordinates = Coordinates.of(scaled.feature_ND)
        ones_N1 = np.ones((len(known.row_N), 1))
        design_NP = np.concatenate([coordinates.design_NR, ones_N1], axis=1)
        margin_NF = _fold_margins(fit, known, design_NP)
        margin_NF[:, -1] = feature_MD @ fit.weight_D + fit.bias
        penalty = max(PENALTIES) if fit.penalty is None else fit.penalty
        weight_NF = training_weights(known, 1)
        neighborhoods = [
            _neighborhood(design_NP, known, margin_N, weight_N, penalty, directions)
            for margin_N, weight_N in zip(margin_NF.T, weight_NF.T, strict=True)
        ]
        return cls(fit, known, tuple(neighborhoods), scaled, coordinates)

    def head(self, point_K: Floats) -> tuple[Floats, float]:
        """Weights and intercept of a candidate of all rows, in the space of the given features."""
        step_PK = self.folds[-1].step_PK
        added_P = step_PK @ point_K[: step_PK.shape[1]]
        weight_F = added_P[:-1]
        if self.coordinates.back_NR is not None:
            weight_F = self.scaled.feature_ND.T @ (self.coordinates.back_NR @ weight_F)
        weight_D, intercept = self.scaled.unscaled(weight_F, float(added_P[-1]))
        return self.fit.weight_D + weight_D, self.fit.bias + intercept


def _fold_margins(fit: HeadFit, known: KnownLabels, design_NP: Floats) -> Floats:
    """Margins of all rows by the convex optimum that leaves a fold out; the last leaves none."""
    import torch

    from goldseam.finetuning.solving.joint import Problems, curvature, factored, minimize_together

    rescaled = Rescaled.of(fit.margin_before_M, known)
    offset_NF = rescaled.margins(fit.margin_before_M)
    if fit.penalty is None:
        return offset_NF
    design = torch.from_numpy(design_NP)
    folds = offset_NF.shape[1]
    problems = Problems(
        present_NK=torch.from_numpy(known.present_N)[:, None].expand(-1, folds),
        weight_NK=torch.from_numpy(training_weights(known, 1)),
        offset_NK=torch.from_numpy(offset_NF),
        penalty_K=torch.full((folds,), fit.penalty, dtype=torch.float64),
    )
    # folds differ by few rows, so one Hessian, where all rows are, serves them all
    gram_PP = _gram(design_NP, curvature(problems)[:, -1].numpy())
    minima = minimize_together(
        design,
        problems,
        factored(torch.from_numpy(gram_PP), problems.penalty_K),
        decrement_tolerance=DECREMENT,
    )
    return minima.margin_NK.numpy().copy()


def _gram(design_NP: Floats, curvature_N: Floats) -> Floats:
    root_NP = design_NP * np.sqrt(curvature_N)[:, None]
    return root_NP.T @ root_NP


def _neighborhood(
    design_NP: Floats,
    known: KnownLabels,
    margin_N: Floats,
    weight_N: Floats,
    penalty: float,
    directions: int,
) -> Neighborhood:
    """The directions at one optimum, from its training rows alone (those with a weight)."""
    train_N = np.flatnonzero(weight_N > 0)
    design_TP, probability_T = design_NP[train_N], expit(margin_N[train_N])
    present_T, weight_T = known.present_N[train_N], weight_N[train_N]
    pull_PK = design_TP.T @ pulls(
        margin_N[train_N], present_T, weight_T * (present_T - probability_T), directions // 2
    )
    hessian_PP = _gram(design_TP, weight_T * probability_T * (1 - probability_T))
    ridge_P = np.append(np.full(design_NP.shape[1] - 1, penalty), INTERCEPT_PENALTY)
    # a trace of the Hessian itself keeps it definite where all rows are decided
    hessian_PP[np.diag_indices_from(hessian_PP)] += ridge_P + 1e-12 * np.trace(hessian_PP)
    raw_PK = cho_solve(cho_factor(hessian_PP, overwrite_a=True), pull_PK)
    value_K, vector_KK = np.linalg.eigh(pull_PK.T @ raw_PK)
    keep_K = value_K > RANK_TOLERANCE * max(float(value_K[-1]), np.finfo(np.float64).tiny)
    step_PK = raw_PK @ (vector_KK[:, keep_K] / np.sqrt(value_K[keep_K]))
    return Neighborhood(margin_N, (design_NP @ step_PK).T, train_N, step_PK)


def pulls(margin_N: Floats, present_N: Floats, residual_N: Floats, bins: int) -> Floats:
    """The residuals of each label, spread over bins of score that hold equal sums of them: `N K`.

    Where a label's rows are decided (residuals near 0) bins are wide, where they are in doubt they
    are narrow. Bins that stay empty are left out.

    Args:
        margin_N: of the head.
        present_N: labels.
        residual_N: label minus probability, times what the row counts.
        bins: of each label.
    """
    columns = []
    for state in (0.0, 1.0):
        row_M = np.flatnonzero(present_N == state)
        row_M = row_M[np.argsort(-margin_N[row_M], kind="stable")]
        size_M = np.abs(residual_N[row_M])
        before_M = np.cumsum(size_M) - size_M / 2
        total = max(float(size_M.sum()), np.finfo(np.float64).tiny)
        bin_M = np.clip((bins * before_M / total).astype(np.intp), 0, bins - 1)
        spread_NK = np.zeros((len(margin_N), bins))
        spread_NK[row_M, bin_M] = residual_N[row_M]
        columns.append(spread_NK[:, np.abs(spread_NK).sum(axis=0) > 0])
    return np.concatenate(columns, axis=1)
