"""What makes a label worth less or more than the model of its column says.

Less: another label of the same group or of a copy of the image says much of the same. More: images
of its kind are labeled too rarely. Legend: N images that may be bought for, M some of them, U
columns, G groups, K neighbors, L levels of a metadata column.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.audit.missingness.factors import Factor, metadata_factors
from goldseam.audit.plan.offers import Offers
from goldseam.dataset.codecs import UNKNOWN, Array
from goldseam.results import MissingnessTest

# how alike the labels of two copies of one image are; not 1, since annotators differ
COPY_CORRELATION = 0.9
# copies of one image that are looked at
COPIES = 16
LEVELS = 12
QUANTILES = 5


def effective_share(known: Array, correlation: float) -> Array:
    """What the next label of a cluster is worth, of one that stands alone.

    k labels whose intraclass correlation is r weigh as k / (1 + (k - 1) r) independent ones (design
    effect, Kish 1965); this is the difference of that at k + 1 and at k.

    Args:
        known: k, any shape.
        correlation: r, 0 to below 1.
    """
    before = np.maximum(known - 1, 0) * correlation
    share: Array = (1 - correlation) / ((1 + known * correlation) * (1 + before))
    return np.where(known > 0, share, 1.0)


class Redundancy:
    """Counts labels of groups and of copies, known and bought.

    Args:
        offers: what is known and can be bought.
        group_N: any integers.
        look_ND: what images look like; its first column, which is 1 for all, says nothing.
        correlation: of labels of one group.
        near: distance below which two images are copies, as a share of a typical one.
    """

    def __init__(
        self, offers: Offers, group_N: Array, look_ND: Array, *, correlation: float, near: float
    ) -> None:
        _, self._group_N = np.unique(group_N, return_inverse=True)
        groups = int(self._group_N.max(initial=-1)) + 1
        self._offers = offers
        self._correlation = correlation
        self._look_NK = look_ND[:, 1:]
        self._near = near
        self._bought: dict[int, set[int]] = {}
        # of images that are groups of their own there is nothing to count
        self._count_GU: Array | None = None
        if groups < len(group_N) and correlation:
            self._count_GU = np.concatenate(
                [self._counts(one.state_NC, groups) for one in offers.tasks], axis=1
            )
        self._copy_of: dict[int, Array] = {}

    def _counts(self, state_NC: Array, groups: int) -> Array:
        counted = [
            np.bincount(self._group_N[state_N >= 0], minlength=groups) for state_N in state_NC.T
        ]
        return np.stack(counted, axis=1).astype(np.float32)

    def look_for_copies(self, row_M: Array) -> None:
        """Find the copies of some images, among all."""
        if not self._look_NK.shape[1] or not self._near or not len(row_M):
            return
        from scipy.spatial import cKDTree

        # the root mean squared distance of two random images
        typical = float(np.sqrt(2 * self._look_NK.var(axis=0, dtype=np.float64).sum()))
        known_rows = np.arange(len(self._look_NK))
        tree = cKDTree(self._look_NK)
        _, near_MK = tree.query(
            self._look_NK[row_M],
            k=min(COPIES + 1, len(known_rows)),
            distance_upper_bound=self._near * typical,
        )
        near_MK = near_MK.reshape(len(row_M), -1)
        for row, near_K in zip(row_M.tolist(), near_MK, strict=True):
            found_K = near_K[(near_K < len(known_rows)) & (near_K != row)]
            if len(found_K):
                self._copy_of[row] = found_K

    def shares(self, row_M: Array) -> Array:
        """What the labels of some images are worth beside those of their groups; `MU` or 1."""
        if self._count_GU is None:
            return np.ones((1, 1), np.float32)
        count_MU = self._count_GU[self._group_N[row_M]]
        return effective_share(count_MU, self._correlation).astype(np.float32)

    def shares_of(self, row: int) -> Array:
        """The same of one image, beside its group and its copies; `U` or 1."""
        share_U: Array = self.shares(np.array([row]))[0]
        copy_K = self._copy_of.get(row)
        if copy_K is None:
            return share_U
        known_KU = self._offers.known(copy_K)
        for place, copy in enumerate(copy_K.tolist()):
            known_KU[place, list(self._bought.get(copy, ()))] = True
        return share_U * effective_share(known_KU.sum(axis=0), COPY_CORRELATION)

    def buy(self, row: int, column: int) -> None:
        """Count a label as known from now on."""
        self._bought.setdefault(row, set()).add(column)
        if self._count_GU is not None:
            self._count_GU[self._group_N[row], column] += 1


@dataclasses.dataclass(frozen=True, eq=False)
class Correction:
    """More for images of a kind that is labeled too rarely.

    Attributes:
        level_of: factor → level N of each image.
        factor_U: the factor of each column; None for none.
        weight_UL: rate of all images over that of a level, within limits; one list a column.
    """

    level_of: dict[str, Array]
    factor_U: tuple[str | None, ...]
    weight_UL: tuple[Array, ...]

    def weights(self, row_M: Array) -> Array:
        """float32 `MU`, or 1 where nothing is corrected."""
        if not any(self.factor_U):
            return np.ones((1, 1), np.float32)
        weight_MU = np.ones((len(row_M), len(self.factor_U)), np.float32)
        for column, factor in enumerate(self.factor_U):
            if factor is not None:
                weight_MU[:, column] = self.weight_UL[column][self.level_of[factor][row_M]]
        return weight_MU


def correction_of(
    labels: LabelSide,
    row_N: Array,
    offers: Offers,
    tests: Sequence[MissingnessTest],
    limit: float,
) -> Correction:
    """Inverse propensities by the metadata column on which a column's gaps depend most.

    Images stand for others like them in proportion to 1 / P(labeled | level) (Horvitz and Thompson
    1952). Only columns whose test was significant are corrected; numbers are cut into fifths.

    Args:
        labels: the label side.
        row_N: the images that may be bought for.
        offers: what is known of them.
        tests: of missingness. The first of several for one column and factor counts.
        limit: weights stay between this and one over it.
    """
    factors = {one.name: one for one in metadata_factors(labels, row_N, LEVELS)} if tests else {}
    found: list[tuple[str | None, Array]] = []
    level_of: dict[str, Array] = {}
    for one in offers.tasks:
        for category, state_N in zip(one.categories, one.state_NC.T, strict=True):
            name = _strongest(tests, factors, one.task, category) if limit > 1 else None
            if name is None:
                found.append((None, np.ones(1)))
                continue
            level_N = level_of.setdefault(name, _levels(factors[name]))
            found.append((name, _weights(state_N != UNKNOWN, level_N, limit)))
    return Correction(level_of, tuple(n for n, _ in found), tuple(w for _, w in found))


def _weights(known_N: Array, level_N: Array, limit: float) -> Array:
    # one image at the rate of all, so that an empty level is no division by zero
    overall = (known_N.sum() + 0.5) / (len(known_N) + 1)
    known_L = np.bincount(level_N, weights=known_N) + overall
    weight_L: Array = np.clip(overall * (np.bincount(level_N) + 1) / known_L, 1 / limit, limit)
    return weight_L


def _strongest(
    tests: Sequence[MissingnessTest], factors: dict[str, Factor], task: str, category: str | None
) -> str | None:
    effects: dict[str, float] = {}
    for test in tests:
        fits = test.task == task and test.category in (None, category)
        if fits and test.factor in factors and test.strength != "none" and test.effect is not None:
            effects.setdefault(test.factor, abs(test.effect))
    return max(effects, key=lambda name: (effects[name], name)) if effects else None


def _levels(factor: Factor) -> Array:
    """Level of each image from 0; the first is for images without a value."""
    if factor.levels:
        return factor.value_N + 1
    finite_N = np.isfinite(factor.value_N)
    cut = np.quantile(factor.value_N[finite_N], np.linspace(0, 1, QUANTILES + 1)[1:-1])
    level_N: Array = np.where(finite_N, 1 + np.searchsorted(cut, factor.value_N, side="right"), 0)
    return level_N
