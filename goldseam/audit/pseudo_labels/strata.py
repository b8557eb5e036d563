"""From known labels to all pseudo-labels: wrong shares by stratum, weighted by where they stand.

A stratum is a bin of the model's confidence, of one category and one state of the pseudo-label.
Labels are often bought where a model is unsure; within a stratum known and unknown entries are
alike, so each stratum's wrong share is taken over to its unknown entries (post-stratification).

Legend: C categories, S states (absent, present), B bins of confidence, K strata, G clusters of
groups, R draws.
"""

import dataclasses

import numpy as np

from goldseam.audit.statistics.bootstrap import drawn_estimate, draws
from goldseam.audit.statistics.intervals import estimate
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

ABSENT, PRESENT = 0, 1
# below this difference between P(given | true) of the two states, given labels say too little
MINIMUM_CONTRAST = 0.1
CATEGORIES_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """Pseudo-labels by stratum.

    Attributes:
        known_GCSB: those of which the known label is there to compare.
        differing_GCSB: those of them that differ from it.
        total_CSB: pseudo-labels to judge.
    """

    known_GCSB: Array
    differing_GCSB: Array
    total_CSB: Array

    def known(self) -> Array:
        """Compared pseudo-labels by category and state: int64 CS."""
        counted: Array = self.known_GCSB.sum(axis=(0, 3)).astype(np.int64)
        return counted

    def differing(self) -> Array:
        """Differing ones by category and state: int64 CS."""
        counted: Array = self.differing_GCSB.sum(axis=(0, 3)).astype(np.int64)
        return counted

    def total(self) -> Array:
        """Pseudo-labels to judge, by category and state: int64 CS."""
        counted: Array = self.total_CSB.sum(axis=2).astype(np.int64)
        return counted


@dataclasses.dataclass(frozen=True, eq=False)
class Expected:
    """Expected wrong pseudo-labels; the first of R is the estimate, the others are draws.

    Attributes:
        wrong_RCS: expected number; NaN where it cannot be told.
        total_CS: pseudo-labels.
        clusters_CS: clusters of groups with a compared label.
    """

    wrong_RCS: Array
    total_CS: Array
    clusters_CS: Array

    def share(self, category: int, state: int) -> Estimate:
        """Expected share of wrong ones."""
        total = self.total_CS[category, state]
        if not total:
            return Estimate(None, better="lower")
        wrong_R = self.wrong_RCS[:, category, state]
        return drawn_estimate(wrong_R / total, int(self.clusters_CS[category, state]))

    def number(self, category: int) -> Estimate:
        """Expected number of wrong ones, absent and present together."""
        states = np.flatnonzero(self.total_CS[category]).tolist()
        if not states:
            return Estimate(None, better="lower")
        clusters = int(self.clusters_CS[category][states].min())
        together = drawn_estimate(self.wrong_RCS[:, category][:, states].sum(axis=1), clusters)
        if together.low is None or not self._constant(category).any():
            return together
        # the draws of one state cannot vary; the sum of both intervals is wide enough for any case
        shares = [self.share(category, state) for state in states]
        total_S = self.total_CS[category][states]
        low, high = (
            float(total_S @ np.array(ends))
            for ends in ([one.low or 0 for one in shares], [one.high or 0 for one in shares])
        )
        return estimate(float(together.value or 0), low, high)

    def overall(self) -> tuple[Estimate, Estimate, Estimate]:
        """Share of "absent", share of "present", and number, over all that can be judged."""
        judged_CS = self.judged()
        wrong_RCS = np.where(judged_CS, self.wrong_RCS, 0)
        total_S = np.where(judged_CS, self.total_CS, 0).sum(axis=0)
        clusters_S = np.where(judged_CS, self.clusters_CS, 0).max(axis=0)
        undefined = Estimate(None, better="lower")
        shares = [
            drawn_estimate(
                wrong_RCS[:, :, state].sum(axis=1) / total_S[state], int(clusters_S[state])
            )
            if total_S[state]
            else undefined
            for state in (ABSENT, PRESENT)
        ]
        if not total_S.any():
            return undefined, undefined, undefined
        whole = float(total_S.sum())
        number = drawn_estimate(wrong_RCS.sum(axis=(1, 2)), int(clusters_S.max()), whole)
        return shares[ABSENT], shares[PRESENT], number

    def judged(self) -> Array:
        """Bool CS: where there are pseudo-labels and it can be told how many are wrong."""
        judged: Array = (self.total_CS > 0) & np.isfinite(self.wrong_RCS[0])
        return judged

    def _constant(self, category: int) -> Array:
        drawn_RS = self.wrong_RCS[:, category]
        some_S = (self.total_CS[category] > 0) & np.isfinite(drawn_RS[0])
        constant_S: Array = some_S & (drawn_RS == drawn_RS[0]).all(axis=0)
        return constant_S


def expected_wrong(
    compared: Compared,
    *,
    minimum: int,
    transition_C22: Array | None,
    resamples: int,
    seed: int,
) -> Expected:
    """Take wrong shares from compared to all pseudo-labels, with draws of whole clusters.

    Neighboring bins are joined until each holds `minimum` compared labels.

    Args:
        compared: counts by stratum.
        minimum: compared labels of a stratum.
        transition_C22: P(given | true) of the known labels, absent before present; None where they
            are taken to be right.
        resamples: number of draws.
        seed: of the draws.
    """
    clusters = len(compared.known_GCSB)
    drawn_RG = np.ones((1, clusters))
    if clusters > 1:
        drawn_RG = np.concatenate([drawn_RG, draws(clusters, resamples, seed)])
    blocks = [
        _wrong(compared, slice(first, first + CATEGORIES_AT_ONCE), drawn_RG, minimum)
        for first in range(0, len(compared.total_CSB), CATEGORIES_AT_ONCE)
    ]
    wrong_RCS, total_CS = np.concatenate(blocks, axis=1), compared.total_CSB.sum(axis=2)
    clusters_CS = (compared.known_GCSB.sum(axis=3) > 0).sum(axis=0)
    if transition_C22 is not None:
        wrong_RCS = _through_noise(wrong_RCS, total_CS, transition_C22)
    return Expected(wrong_RCS, total_CS, clusters_CS)


def _wrong(compared: Compared, block: slice, drawn_RG: Array, minimum: int) -> Array:
    """Expected wrong pseudo-labels of some categories, draw by draw: `R C S`."""
    known_GCSB, differing_GCSB = compared.known_GCSB[:, block], compared.differing_GCSB[:, block]
    _, categories, states, bins = known_GCSB.shape
    stratum_F = _joined_bins(known_GCSB.sum(axis=0), minimum).reshape(-1)
    # bins of one stratum stand side by side
    first_K = np.flatnonzero(np.diff(stratum_F, prepend=-1))

    def by_stratum(counted_XCSB: Array) -> Array:
        flat_XF = counted_XCSB.reshape(len(counted_XCSB), -1)
        summed: Array = np.add.reduceat(flat_XF, first_K, axis=1)
        return summed

    total_K = by_stratum(compared.total_CSB[None, block])[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share_RK = (drawn_RG @ by_stratum(differing_GCSB)) / (drawn_RG @ by_stratum(known_GCSB))
    # a draw without a compared label of a stratum says nothing about it
    share_RK = np.where(np.isnan(share_RK), share_RK[0], share_RK)
    # a stratum without a pseudo-label to judge needs no share
    wrong_RK = np.where(total_K > 0, share_RK * total_K, 0)
    cell_K = first_K // bins
    wrong_RX = np.add.reduceat(wrong_RK, np.flatnonzero(np.diff(cell_K, prepend=-1)), axis=1)
    wrong_RCS: Array = wrong_RX.reshape(-1, categories, states)
    wrong_RCS[:, known_GCSB.sum(axis=(0, 3)) == 0] = np.nan
    return wrong_RCS


def _joined_bins(counted_CSB: Array, minimum: int) -> Array:
    """The stratum of each bin: neighbors share one until it holds `minimum`; the rest joins it."""
    categories, states, bins = counted_CSB.shape
    cells = counted_CSB.reshape(-1, bins)
    number_XB = np.zeros(cells.shape, np.int64)
    current_X, held_X = np.zeros(len(cells), np.int64), np.zeros(len(cells))
    for at in range(bins):
        # begin the next one when this one is full and enough is left to fill it
        left_X = cells[:, at:].sum(axis=1)
        begins_X = (held_X >= minimum) & (left_X >= minimum)
        current_X = current_X + begins_X
        held_X = np.where(begins_X, 0, held_X) + cells[:, at]
        number_XB[:, at] = current_X
    ends_X = np.cumsum(number_XB[:, -1] + 1)
    number_XB[1:] += ends_X[:-1, None]
    return number_XB.reshape(categories, states, bins)


def _through_noise(wrong_RCS: Array, total_CS: Array, transition_C22: Array) -> Array:
    """What differs from noisy labels, turned into what is truly wrong.

    Of pseudo-labels "present" a share w is truly absent, and q is given absent:
    `q = w T[absent, absent] + (1 - w) T[present, absent]`, which is solved for w; likewise for
    "absent". It takes the noise of a known label to depend on the truth alone.
    """
    right_C, leaked_C = (
        np.stack([transition_C22[:, 1, 1], transition_C22[:, 0, 0]], axis=1),
        np.stack([transition_C22[:, 0, 1], transition_C22[:, 1, 0]], axis=1),
    )
    contrast_CS = right_C - leaked_C
    usable_CS = contrast_CS >= MINIMUM_CONTRAST
    with np.errstate(invalid="ignore", divide="ignore"):
        share_RCS = wrong_RCS / total_CS
        true_RCS = (share_RCS - leaked_C) / np.where(usable_CS, contrast_CS, np.nan)
    corrected: Array = np.where(total_CS > 0, np.clip(true_RCS, 0, 1) * total_CS, wrong_RCS)
    return corrected
