"""Ranking, calibration and decisions of tag probabilities, over known entries only.

Legend: B batch, N known entries of one category, K distinct scores, C categories, G groups,
R weightings, E calibration bins.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import PRESENT
from goldseam.dataset.decisions import USUAL_THRESHOLD, decide_tags
from goldseam.errors import closest
from goldseam.metrics.ranking import weighted_ranking
from goldseam.metrics.sums import (
    Array,
    Floats,
    GroupSums,
    InvalidMetricInput,
    check_batch,
    mean_defined,
    ratio,
)

BINS = 15
UNDEFINED = "undefined_categories"


class TagsMetric(GroupSums):
    """`map`, `auc`, `ece`, `brier`, `cf1`, `of1`, and `ap.`, `auc.`, `ece.`, `brier.<category>`.

    - `ap` is the sum of (recall step) x precision over distinct scores, without interpolation;
      `map` and `auc` are means over the categories that have a known positive and a known negative.
      The others have no `ap` or `auc` (None): their ranking says nothing. `undefined_categories`
      is their number.
    - `ece` is the expected calibration error in 15 bins of equal width, pooled over all known
      entries, and by category.
    - `brier` is the mean squared difference of probability and label, likewise.
    - `cf1` is the harmonic mean of mean precision and mean recall over categories with a known
      positive, `of1` the F1 of pooled counts, where a category is called present from its
      threshold on. A category of which nothing is predicted has precision 0.

    In a bootstrap draw the means go over the categories that the draw has; the interval of
    `undefined_categories` says how many the draws leave out.

    Args:
        categories: names by id.
        thresholds: category → from which probability on it is called present, as the model has
            them. 0.5 for one that is not named, and for None: `cf1` and `of1` count every category,
            also one that the model does not decide.

    Raises:
        InvalidMetricInput: a threshold is negative or not finite, or of no category.
    """

    primary = "map"
    lower_is_better = frozenset({"ece", "brier", UNDEFINED})

    def __init__(
        self, categories: Sequence[str], thresholds: Mapping[str, float | None] | None = None
    ) -> None:
        super().__init__()
        self.categories = tuple(categories)
        self.thresholds = _each(self.categories, thresholds or {})
        self._score_BC: list[Floats] = []
        self._target_BC: list[npt.NDArray[np.int8]] = []
        self._group_B: list[str] = []

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: `B C` probabilities.
            target: `B C`, 1 present, 0 absent, -1 unknown.
            known_B: True where the sample has tags at all; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or a value is no probability or tag.
        """
        predicted_BC, target_BC, known = check_batch(prediction, target, known_B, groups, "B C")
        if predicted_BC.shape[1] != len(self.categories):
            raise InvalidMetricInput(
                f"prediction has {predicted_BC.shape[1]} categories, "
                f"expected {len(self.categories)}.",
                remedy="Hand over one column a category, in the order of the task's categories.",
            )
        score_BC = predicted_BC[known].astype(np.float64)
        state_BC = target_BC[known]
        _check_values(score_BC, state_BC)
        # what stands at an unknown entry is not kept, so it cannot be scored later
        score_BC = np.where(state_BC == -1, 0.0, score_BC)
        self._score_BC.append(score_BC)
        self._target_BC.append(state_BC.astype(np.int8))
        said_BC = decide_tags(score_BC, self.thresholds) == PRESENT
        names = [groups[index] for index in known]
        self._group_B.extend(names)
        for row, name in enumerate(names):
            self._add(name, _entry_sums(score_BC[row], state_BC[row], said_BC[row]))

    def merge(self, other: Self) -> Self:
        """A new metric of both parts' samples; both parts stay as they are."""
        both: Self = super().merge(other)
        both._score_BC += other._score_BC
        both._target_BC += other._target_BC
        both._group_B += other._group_B
        return both

    def compute_many(self, weights_RG: Floats) -> dict[str, Floats]:
        """The scores of many weightings at once; see `GroupSums.compute_many`."""
        scores = super().compute_many(weights_RG)
        count = len(self.categories)
        score_BC = np.concatenate([np.zeros((0, count)), *self._score_BC])
        target_BC = np.concatenate([np.zeros((0, count), np.int8), *self._target_BC])
        position = {group: g for g, group in enumerate(self.groups)}
        group_B = np.asarray([position[group] for group in self._group_B], np.intp)
        ap_CR, auc_CR = np.full((2, count, len(weights_RG)), np.nan)
        for c in range(count):
            known_B = target_BC[:, c] != -1
            ap_CR[c], auc_CR[c] = weighted_ranking(
                score_BC[known_B, c], target_BC[known_B, c], group_B[known_B], weights_RG
            )
        scores |= {"map": mean_defined(ap_CR, 0), "auc": mean_defined(auc_CR, 0)}
        # like every score it is undefined where nothing at all is known
        missing_R = np.isnan(ap_CR).sum(axis=0)
        scores[UNDEFINED] = np.where(np.isnan(scores["brier"]), np.nan, missing_R)
        for c, name in enumerate(self.categories):
            scores |= {f"ap.{name}": ap_CR[c], f"auc.{name}": auc_CR[c]}
        return scores

    def _settings(self) -> tuple[Any, ...]:
        return self.categories, self.thresholds

    def _unit(self, key: str) -> str:
        return "categories" if key == UNDEFINED else ""

    def _shape(self) -> tuple[int, ...]:
        return len(self.categories), 3 * BINS + 4

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        sums_RC3E = sums_R[..., : 3 * BINS].reshape(*sums_R.shape[:2], 3, BINS)
        error_RC, hit_RC, false_RC, missed_RC = np.moveaxis(sums_R[..., 3 * BINS :], -1, 0)
        count_RC = sums_RC3E[:, :, 0].sum(-1)
        ece_RC, brier_RC = _calibration(sums_RC3E), ratio(error_RC, count_RC)
        scores = {
            "ece": _calibration(sums_RC3E.sum(1)),
            "brier": ratio(error_RC.sum(1), count_RC.sum(1)),
            "cf1": _cf1(hit_RC, false_RC, missed_RC),
            "of1": _f1(hit_RC.sum(1), false_RC.sum(1), missed_RC.sum(1)),
        }
        for c, name in enumerate(self.categories):
            scores |= {f"ece.{name}": ece_RC[:, c], f"brier.{name}": brier_RC[:, c]}
        return scores


def _each(categories: tuple[str, ...], thresholds: Mapping[str, float | None]) -> tuple[float, ...]:
    """A threshold for every category."""
    for name, cut in thresholds.items():
        if name not in categories:
            raise InvalidMetricInput(
                f"there is a threshold of '{name}', which is no category.",
                remedy=f"Closest: {closest(name, categories)}.",
            )
        if cut is not None and not 0 <= cut < np.inf:
            raise InvalidMetricInput(
                f"the threshold of '{name}' is {cut}, expected a probability.",
                remedy="Give a number from 0 to 1, or None where none can be told.",
            )
    found = [thresholds.get(name) for name in categories]
    return tuple(USUAL_THRESHOLD if cut is None else float(cut) for cut in found)


def _check_values(score_BC: Floats, state_BC: Array) -> None:
    known_BC = state_BC != -1
    valid_BC = (score_BC >= 0) & (score_BC <= 1) & np.isin(state_BC, (0, 1))
    if not valid_BC[known_BC].all():
        wrong_BC = known_BC & ~valid_BC
        raise InvalidMetricInput(
            f"a known entry has probability {score_BC[wrong_BC][0]} and tag "
            f"{state_BC[wrong_BC][0]}, expected a probability from 0 to 1 and a tag 1 (present), "
            "0 (absent) or -1 (unknown).",
            remedy="Apply a sigmoid to the logits; mark unknown tags with -1.",
        )


def _entry_sums(score_C: Floats, state_C: Array, said_C: Array) -> Floats:
    """What one image adds, by category: bins (entries, scores, positives), error, decisions."""
    sums_CS = np.zeros((len(score_C), 3 * BINS + 4))
    c = np.flatnonzero(state_C != -1)
    score, positive, said = score_C[c], state_C[c] == 1, said_C[c]
    bin_ = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    sums_CS[c, bin_] = 1.0
    sums_CS[c, BINS + bin_] = score
    sums_CS[c, 2 * BINS + bin_] = positive
    decisions = ((score - positive) ** 2, said & positive, said & ~positive, ~said & positive)
    sums_CS[c, 3 * BINS :] = np.stack(decisions, axis=1)
    return sums_CS


def _calibration(sums_3E: Floats) -> Floats:
    """Expected calibration error from (entries, scores, positives) by bin on the last two axes."""
    entries, scores, positives = np.moveaxis(sums_3E, -2, 0)
    return ratio(np.abs(scores - positives).sum(-1), entries.sum(-1))


def _f1(hit: Floats, false: Floats, missed: Floats) -> Floats:
    """F1 of counts; NaN without a known positive."""
    return np.where(hit + missed > 0, ratio(2 * hit, 2 * hit + false + missed), np.nan)


def _cf1(hit_RC: Floats, false_RC: Floats, missed_RC: Floats) -> Floats:
    """Harmonic mean of mean precision and mean recall over categories with a known positive."""
    recall_RC = ratio(hit_RC, hit_RC + missed_RC)
    precision_RC = np.nan_to_num(ratio(hit_RC, hit_RC + false_RC))
    precision_RC[np.isnan(recall_RC)] = np.nan
    recall_R, precision_R = mean_defined(recall_RC), mean_defined(precision_RC)
    f1_R = np.nan_to_num(ratio(2 * precision_R * recall_R, precision_R + recall_R))
    return np.where(np.isnan(recall_R), np.nan, f1_R)
