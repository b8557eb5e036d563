"""Tests for images that come in groups: the group, not the image, is what is drawn at random.

Tiles of one scene look alike and are labeled together, so a test that counts images finds what
chance did. Here, groups are independent and images of a group depend on each other in any way.

Legend: N images, G groups, U columns of "known", J columns of the factor, B resamples.
"""

from collections.abc import Iterator

import numpy as np

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.statistics.groups import Groups, standardized_sums
from goldseam.audit.statistics.resampling import resampled_p
from goldseam.dataset.codecs import Array

# from so many groups on, the distribution of many groups is used in place of resampling
MANY_GROUPS = 200
# groups of the rarer kind (level, labeled or not) that it also needs
MANY_OF_EACH = 10
BLOCK = 8


def clustered_test(
    known_NU: Array,
    value_N: Array,
    groups: Groups,
    config: MissingnessConfig,
    random: np.random.Generator,
    *,
    leveled: bool,
) -> tuple[Array, list[str]]:
    """p-values and names of tests that stay valid where the images of a group depend on each other.

    - *The factor is the same within each group* (site of a scene): each group gives one number,
      its surplus of known images, standardized for its size and the likeness within groups, and
      the factor is permuted over groups. Exact for groups of one size, else up to the form of the
      distribution.
    - *Groups are known as a whole, the factor varies*: the same with the roles exchanged.
    - *Both vary*: each group's covariance of "known" and factor is a score of mean 0 where both
      are independent. Its sign is flipped at random, group by group: the wild bootstrap of scores
      (Kline and Santos 2012), valid for any dependence within groups and any group sizes.

    From 200 groups on, the first is a chi-square statistic and the last a Wald test on the scores
    with the F distribution of Hotelling's T².

    Args:
        known_NU: bool, neither all nor none in a column.
        value_N: levels from 0, each of them used, or numbers.
        groups: at least two.
        config: resamples.
        random: of the resampling.
        leveled: whether values are levels.
    """
    column_NJ = _columns(value_N, leveled)
    p_U = np.full(known_NU.shape[1], np.nan)
    if groups.constant(value_N[:, None])[0]:
        residual_GU = standardized_sums(
            groups.sums(known_NU), known_NU.sum(axis=0, dtype=np.float64), groups.size_G
        )
        first_GJ = column_NJ[groups.order_N[groups.starts]]
        p_U[:] = _exchange_factor(first_GJ, residual_GU, leveled, config, random)
        return p_U, ["permutation of groups"] * len(p_U)
    whole_U = groups.constant(known_NU) & (len(groups) < MANY_GROUPS)
    if whole_U.any():
        residual_GJ = standardized_sums(
            groups.sums(column_NJ), (column_NJ**2).sum(axis=0), groups.size_G
        )
        known_GU = known_NU[groups.order_N[groups.starts]][:, whole_U].astype(np.float64)
        p_U[whole_U] = _exchange_known(known_GU, residual_GJ, config, random)
    for block_U in _blocks(np.flatnonzero(~whole_U)):
        score_GUJ = _scores(known_NU[:, block_U], column_NJ, groups)
        p_U[block_U] = _score_test(score_GUJ, leveled, config, random)
    names = {True: "permutation of groups", False: "score test over groups"}
    return p_U, [names[bool(whole)] for whole in whole_U]


def _columns(value_N: Array, leveled: bool) -> Array:
    """Centered columns of a factor: an indicator of each level, or the numbers."""
    column_NJ = value_N[:, None].astype(np.float64)
    if leveled:
        column_NJ = (value_N[:, None] == np.arange(value_N.max() + 1)).astype(np.float64)
    centered_NJ: Array = column_NJ - column_NJ.mean(axis=0)
    return centered_NJ


def _blocks(column_U: Array) -> Iterator[Array]:
    for start in range(0, len(column_U), BLOCK):
        yield column_U[start : start + BLOCK]


def _exchange_factor(
    value_GJ: Array,
    residual_GU: Array,
    leveled: bool,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> Array:
    """Permute what groups have of the factor over their residuals: float U."""
    from scipy.stats import chi2

    groups = len(value_GJ)
    if leveled:
        value_GJ = (value_GJ > 0).astype(np.float64)
        weight_J = 1 / value_GJ.sum(axis=0)
        enough = value_GJ.sum(axis=0).min() >= MANY_OF_EACH
    else:
        value_GJ = _ranked(value_GJ[:, 0])[:, None]
        weight_J, enough = 1 / (value_GJ**2).sum(axis=0), True
    variance_U = (residual_GU**2).sum(axis=0) / (groups - 1)
    scaled_GU = residual_GU / np.sqrt(np.where(variance_U > 0, variance_U, 1))
    observed_U = _weighted_squares(value_GJ.T @ scaled_GU, weight_J)
    if groups >= MANY_GROUPS and enough:
        many_U: Array = chi2.sf(observed_U, max(value_GJ.shape[1] - 1, 1))
        return many_U

    def draw(count: int, columns: Array) -> Array:
        order_BG = random.permuted(np.broadcast_to(np.arange(groups), (count, groups)), axis=1)
        return _weighted_squares(
            value_GJ[order_BG].transpose(0, 2, 1) @ scaled_GU[:, columns], weight_J
        )

    return resampled_p(draw, observed_U, config.resamples, config.most_resamples)


def _exchange_known(
    known_GU: Array, residual_GJ: Array, config: MissingnessConfig, random: np.random.Generator
) -> Array:
    """Permute which groups are known over the residuals of the factor: float U."""
    groups = len(known_GU)
    square_J = (residual_GJ**2).sum(axis=0)
    weight_J = np.divide(1, square_J, out=np.zeros_like(square_J), where=square_J > 0)
    observed_U = _weighted_squares(residual_GJ.T @ known_GU, weight_J)

    def draw(count: int, columns: Array) -> Array:
        order_BG = random.permuted(np.broadcast_to(np.arange(groups), (count, groups)), axis=1)
        return _weighted_squares(
            residual_GJ[order_BG].transpose(0, 2, 1) @ known_GU[:, columns], weight_J
        )

    return resampled_p(draw, observed_U, config.resamples, config.most_resamples)


def _weighted_squares(value_JU: Array, weight_J: Array) -> Array:
    """Sum over J of weighted squares; leading axes stay."""
    weighted_U: Array = (value_JU**2 * weight_J[:, None]).sum(axis=-2)
    return weighted_U


def _ranked(value_G: Array) -> Array:
    _, code_G, count_V = np.unique(value_G, return_inverse=True, return_counts=True)
    ranks_G = (np.cumsum(count_V) - (count_V - 1) / 2)[code_G]
    centered_G: Array = ranks_G - ranks_G.mean()
    return centered_G


def _scores(known_NU: Array, column_NJ: Array, groups: Groups) -> Array:
    """Covariance of "known" and factor, summed over each group: float GUJ."""
    share_U = known_NU.mean(axis=0)
    sum_GJ = groups.sums(column_NJ)
    score_GUJ = np.empty((len(groups), known_NU.shape[1], column_NJ.shape[1]))
    for column in range(column_NJ.shape[1]):
        together_GU = groups.sums(known_NU * column_NJ[:, [column]])
        score_GUJ[:, :, column] = together_GU - share_U * sum_GJ[:, [column]]
    return score_GUJ


def _score_test(
    score_GUJ: Array, leveled: bool, config: MissingnessConfig, random: np.random.Generator
) -> Array:
    """Sign flips of group scores, or the F distribution where enough groups carry weight."""
    p_U = np.full(score_GUJ.shape[1], np.nan)
    square_GUJ = score_GUJ**2
    # groups that would carry the same weight alone; a few large ones count as few
    square_GU = square_GUJ.sum(axis=2)
    heavy_U = square_GU.sum(axis=0) ** 2 / np.maximum((square_GU**2).sum(axis=0), 1e-300)
    many_U = (len(score_GUJ) >= MANY_GROUPS) & (heavy_U >= MANY_GROUPS / 2)
    for column in np.flatnonzero(many_U).tolist():
        # the indicators of all levels add up to 0: one of them says nothing new
        p_U[column] = _hotelling(score_GUJ[:, column, : -1 if leveled else None])
    few = np.flatnonzero(~many_U)
    if len(few):
        p_U[few] = _flipped(_merged(score_GUJ[:, few], random), config, random)
    return p_U


def _hotelling(score_GJ: Array) -> float:
    """Hotelling's T² of scores about zero, as a p-value by the F distribution."""
    from scipy.stats import f as f_distribution

    groups = len(score_GJ)
    total_J = score_GJ.sum(axis=0)
    square_JJ = score_GJ.T @ score_GJ
    rank = int(np.linalg.matrix_rank(square_JJ, hermitian=True))
    if rank == 0 or groups <= rank:
        return 1.0
    # of scores about zero; (groups - statistic) is what the scores scatter about their mean
    statistic = float(total_J @ np.linalg.pinv(square_JJ, hermitian=True) @ total_J)
    ratio = (groups - rank) * statistic / (rank * max(groups - statistic, 1e-12))
    return float(f_distribution.sf(ratio, rank, groups - rank))


def _merged(score_GUJ: Array, random: np.random.Generator) -> Array:
    """At most 500 sets of groups: coarser units stay independent, and cost less to flip."""
    if len(score_GUJ) <= 500:
        return score_GUJ
    set_G = random.permutation(len(score_GUJ)) % 500
    merged = np.zeros((500, *score_GUJ.shape[1:]))
    np.add.at(merged, set_G, score_GUJ)
    return merged


def _flipped(score_GUJ: Array, config: MissingnessConfig, random: np.random.Generator) -> Array:
    """P-values by random signs, one for each group; all signs give the same variances."""
    square_UJ = (score_GUJ**2).sum(axis=0)
    scale_UJ = np.divide(1, np.sqrt(square_UJ), out=np.zeros_like(square_UJ), where=square_UJ > 0)
    scaled_GUJ = score_GUJ * scale_UJ
    groups, _, width = scaled_GUJ.shape
    observed_U = (scaled_GUJ.sum(axis=0) ** 2).sum(axis=1)

    def draw(count: int, columns: Array) -> Array:
        sign_BG = 2.0 * random.integers(2, size=(count, groups)) - 1
        flat_BK = sign_BG @ scaled_GUJ[:, columns].reshape(groups, -1)
        squares_B: Array = (flat_BK.reshape(count, len(columns), width) ** 2).sum(axis=2)
        return squares_B

    return resampled_p(draw, observed_U, config.resamples, config.most_resamples)
