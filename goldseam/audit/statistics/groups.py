"""Images that depend on each other: sums over groups, and how alike the images of a group are.

Legend: N images, G groups, U columns.
"""

import dataclasses
from typing import Self

import numpy as np

from goldseam.dataset.codecs import Array

# summed at once, which bounds the copies
COLUMNS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """A partition of images.

    Attributes:
        code_N: each image's group, 0 to G - 1, each of them used.
        size_G: images of each.
        order_N: images sorted by group.
    """

    code_N: Array
    size_G: Array
    order_N: Array

    @classmethod
    def of(cls, name_N: Array) -> Self:
        """The partition by equal names (any integers)."""
        _, code_N, size_G = np.unique(name_N, return_inverse=True, return_counts=True)
        if len(size_G) == len(code_N):
            return cls(code_N, size_G, code_N)
        return cls(code_N, size_G, np.argsort(code_N, kind="stable"))

    def __len__(self) -> int:
        return len(self.size_G)

    @property
    def single(self) -> bool:
        """True where every image is a group of its own, so images are independent."""
        return len(self.size_G) == len(self.code_N)

    @property
    def starts(self) -> Array:
        """Where each group begins in `order_N`."""
        start_G: Array = np.cumsum(self.size_G) - self.size_G
        return start_G

    def sums(self, value_NU: Array) -> Array:
        """Sum over the images of each group: float64 GU (or G)."""
        if value_NU.ndim == 1:
            return np.bincount(self.code_N, weights=value_NU, minlength=len(self))
        from scipy.sparse import csr_array

        # counts below 2^24 are exact in float32
        kind = np.float32 if value_NU.dtype == bool else np.float64
        ends = np.append(self.starts, len(self.code_N))
        shape = (len(self), len(self.code_N))
        member_GN = csr_array((np.ones(shape[1], kind), self.order_N, ends), shape=shape)
        summed_GU = np.empty((len(self), value_NU.shape[1]))
        for start in range(0, value_NU.shape[1], COLUMNS):
            part = slice(start, start + COLUMNS)
            summed_GU[:, part] = member_GN @ value_NU[:, part].astype(kind)
        return summed_GU

    def constant(self, value_NU: Array) -> Array:
        """Bool U: whether a column has one value in each group."""
        first_NU = value_NU[self.order_N[self.starts]][self.code_N]
        same_U: Array = (first_NU == value_NU).all(axis=0)
        return same_U


def intraclass_correlation(sum_GU: Array, square_U: Array, size_G: Array) -> Array:
    """How alike the images of a group are: one-way ANOVA estimator, cut to 0 to 1; float U.

    Donner (1986), A review of inference procedures for the intraclass correlation coefficient.

    Args:
        sum_GU: of each column over each group.
        square_U: sum of squares of each column over all images.
        size_G: images of each group.
    """
    images, groups = int(size_G.sum()), len(size_G)
    if groups < 2 or groups == images:
        return np.zeros(sum_GU.shape[1])
    between_U = (sum_GU**2 / size_G[:, None]).sum(axis=0)
    total_U = sum_GU.sum(axis=0) ** 2 / images
    mean_between_U = np.maximum(between_U - total_U, 0) / (groups - 1)
    mean_within_U = np.maximum(square_U - between_U, 0) / (images - groups)
    typical = (images - (size_G**2).sum() / images) / (groups - 1)
    spread_U = mean_between_U + (typical - 1) * mean_within_U
    correlation_U = np.divide(
        mean_between_U - mean_within_U, spread_U, out=np.zeros_like(spread_U), where=spread_U > 0
    )
    clipped_U: Array = np.clip(correlation_U, 0, 1)
    return clipped_U


def standardized_sums(sum_GU: Array, square_U: Array, size_G: Array) -> Array:
    """One residual for each group and column, of mean 0 and equal variance where all is null.

    The sum of a group of n images with intraclass correlation r varies by n (1 + (n - 1) r) times
    the variance of an image; divided by its root, small and large groups can be exchanged.
    """
    images = int(size_G.sum())
    mean_U = sum_GU.sum(axis=0) / images
    correlation_U = intraclass_correlation(sum_GU, square_U, size_G)
    size_G1 = size_G[:, None]
    residual_GU = sum_GU - size_G1 * mean_U
    residual_GU /= np.sqrt(size_G1 * (1 + (size_G1 - 1) * correlation_U))
    centered_GU: Array = residual_GU - residual_GU.mean(axis=0)
    return centered_GU


def draw_groups(name_N: Array, most: int, random: np.random.Generator) -> Array:
    """Positions, ascending, of the images of whole groups drawn at random, about `most` in all.

    Groups are taken in random order until the next one would exceed `most`; at least one is.
    """
    if len(name_N) <= most:
        return np.arange(len(name_N))
    groups = Groups.of(name_N)
    order_G = random.permutation(len(groups))
    fits_G = np.cumsum(groups.size_G[order_G]) <= most
    fits_G[0] = True
    taken_G = np.zeros(len(groups), bool)
    taken_G[order_G[fits_G]] = True
    return np.flatnonzero(taken_G[groups.code_N])


def folds_of(groups: Groups, count: int, random: np.random.Generator) -> Array:
    """Fold of each image, 0 to `count` - 1; no group is in two, and folds are of similar size."""
    fold_G = np.zeros(len(groups), np.int64)
    if groups.single:
        fold_G[random.permutation(len(groups))] = np.arange(len(groups)) % count
        return fold_G[groups.code_N]
    shuffled_G = random.permutation(len(groups))
    by_size_G = shuffled_G[np.argsort(-groups.size_G[shuffled_G], kind="stable")]
    # dealt to and fro, as teams are picked, so that the sizes of the folds stay close
    turn_G = np.arange(len(groups)) % (2 * count)
    fold_G[by_size_G] = np.minimum(turn_G, 2 * count - 1 - turn_G)
    return fold_G[groups.code_N]
