"""Whether an uncertainty finds the errors: what is left when the least sure pixels are set aside.

Legend: B batch, H and W pixels, P counted pixels, F fractions set aside, R weightings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import Array, Floats, GroupSums, InvalidMetricInput, check_batch, ratio


class SparsificationMetric(GroupSums):
    """`ause`: the area between an uncertainty's sparsification curve and the best possible one.

    The curve gives, for each fraction of an image's pixels that is set aside (the least sure
    first), the mean error of those that are left; the best one sets aside the largest errors first.
    Curves are averaged over images and divided by the error of all pixels. `ause` is 0 for an
    uncertainty that orders pixels as their errors do. `ause_random` is what an uncertainty that
    knows nothing would get, on average: `1 - ause / ause_random`, the score `found`, is the share
    of what could be found. Pixels of equal uncertainty share their mean error, so that their order
    in the image decides nothing. Without any error in the images all scores are None.
    Source: Ilg et al., Uncertainty Estimates and Multi-Hypotheses Networks, 2018, sec. 5.

    Args:
        fractions: how many equal steps from setting nothing aside to setting (almost) all aside.
    """

    primary = "ause"
    lower_is_better = frozenset({"ause", "ause_random"})

    def __init__(self, fractions: int = 20) -> None:
        super().__init__()
        self.fractions = fractions

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: `B H W` uncertainties, in any unit: only their order counts.
            target: `B H W` errors, at least 0; NaN where the truth is unknown.
            known_B: True where the sample's truth is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, a counted uncertainty is not finite, or an
                error is negative.
        """
        unsure_BHW, error_BHW, known = check_batch(prediction, target, known_B, groups, "B H W")
        for index in known:
            counted_HW = ~np.isnan(error_BHW[index])
            unsure_P = unsure_BHW[index][counted_HW].astype(np.float64)
            error_P = error_BHW[index][counted_HW].astype(np.float64)
            if not np.isfinite(unsure_P).all() or (error_P < 0).any():
                raise InvalidMetricInput(
                    "a counted pixel has an uncertainty that is not finite, or a negative error.",
                    remedy="Give absolute errors, NaN where the truth is unknown.",
                )
            if error_P.size:
                # an error is its own best uncertainty
                curves = (self._curve(unsure_P, error_P), self._curve(error_P, error_P))
                self._add(groups[index], np.stack(curves))

    def curves(self) -> dict[str, Floats]:
        """`fraction` set aside, and the relative error left: `left` and `best`; `F` each."""
        sums_2F = np.asarray(
            sum((self._sums[g] for g in self.groups), start=np.zeros(self._shape()))
        )
        left_F, best_F = ratio(sums_2F, sums_2F[1, 0])
        return {"fraction": self._fractions(), "left": left_F, "best": best_F}

    def _fractions(self) -> Floats:
        return np.arange(self.fractions) / self.fractions

    def _curve(self, unsure_P: Floats, error_P: Floats) -> Floats:
        """Mean error of what is left after the least sure pixels were set aside; `F`."""
        _, place_P, count_U = np.unique(unsure_P, return_inverse=True, return_counts=True)
        # pixels that are equally sure stand side by side, each with their mean error
        mean_U = np.bincount(place_P, weights=error_P) / count_U
        surest_first_P = np.repeat(mean_U, count_U)
        # whole numbers: at least one pixel is always left
        kept_F = error_P.size - error_P.size * np.arange(self.fractions) // self.fractions
        return np.asarray(np.cumsum(surest_first_P)[kept_F - 1] / kept_F)

    def _settings(self) -> tuple[Any, ...]:
        return (self.fractions,)

    def _shape(self) -> tuple[int, ...]:
        return 2, self.fractions

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        curves_R2F = ratio(sums_R, sums_R[:, 1:, :1])
        left_RF, best_RF = curves_R2F[:, 0], curves_R2F[:, 1]
        fraction_F = self._fractions()
        missed_R = np.asarray(np.trapezoid(left_RF - best_RF, fraction_F, axis=1))
        random_R = np.asarray(np.trapezoid(1 - best_RF, fraction_F, axis=1))
        return {
            "ause": missed_R,
            "ause_random": random_R,
            "found": 1 - ratio(missed_R, random_R),
        }
