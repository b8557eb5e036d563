"""Which label next: ranks what nobody has labeled yet by what a label should teach.

Shapes: N images, T tasks, M chosen pairs.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from goldseam.dataset.order import generator
from goldseam.errors import InvalidArray, InvalidConfig, closest

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Policy = Literal["random", "scarcity", "uncertainty", "scarcity_uncertainty"]
POLICIES: tuple[Policy, ...] = ("random", "scarcity", "uncertainty", "scarcity_uncertainty")

CHOICE_STREAM = 0xAC9
NEUTRAL = 0.5  # standing of a pair whose uncertainty nobody measured


@dataclasses.dataclass(frozen=True)
class LabelRanking:
    """Unlabeled (image, task) pairs, the one to label first first.

    Attributes:
        image_M: positions of the images.
        task_M: positions of the tasks.
        score_M: what each was ranked by, never rising; per unit of cost.
    """

    image_M: npt.NDArray[np.int64]
    task_M: npt.NDArray[np.int64]
    score_M: Floats

    def __len__(self) -> int:
        return len(self.image_M)

    def chosen(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """True at the ranked pairs of a table of `shape` (N, T)."""
        chosen_NT = np.zeros(shape, bool)
        chosen_NT[self.image_M, self.task_M] = True
        return chosen_NT


def select_labels(
    known_NT: npt.ArrayLike,
    uncertainty_NT: npt.ArrayLike,
    *,
    policy: Policy = "scarcity_uncertainty",
    count: int = 0,
    seed: int = 0,
    eligible_NT: npt.ArrayLike | None = None,
    cost_T: npt.ArrayLike | None = None,
) -> LabelRanking:
    """Rank the unlabeled (image, task) pairs.

    Uncertainties of different tasks have different units, so that only an image's standing among
    the unlabeled images of its task counts: 1 for the least sure, towards 0 for the surest, 0.5
    where it was not measured. A task's scarcity is 1 / (1 + its labels), those counted that this
    ranking has bought before: so a task is not bought on and on because it was rare at first. The
    product is greedy: no image's value falls because a similar one was chosen.

    Args:
        known_NT: True where a label is there already; such pairs are never ranked.
        uncertainty_NT: any scale, higher is less sure; NaN is unmeasured. What stands at known or
            not eligible pairs is never read.
        policy: `random` draws pairs; `scarcity` and `uncertainty` each look at one of the two,
            `scarcity_uncertainty` at their product.
        count: pairs to rank; 0 for all.
        seed: decides between equals.
        eligible_NT: False where a label cannot be had; all can by default.
        cost_T: of a label of each task, in any unit; equal by default. `random` does not look.

    Raises:
        InvalidArray: shapes differ, an uncertainty is infinite, or a cost is not positive.
        InvalidConfig: there is no such policy, or the count is negative.
    """
    if policy not in POLICIES or count < 0:
        raise InvalidConfig(
            f"{count} labels cannot be ranked by policy '{policy}'.",
            remedy=f"Give a count of at least 0, and a policy: {closest(policy, POLICIES)}.",
        )
    known_NT, unsure_NT = np.asarray(known_NT, bool), np.asarray(uncertainty_NT, np.float64)
    open_NT = ~known_NT
    if eligible_NT is not None:
        _require_shape("eligible_NT", np.shape(eligible_NT), known_NT.shape)
        open_NT &= np.asarray(eligible_NT, bool)
    _require_shape("uncertainty_NT", unsure_NT.shape, known_NT.shape)
    cost = np.ones(known_NT.shape[1]) if cost_T is None else np.asarray(cost_T, np.float64)
    _require_shape("cost_T", cost.shape, known_NT.shape[1:])
    if np.isinf(unsure_NT[open_NT]).any() or not (cost > 0).all() or not np.isfinite(cost).all():
        raise InvalidArray(
            "uncertainty_NT or cost_T",
            "an uncertainty is infinite, or a cost is not a positive number",
            "Give NaN for uncertainties that were not measured.",
        )
    image_M, task_M = np.nonzero(open_NT)
    # equals are told apart by a draw, not by their place in the table
    tie_M = generator(seed, CHOICE_STREAM).random(len(image_M))
    score_M = _score(policy, known_NT, unsure_NT[image_M, task_M], task_M, tie_M)
    if policy != "random":
        score_M = score_M / cost[task_M]
    order_M = np.lexsort((tie_M, -score_M))[: count or None]
    return LabelRanking(image_M[order_M], task_M[order_M], score_M[order_M])


def _score(
    policy: Policy, known_NT: Array, unsure_M: Floats, task_M: Array, tie_M: Floats
) -> Floats:
    if policy == "random":
        return np.ones(len(task_M))
    standing_M = np.ones(len(task_M))
    if policy != "scarcity":
        standing_M = _standing(unsure_M, task_M)
    if policy == "uncertainty":
        return standing_M
    # buying the best of a task first and counting each purchase gives a falling sequence a task;
    # greedy choice among tasks is then one sort of all sequences
    place_M = _place_in_task(standing_M, task_M, tie_M)
    labels_M = known_NT.sum(axis=0)[task_M] + place_M
    return np.asarray(standing_M / (1 + labels_M))


def _standing(unsure_M: Floats, task_M: Array) -> Floats:
    """Share of the measured pairs of its task that a pair is not surer than, less half a place.

    Equals have equal standing.
    """
    from scipy import stats

    standing_M = np.full(len(task_M), NEUTRAL)
    for task in np.unique(task_M):
        measured = np.flatnonzero((task_M == task) & ~np.isnan(unsure_M))
        if measured.size:
            standing_M[measured] = (stats.rankdata(unsure_M[measured]) - 0.5) / measured.size
    return standing_M


def _place_in_task(standing_M: Floats, task_M: Array, tie_M: Floats) -> npt.NDArray[np.int64]:
    """How many pairs of its task stand before each one."""
    order_M = np.lexsort((tie_M, -standing_M, task_M))
    starts_T = np.searchsorted(task_M[order_M], task_M[order_M], side="left")
    place_M = np.empty(len(task_M), np.int64)
    place_M[order_M] = np.arange(len(task_M)) - starts_T
    return place_M


def _require_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise InvalidArray(
            name,
            f"has shape {found}, expected {expected}",
            "Give one row an image, one column a task, as in known_NT.",
        )
