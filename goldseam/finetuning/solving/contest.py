"""Which candidate wins a cross-validation, and which cannot any more: its search is broken off.

Legend: N known rows, P parameters with the intercept last, F folds and last none left out.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from goldseam.finetuning.solving.known import KnownLabels
from goldseam.finetuning.solving.logistic import Floats

if TYPE_CHECKING:
    from torch import Tensor

# nats a label: what no sample of labels can tell apart
TIE = 1e-6


def simplest(loss_K: Floats) -> int:
    """The first, that is the simplest, of the candidates that tie with the least loss."""
    return int(np.flatnonzero(loss_K <= loss_K.min() + TIE)[0])


@dataclasses.dataclass(eq=False)
class Contest:
    """The least held-out loss so far, and whether an unfinished penalty can get below it.

    Attributes:
        known: labels, weights and folds.
        design_NP: their rows, and a column of ones.
        left_out_NF: True where a fold leaves a row out; the last leaves none.
        least: mean held-out loss of the best candidate so far.
    """

    known: KnownLabels
    design_NP: "Tensor"
    left_out_NF: npt.NDArray[np.bool_]
    least: float = np.inf

    @classmethod
    def of(cls, known: KnownLabels, design_NP: "Tensor") -> "Contest":
        """Without candidates."""
        folds = int(known.fold_N.max()) + 1
        return cls(known, design_NP, known.fold_N[:, None] == np.arange(folds + 1))

    def held_out(self, value_NF: Floats) -> Floats:
        """Each row's number from the fold that leaves it out."""
        return value_NF[self.left_out_NF]

    def enter(self, margin_N: Floats) -> None:
        """Remember the loss of a candidate where it is the least."""
        self.least = min(self.least, self._loss(margin_N))

    def is_lost(self, penalty: float, margin_NF: "Tensor", decrement_F: "Tensor") -> bool:
        """Whether the minima of unfinished problems cannot have the least held-out loss."""
        over = self._loss(self.held_out(margin_NF.numpy())) - self.least
        return over > 0 and over > self.most_fall(penalty, margin_NF, decrement_F)

    def most_fall(self, penalty: float, margin_NF: "Tensor", decrement_F: "Tensor") -> float:
        """By how much the mean held-out loss can fall at most until the problems are solved.

        Where an objective may fall by d, its minimum is within sqrt(2 d / m), m being the modulus
        of strong convexity: the penalty in the weights, about the sum of curvatures in the
        intercept. Held-out loss is convex as well: on a way of that length it falls by no more than
        the length times its own gradient.

        Args:
            penalty: of the problems.
            margin_NF: of all rows, where the problems are.
            decrement_F: twice what each objective may still fall.
        """
        import torch

        weight_N1, present_N1 = self.known.weight_N[:, None], self.known.present_N[:, None]
        probability_NF = expit(margin_NF.numpy())
        pull_NF = self.left_out_NF * weight_N1 * (probability_NF - present_N1)
        pull_PF = self.design_NP.T @ torch.from_numpy(pull_NF)
        curvature_NF = weight_N1 * probability_NF * (1 - probability_NF)
        mass_F = (~self.left_out_NF * curvature_NF).sum(axis=0)
        modulus_F = np.clip(mass_F, np.finfo(np.float64).tiny, penalty)
        fall_F = pull_PF.norm(dim=0).numpy() * np.sqrt(decrement_F.numpy() / modulus_F)
        return float(fall_F.sum() / self.known.weight_N.sum())

    def _loss(self, margin_N: Floats) -> float:
        loss = self.known.loss(margin_N)
        assert loss is not None  # a category without known labels is not cross-validated
        return loss
