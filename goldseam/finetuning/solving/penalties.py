"""Cross-validation of a category's penalty: all folds in one batch, penalty after penalty.

Why it costs little. With n known rows, D features, r = min(n, D), F folds and P penalties, a Newton
step multiplies n r^2 / 2 + r^3 / 6 times, and F P separate fits of k steps each cost F P k times
that: at n = 800, D = 512, F = 5, P = 4, k = 3 about 60 x 0.13e9 = 8e9 multiplications a category.
Here a penalty starts from the larger one before it. One Hessian, where that ended, is made and
factored in float32 and preconditions all F + 1 problems, whose steps cost 2 n r (F + 1) = 0.005e9
each. A penalty that can no more be the best one is not finished (`contest`). With 4 to 10 steps
that is 0.5e9 for the Hessians and 0.15e9 for the steps; to finish all takes 5 to 50, most for small
penalties. The F + 1st fold leaves nothing out: it is the start of the exact fit, which then needs
one or two Newton steps. With n < D the design is replaced by n coordinates, from the eigenvectors
of the Gram matrix.
Legend: N known rows, R coordinates, P = R + 1, K candidates, L problems (fold-major), F folds.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from goldseam.finetuning.solving.contest import Contest
from goldseam.finetuning.solving.known import KnownLabels, ScaledRows
from goldseam.finetuning.solving.logistic import (
    Floats,
    Minimum,
    log_loss,
    minimize,
    minimize_dual,
    rescale,
)

if TYPE_CHECKING:
    import torch

# twice what an objective, a sum over labels, may still fall: candidates differ by far more
SCREENING_DECREMENT = 1e-6
SCREENING_STEPS = 300
# of an exact fit; the gradient in a category's own scaled features has to be under 1e-6
GRADIENT_TOLERANCE = 1e-7
# eigenvalues of a Gram matrix below this share of the largest are rounding
RANK_TOLERANCE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Screening:
    """What cross-validation says of each candidate: trained head, re-scaled head, each penalty.

    Attributes:
        held_out_KN: margin of each label by a candidate that has not seen its fold; not those of
            its minimum where the candidate cannot be the best one.
        loss_K: mean log-loss of these, weighted; more than the least one for such a candidate.
        rescaled: Platt's two numbers.
        start_LR: a nearly optimal (w, b) for each penalty, in the coordinates of the screening.
    """

    held_out_KN: Floats
    loss_K: Floats
    rescaled: "Rescaled"
    start_LR: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The candidate that cross-validation chose for one category.

    Attributes:
        held_out_KN: margins of every candidate on the labels it has not seen.
        loss_K: their mean log-losses.
        best: number of the candidate with the least loss.
        weight_D, bias: its head, where it is one of the penalties; otherwise the re-scaled one.
        gradient_norm: of the objective there, in scaled features.
        rescaled: Platt's two numbers, which are part of every candidate but the trained head.
    """

    held_out_KN: Floats
    loss_K: Floats
    best: int
    weight_D: Floats
    bias: float
    gradient_norm: float
    rescaled: "Rescaled"


@dataclasses.dataclass(frozen=True, eq=False)
class Rescaled:
    """The head re-scaled on what each fold leaves, and last on everything.

    Attributes:
        slope_F, intercept_F: one of each a fold, and the last of all rows.
        gradient_norm: of the last.
    """

    slope_F: Floats
    intercept_F: Floats
    gradient_norm: float

    @classmethod
    def of(cls, margin_N: Floats, known: KnownLabels) -> "Rescaled":
        """Fit Platt's two numbers for every fold."""
        folds = int(known.fold_N.max()) + 1
        fits = []
        for fold in range(folds + 1):  # no row stands in the last one
            keep = known.fold_N != fold
            fits.append(rescale(margin_N[keep], known.present_N[keep], known.weight_N[keep]))
        slope_F, intercept_F, norm_F = np.asarray(fits).T
        return cls(slope_F, intercept_F, float(norm_F[-1]))

    def head(self, weight_D: Floats, bias: float) -> tuple[Floats, float]:
        """A head re-scaled on all known labels."""
        slope, intercept = float(self.slope_F[-1]), float(self.intercept_F[-1])
        return slope * weight_D, slope * bias + intercept

    def ordering(
        self, held_out_N: Floats, trained_N: Floats, fold_N: npt.NDArray[np.intp]
    ) -> Floats:
        """Held-out margins as they would order the rows if every fold had been re-scaled alike.

        Slopes and intercepts differ a little between folds. Of a head that was only re-scaled that
        would change the order of rows of two folds, which one head does not.

        Args:
            held_out_N: margin of each row by a head that was fit without its fold.
            trained_N: by the trained head.
            fold_N: its fold.
        """
        own_N = self.slope_F[fold_N] * trained_N + self.intercept_F[fold_N]
        common_N = self.slope_F[-1] * trained_N + self.intercept_F[-1]
        return np.asarray(held_out_N - own_N + common_N, np.float64)

    def margins(self, margin_N: Floats) -> Floats:
        """Margins of every row by each fold's head, `N F`."""
        return np.asarray(margin_N[:, None] * self.slope_F + self.intercept_F, np.float64)


def score(known: KnownLabels, margin_N: Floats, offset_NF: Floats, margin_NL: Floats) -> Floats:
    """Margins of every candidate on the labels that its fold held out, `K N`.

    Args:
        known: with folds.
        margin_N: of the trained head.
        offset_NF: of the re-scaled heads.
        margin_NL: of the refit heads, `F + 1` folds by penalties.
    """
    rows = np.arange(len(margin_N))
    margin_NFP = margin_NL.reshape(len(margin_N), offset_NF.shape[1], -1)
    held_NP = margin_NFP[rows, known.fold_N]
    return np.concatenate([margin_N[None], offset_NF[rows, known.fold_N][None], held_NP.T])


def mean_losses(known: KnownLabels, held_out_KN: Floats) -> Floats:
    """Mean log-loss of each candidate over the known labels, weighted."""
    loss_KN = log_loss(held_out_KN, known.present_N)
    return np.asarray(loss_KN @ known.weight_N / known.weight_N.sum(), np.float64)


def training_weights(known: KnownLabels, penalties: int) -> Floats:
    """Weight of each row in each problem: 0 in the problems of the fold that holds it out."""
    folds = int(known.fold_N.max()) + 1
    keep_NF = known.fold_N[:, None] != np.arange(folds + 1)
    return np.repeat(keep_NF * known.weight_N[:, None], penalties, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """The known rows in as few numbers as they need: features, or the span of the rows.

    Attributes:
        design_NR: rows in these coordinates; distances are those of the features.
        gram_NN: products of the rows, where there are fewer of them than features.
        back_NR: takes coordinates to one coefficient a row, likewise.
    """

    design_NR: Floats
    gram_NN: Floats | None
    back_NR: Floats | None

    @classmethod
    def of(cls, feature_ND: Floats) -> "Coordinates":
        """Choose by counting multiplications: the dual form wherever rows are fewer."""
        if len(feature_ND) >= feature_ND.shape[1]:
            return cls(feature_ND, None, None)
        gram_NN = feature_ND @ feature_ND.T
        value_R, vector_NR = np.linalg.eigh(gram_NN)
        keep_R = value_R > RANK_TOLERANCE * value_R[-1]
        root_R, vector_NR = np.sqrt(value_R[keep_R]), vector_NR[:, keep_R]
        return cls(vector_NR * root_R, gram_NN, vector_NR / root_R)


def screen(
    known: KnownLabels, margin_N: Floats, coordinates: Coordinates, penalties: list[float]
) -> Screening:
    """Cross-validate the trained head, the re-scaled head and each penalty.

    Args:
        known: labels, weights and folds.
        margin_N: of the trained head.
        coordinates: of the rows.
        penalties: candidates.
    """
    import torch

    from goldseam.finetuning.solving.joint import Problems, curvature, factored, minimize_together

    rescaled = Rescaled.of(margin_N, known)
    offset_NF = rescaled.margins(margin_N)
    folds = offset_NF.shape[1]
    design_NP = torch.from_numpy(
        np.concatenate([coordinates.design_NR, np.ones((len(margin_N), 1))], axis=1)
    )
    one_penalty = Problems(
        present_NK=torch.from_numpy(known.present_N)[:, None].expand(-1, folds),
        weight_NK=torch.from_numpy(training_weights(known, 1)),
        offset_NK=torch.from_numpy(offset_NF),
        penalty_K=torch.ones(folds, dtype=torch.float64),
    )
    theta_PF = design_NP.new_zeros((design_NP.shape[1], folds))
    fitted_NF = one_penalty.offset_NK
    single_NP = design_NP.float()
    contest = Contest.of(known, design_NP)
    contest.enter(margin_N)
    contest.enter(contest.held_out(offset_NF))
    margins, starts = [], []
    for penalty in penalties:
        problems = dataclasses.replace(one_penalty, penalty_K=one_penalty.penalty_K * penalty)
        # folds differ by few rows, so one Hessian of them all, where the last penalty ended, fits
        curvature_N = curvature(problems, fitted_NF)[:, -1]
        minima = minimize_together(
            design_NP,
            problems,
            factored(_hessian(single_NP, curvature_N), problems.penalty_K),
            start_PK=theta_PF,
            decrement_tolerance=SCREENING_DECREMENT,
            maximum_steps=SCREENING_STEPS,
            give_up=functools.partial(contest.is_lost, penalty),
        )
        theta_PF, fitted_NF = minima.theta_PK, minima.margin_NK
        contest.enter(contest.held_out(fitted_NF.numpy()))
        margins.append(fitted_NF.numpy())
        starts.append(theta_PF[:, -1].numpy())
    margin_NL = np.stack(margins, axis=2).reshape(len(margin_N), -1)
    held_out_KN = score(known, margin_N, offset_NF, margin_NL)
    return Screening(
        held_out_KN=held_out_KN,
        loss_K=mean_losses(known, held_out_KN),
        rescaled=rescaled,
        start_LR=np.stack(starts),
    )


def _hessian(single_NP: "torch.Tensor", curvature_N: "torch.Tensor") -> "torch.Tensor":
    import torch

    # numpy hands a product with its own transpose to the symmetric routine, at half the cost
    root_NP = (single_NP * curvature_N.sqrt().float()[:, None]).numpy()
    return torch.from_numpy(root_NP.T @ root_NP)


def refit(
    scaled: ScaledRows,
    known: KnownLabels,
    offset_N: Floats,
    penalty: float,
    coordinates: Coordinates,
    start_R: Floats,
) -> Minimum:
    """The exact minimum over all known labels, from a nearly optimal start.

    Args:
        scaled: features.
        known: labels and weights.
        offset_N: margins of the re-scaled head.
        penalty: chosen.
        coordinates: of the rows.
        start_R: weights and intercept in these coordinates.
    """
    labels = (known.present_N, offset_N, penalty)
    if coordinates.gram_NN is None or coordinates.back_NR is None:
        start = Minimum(start_R[:-1], float(start_R[-1]), np.inf, 0)
        return minimize(
            scaled.feature_ND,
            *labels,
            weight_N=known.weight_N,
            start=start,
            tolerance=GRADIENT_TOLERANCE,
        )
    return minimize_dual(
        scaled.feature_ND,
        *labels,
        weight_N=known.weight_N,
        gram_NN=coordinates.gram_NN,
        start_P=np.append(coordinates.back_NR @ start_R[:-1], start_R[-1]),
        tolerance=GRADIENT_TOLERANCE,
    )
