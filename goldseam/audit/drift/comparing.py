"""Tests of whether a share, a distribution or an embedding differs between two versions.

Images of a group (a scene, a patient) are alike, and most images stand in both versions, so neither
the images nor the two versions are independent. All tests here are one test: the difference of two
means, with the variance of its linearization over groups (cluster-robust; Cameron and Miller 2015,
with each group's part in both versions taken together). A group that did not change adds nothing
to the variance. Assumed is only that groups are independent of each other, and that there are
enough of them: the reference is Student's t, whose degrees of freedom count the groups that carry
the variance (Satterthwaite).

Legend: N images, G groups of both versions, C columns, D numbers of an embedding, F features.
"""

import dataclasses

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.partial import generator

# random Fourier features beside the embedding itself, so that more than a shift of means is seen
FOURIER = 256
RIDGE = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class MeanChange:
    """Means before and after; NaN where nothing was known.

    Attributes:
        p_C: two-sided; NaN where it cannot be tested.
    """

    before_C: Array
    after_C: Array
    p_C: Array

    @property
    def difference(self) -> Array:
        """After minus before."""
        difference_C: Array = self.after_C - self.before_C
        return difference_C


@dataclasses.dataclass(frozen=True, eq=False)
class GroupSums:
    """Sums over the images of each group.

    Attributes:
        value_GC: sums of values.
        count_GC: numbers of known values.
    """

    value_GC: Array
    count_GC: Array


def group_sums(value_NC: Array, known_NC: Array, group_N: Array, groups: int) -> GroupSums:
    """Add up the known values of each group.

    Args:
        value_NC: numbers; what stands where `known_NC` is False is never read.
        known_NC: bool.
        group_N: of `groups`.
        groups: how many there are.
    """
    order_N = np.argsort(group_N, kind="stable")
    present, start = np.unique(group_N[order_N], return_index=True)
    shape = (groups, value_NC.shape[1])
    value_GC, count_GC = np.zeros(shape), np.zeros(shape)
    if len(present):
        known_NC = known_NC[order_N]
        value_NC = np.where(known_NC, value_NC[order_N], 0)
        value_GC[present] = np.add.reduceat(value_NC, start, axis=0, dtype=np.float64)
        count_GC[present] = np.add.reduceat(known_NC, start, axis=0, dtype=np.float64)
    return GroupSums(value_GC, count_GC)


def compare_means(before: GroupSums, after: GroupSums) -> MeanChange:
    """Test whether the mean of the known values differs.

    Where no group varies (a share of exactly 0 or 1 in both versions), the variance is that of
    groups of one image with one image of either kind added (Agresti and Caffo 2000).
    """
    from scipy.special import stdtr

    old_C, old_GC = _linearized(before)
    new_C, new_GC = _linearized(after)
    part_GC = new_GC - old_GC
    squared_GC = part_GC**2
    variance_C = squared_GC.sum(axis=0)
    fourth_C = (squared_GC**2).sum(axis=0)
    difference_C = new_C - old_C
    # Satterthwaite's degrees of freedom of a sum of squares of normal parts of unequal variances,
    # of which the fourth moment is three times the squared variance
    carriers_C = 3 * variance_C**2 / np.where(fourth_C > 0, fourth_C, 1)
    degrees_C = np.maximum(np.minimum(carriers_C, (part_GC != 0).sum(axis=0)) - 1, 1)
    # rounding leaves a trace of a variance and of a difference where there is none
    still_C = variance_C <= 1e-24
    groups_C = np.minimum((before.count_GC > 0).sum(axis=0), (after.count_GC > 0).sum(axis=0))
    variance_C = variance_C * groups_C / np.maximum(groups_C - 1, 1)  # the means are estimated too
    variance_C = np.where(still_C, _smoothed(before, old_C) + _smoothed(after, new_C), variance_C)
    degrees_C = np.where(still_C, np.maximum(groups_C - 1, 1), degrees_C)
    t_C = np.abs(difference_C) / np.sqrt(variance_C)
    p_C = np.where(np.abs(difference_C) < 1e-12, 1.0, 2 * stdtr(degrees_C, -t_C))
    return MeanChange(old_C, new_C, np.where(np.isnan(difference_C), np.nan, p_C))


def _linearized(sums: GroupSums) -> tuple[Array, Array]:
    """The mean, and each group's part in its error; NaN and 0 where nothing is known."""
    total_C = sums.count_GC.sum(axis=0)
    size_C = np.where(total_C > 0, total_C, np.nan)
    mean_C = sums.value_GC.sum(axis=0) / size_C
    part_GC = (sums.value_GC - np.nan_to_num(mean_C) * sums.count_GC) / np.where(
        total_C > 0, total_C, 1
    )
    return mean_C, part_GC


def _smoothed(sums: GroupSums, mean_C: Array) -> Array:
    groups_C = (sums.count_GC > 0).sum(axis=0)
    share_C = (groups_C * np.clip(np.nan_to_num(mean_C), 0, 1) + 1) / (groups_C + 2)
    variance_C: Array = share_C * (1 - share_C) / (groups_C + 2)
    return variance_C


@dataclasses.dataclass(frozen=True)
class DistributionChange:
    """How a number's distribution changed.

    Attributes:
        before: mean before.
        after: mean after.
        p_value: that of the difference in location or in spread of the ranks, whichever is smaller,
            times two.
        gap: Kolmogorov-Smirnov distance, 0 to 1.
        shift: Wasserstein-1 distance in standard deviations of both versions together.
    """

    before: float
    after: float
    p_value: float
    gap: float
    shift: float


def compare_distributions(
    before: tuple[Array, Array], after: tuple[Array, Array], groups: int
) -> DistributionChange | None:
    """Compare a number's two distributions; NaN is unknown and left out.

    The p-value of a Kolmogorov-Smirnov test takes images for independent; here ranks are compared
    by group instead, in location (as Wilcoxon's test does) and in spread (as Ansari and Bradley's).

    Args:
        before: values and groups of N images.
        after: the same of the other version.
        groups: how many groups there are.

    Returns:
        None where a version has no known value.
    """
    from scipy.stats import rankdata

    (before_N, before_group_N), (after_N, after_group_N) = before, after
    old_known, new_known = np.isfinite(before_N), np.isfinite(after_N)
    old, new = before_N[old_known].astype(np.float64), after_N[new_known].astype(np.float64)
    if not len(old) or not len(new):
        return None
    both = np.concatenate([old, new])
    rank = (rankdata(both) - 0.5) / len(both) - 0.5
    scores = np.stack([rank, np.abs(rank)], axis=1)
    known = np.ones(scores.shape, bool)
    cut = len(old)
    change = compare_means(
        group_sums(scores[:cut], known[:cut], before_group_N[old_known], groups),
        group_sums(scores[cut:], known[cut:], after_group_N[new_known], groups),
    )
    gap, area = _cumulative_gap(old, new)
    deviation = both.std()
    return DistributionChange(
        before=float(old.mean()),
        after=float(new.mean()),
        p_value=float(min(1.0, 2 * change.p_C.min())),
        gap=gap,
        shift=float(area / deviation) if deviation > 0 else 0.0,
    )


def _cumulative_gap(old: Array, new: Array) -> tuple[float, float]:
    """Largest distance between two cumulative distributions, and the area between them."""
    at = np.unique(np.concatenate([old, new]))
    old_share = np.searchsorted(np.sort(old), at, side="right") / len(old)
    new_share = np.searchsorted(np.sort(new), at, side="right") / len(new)
    gap = np.abs(new_share - old_share)
    return float(gap.max()), float(gap[:-1] @ np.diff(at))


@dataclasses.dataclass(frozen=True)
class EmbeddingChange:
    """How well embeddings tell the versions apart.

    Attributes:
        auc: 0.5 when a classifier that never saw them can only guess.
        p_value: one-sided.
        images: compared, of both versions.
    """

    auc: float
    p_value: float
    images: int


def compare_embeddings(
    before: tuple[Array, Array],
    after: tuple[Array, Array],
    groups: int,
    *,
    cap: int,
    seed: int,
) -> EmbeddingChange | None:
    """A classifier two-sample test (Lopez-Paz and Oquab 2017), cross-fitted by group.

    A ridge classifier on the embeddings and their random Fourier features is fitted to one half of
    the groups and scores the other. In each half the ranks of the scores are compared between the
    versions as any mean is.

    Args:
        before: embeddings ND, NaN for an image without one, and groups N.
        after: the same of the other version.
        groups: how many there are.
        cap: images of each version that enter at most.
        seed: of the images that enter, the halves and the features.

    Returns:
        None where a version has no embedding, or there are less than four groups.
    """
    random = generator(seed, "embedding drift")
    parts = []
    for value_ND, group_N in (before, after):
        known = np.flatnonzero(np.isfinite(value_ND).all(axis=1))
        chosen = np.sort(random.permutation(known)[:cap])
        parts.append((value_ND[chosen].astype(np.float64), group_N[chosen]))
    (old_ND, old_group), (new_ND, new_group) = parts
    group_N = np.concatenate([old_group, new_group])
    if not len(old_ND) or not len(new_ND) or len(np.unique(group_N)) < 4:
        return None
    feature_NF = _features(np.concatenate([old_ND, new_ND]), random)
    is_new_N = np.arange(len(feature_NF)) >= len(old_ND)
    half_N = (random.permutation(groups) % 2 == 0)[group_N]
    rank_N = _cross_fitted_ranks(feature_NF, is_new_N, half_N)
    if rank_N is None:
        return None
    changes = [
        compare_means(
            *(
                group_sums(
                    rank_N[part][:, None], np.ones((part.sum(), 1), bool), group_N[part], groups
                )
                for part in (~is_new_N & (half_N == half), is_new_N & (half_N == half))
            )
        )
        for half in (False, True)
    ]
    excess = [float(change.difference[0]) for change in changes]
    two_sided = [float(change.p_C[0]) for change in changes]
    p_values = [p / 2 if e > 0 else 1 - p / 2 for e, p in zip(excess, two_sided, strict=True)]
    return EmbeddingChange(
        # the difference of mean ranks (of 0 to 1) is that of the AUC from a half
        auc=float(np.clip(0.5 + np.mean(excess), 0, 1)),
        # what one half teaches about the other is what the other teaches about it, so the two
        # tests are one seen twice: Bonferroni, not the variance of their mean
        p_value=min(1.0, 2 * min(p_values)),
        images=len(rank_N),
    )


def _features(value_ND: Array, random: np.random.Generator) -> Array:
    """Standardized embeddings, and their random Fourier features of about the median distance."""
    deviation_D = value_ND.std(axis=0)
    value_ND = (value_ND - value_ND.mean(axis=0)) / np.where(deviation_D > 0, deviation_D, 1)
    left, right = random.integers(0, len(value_ND), (2, 1000))
    width = float(np.median(np.linalg.norm(value_ND[left] - value_ND[right], axis=1))) or 1.0
    frequency_DF = random.normal(size=(value_ND.shape[1], FOURIER)) / width
    phase_NF = value_ND @ frequency_DF + random.uniform(0, 2 * np.pi, FOURIER)
    return np.concatenate([value_ND, np.sqrt(2) * np.cos(phase_NF)], axis=1)


def _cross_fitted_ranks(feature_NF: Array, is_new_N: Array, half_N: Array) -> Array | None:
    """Rank (0 to 1) of each image's score within its half, by a classifier of the other half."""
    from scipy.linalg import solve
    from scipy.stats import rankdata

    rank_N = np.zeros(len(is_new_N))
    for half in (False, True):
        fit_N, score_N = half_N != half, half_N == half
        both_kinds = all(0 < is_new_N[part].sum() < part.sum() for part in (fit_N, score_N))
        if not both_kinds:
            return None
        mean_F = feature_NF[fit_N].mean(axis=0)
        centered = feature_NF[fit_N] - mean_F
        target = is_new_N[fit_N] - is_new_N[fit_N].mean()
        gram_FF = centered.T @ centered
        gram_FF[np.diag_indices_from(gram_FF)] += RIDGE * len(centered)
        weight_F = solve(gram_FF, centered.T @ target, assume_a="pos")
        score = (feature_NF[score_N] - mean_F) @ weight_F
        rank_N[score_N] = (rankdata(score) - 0.5) / len(score)
    return rank_N
