"""Is being known independent of a factor: tests of many columns at once, and their effect sizes.

Where every image is a group of its own, the tests are the classic ones. Where images come in
groups, `clustered` tests with the group as the unit that is drawn.

Legend: N images, U columns of "known" (tasks or categories), L levels, B resamples.
"""

import dataclasses

import numpy as np

from goldseam.audit.missingness.clustered import clustered_test
from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.factors import Factor
from goldseam.audit.statistics.groups import Groups
from goldseam.audit.statistics.resampling import resampled_p
from goldseam.dataset.codecs import Array

CRAMER, RANK = "Cramér's V", "rank-biserial correlation"
# below five expected images in a cell chi-square is no longer to be trusted (Cochran 1954)
ENOUGH_EXPECTED = 5
# fewer labeled (or unlabeled) images than this are ranked by permutation
ENOUGH_RANKED = 20
CHUNK = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Association:
    """How U columns of "known" go with one factor.

    Attributes:
        images: that entered: those the factor applies to.
        groups: that they stand in.
        levels: of the factor, or `low` and `high` third (and what is between) of a number.
        size_L: images of each level.
        known_LU: known ones among them.
        test: name of the test of each column; empty where there is none.
        p_U: NaN where it cannot be tested.
        effect_U: NaN likewise.
        effect_name: what it is.
        why_not: of each column; empty where it was tested.
    """

    images: int
    groups: int
    levels: tuple[str, ...]
    size_L: Array
    known_LU: Array
    test: tuple[str, ...]
    p_U: Array
    effect_U: Array
    effect_name: str
    why_not: tuple[str, ...]


def associate(
    known_NU: Array,
    factor: Factor,
    group_N: Array,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> Association:
    """Test each column of "known" against a factor, among the images the factor applies to.

    Independent images, levels: Pearson's chi-square; where fewer than five are expected in a cell,
    Fisher's exact test for two levels, else its Monte Carlo form with fixed margins. Independent
    images, numbers: Mann-Whitney with ties corrected, or its permutation form below 20 known or
    unknown images. Groups: see `clustered_test`.

    Args:
        known_NU: bool.
        factor: of the N images.
        group_N: integers; images of equal number may depend on each other.
        config: resamples.
        random: of the resampling.
    """
    row_M = np.flatnonzero(factor.applies)
    factor = factor.take(row_M)
    if len(row_M) < len(known_NU):
        known_NU, group_N = known_NU[row_M], group_N[row_M]
    groups = Groups.of(group_N)
    images, columns = known_NU.shape
    rank_N = None if factor.levels else centered_ranks(factor.value_N)
    code_N, levels = (factor.value_N, factor.levels) if rank_N is None else _thirds(rank_N)
    size_L = np.bincount(code_N, minlength=len(levels))
    known_LU = level_sums(code_N, len(levels), known_NU)
    total_U = known_LU.sum(axis=0)
    why_not = _why_not(total_U, images, bool(np.count_nonzero(size_L) < 2), len(groups))
    open_U = np.array([number for number, why in enumerate(why_not) if not why], np.int64)
    p_U, effect_U = np.full(columns, np.nan), np.full(columns, np.nan)
    tests = [""] * columns
    if len(open_U):
        open_NU = known_NU if len(open_U) == columns else known_NU[:, open_U]
        table_LU = known_LU[:, open_U]
        p_U[open_U], effect_U[open_U], names = (
            _of_levels(open_NU, code_N, table_LU, groups, config, random)
            if rank_N is None
            else _of_ranks(open_NU, rank_N, groups, config, random)
        )
        for number, name in zip(open_U.tolist(), names, strict=True):
            tests[number] = name
    return Association(
        images=images,
        groups=len(groups),
        levels=levels,
        size_L=size_L,
        known_LU=known_LU,
        test=tuple(tests),
        p_U=p_U,
        effect_U=effect_U,
        effect_name=CRAMER if rank_N is None else RANK,
        why_not=why_not,
    )


def _of_levels(
    known_NU: Array,
    code_N: Array,
    known_LU: Array,
    groups: Groups,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> tuple[Array, Array, list[str]]:
    """Give p-values, Cramér's V and names of the tests against levels."""
    size_L = np.bincount(code_N, minlength=len(known_LU))
    chi_U = chi_square(known_LU, size_L)
    effect_U = cramers_v(chi_U, len(code_N), len(size_L))
    if groups.single:
        p_U, names = _level_tests(known_LU, size_L, chi_U, config, random)
    else:
        p_U, names = clustered_test(known_NU, code_N, groups, config, random, leveled=True)
    return p_U, effect_U, names


def _of_ranks(
    known_NU: Array,
    rank_N: Array,
    groups: Groups,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> tuple[Array, Array, list[str]]:
    """Give p-values, rank-biserial correlations and names of the tests against numbers."""
    if groups.single:
        p_U, names = _rank_tests(rank_N, known_NU, config, random)
    else:
        p_U, names = clustered_test(known_NU, rank_N, groups, config, random, leveled=False)
    return p_U, rank_biserial(rank_N, known_NU), names


def _why_not(total_U: Array, images: int, constant: bool, groups: int) -> tuple[str, ...]:
    if not images:
        return ("there is no image where it is recorded",) * len(total_U)
    if constant:
        return (f"it is the same on all {images:,} images where it is recorded",) * len(total_U)
    if groups < 2:
        return ("all images are of one group, so there is nothing to compare",) * len(total_U)
    words = {0: f"none of the {images:,} images is labeled", images: "all images are labeled"}
    return tuple(words.get(int(total), "") for total in total_U)


def centered_ranks(value_N: Array) -> Array:
    """Ranks of numbers, equal ones sharing the mean of theirs, less the mean rank; float64 N."""
    _, code_N, count_V = np.unique(value_N, return_inverse=True, return_counts=True)
    middle_V = np.cumsum(count_V) - (count_V - 1) / 2
    ranks_N: Array = middle_V[code_N] - (len(value_N) + 1) / 2
    return ranks_N


def _thirds(rank_N: Array) -> tuple[Array, tuple[str, ...]]:
    """Lowest and highest third, at least the lowest and highest value: what sentences compare."""
    code_N = np.ones(len(rank_N), np.int64)
    if len(rank_N):
        edge = len(rank_N) / 6  # ranks are centered
        code_N[rank_N <= max(-edge, rank_N.min())] = 0
        code_N[(rank_N >= min(edge, rank_N.max())) & (rank_N > rank_N.min())] = 2
    return code_N, ("low", "middle", "high")


def level_sums(code_N: Array, levels: int, value_NU: Array) -> Array:
    """Known images of each level and column, by matrix products over chunks: float64 LU."""
    summed_LU = np.zeros((levels, value_NU.shape[1]))
    for start in range(0, len(code_N), CHUNK):
        part = slice(start, start + CHUNK)
        # counts of a chunk are exact in float32
        one_LN = (np.arange(levels)[:, None] == code_N[part]).astype(np.float32)
        summed_LU += one_LN @ value_NU[part].astype(np.float32)
    return summed_LU


def chi_square(known_LU: Array, size_L: Array) -> Array:
    """Pearson's statistic of the tables level × (known, unknown): float U."""
    share_U = known_LU.sum(axis=0) / size_L.sum()
    spread_LU = size_L[:, None] * (share_U * (1 - share_U))
    excess_LU = known_LU - size_L[:, None] * share_U
    terms_LU = np.divide(excess_LU**2, spread_LU, out=np.zeros_like(excess_LU), where=spread_LU > 0)
    statistic_U: Array = terms_LU.sum(axis=0)
    return statistic_U


def cramers_v(chi_U: Array, images: int, levels: int) -> Array:
    """Cramér's V of a table with two columns, corrected for bias (Bergsma 2013); 0 to 1."""
    if images < 2:
        return np.zeros_like(chi_U)
    excess_U = np.maximum(0, chi_U / images - (levels - 1) / (images - 1))
    # of min(levels, 2) - 1 = 1 degree, less its own bias
    room = min(levels - (levels - 1) ** 2 / (images - 1), 2 - 1 / (images - 1)) - 1
    value_U: Array = np.minimum(np.sqrt(excess_U / room), 1) if room > 0 else np.zeros_like(chi_U)
    return value_U


def rank_biserial(rank_N: Array, known_NU: Array) -> Array:
    """2 AUC - 1: positive where known images have the higher values; float U in [-1, 1]."""
    images, known_U = len(rank_N), known_NU.sum(axis=0)
    effect_U: Array = 2 * images * rank_sums(rank_N, known_NU) / (known_U * (images - known_U))
    return effect_U / images


def rank_sums(rank_N: Array, known_NU: Array) -> Array:
    """Sum of centered ranks over the known images of each column: float64 U."""
    summed_U = np.zeros(known_NU.shape[1])
    for start in range(0, len(rank_N), CHUNK):
        part = slice(start, start + CHUNK)
        summed_U += rank_N[part] @ known_NU[part].astype(np.float64)
    return summed_U


def _level_tests(
    known_LU: Array,
    size_L: Array,
    chi_U: Array,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> tuple[Array, list[str]]:
    from scipy.stats import chi2

    images, levels = int(size_L.sum()), len(size_L)
    total_U = known_LU.sum(axis=0)
    p_U = chi2.sf(chi_U, levels - 1)
    names = ["chi-square test"] * len(total_U)
    expected_U = size_L.min() * np.minimum(total_U, images - total_U) / images
    for column in np.flatnonzero(expected_U < ENOUGH_EXPECTED).tolist():
        known_L = known_LU[:, column].astype(np.int64)
        if levels == 2:
            p_U[column] = _fisher(known_L, size_L)
            names[column] = "Fisher's exact test"
        else:
            p_U[column] = _monte_carlo(known_L, size_L, float(chi_U[column]), config, random)
            names[column] = "chi-square test by permutation"
    return p_U, names


def _fisher(known_L: Array, size_L: Array) -> float:
    from scipy.stats import fisher_exact

    return float(fisher_exact(np.stack([known_L, size_L - known_L])).pvalue)


def _monte_carlo(
    known_L: Array,
    size_L: Array,
    statistic: float,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> float:
    """P-value of chi-square given both margins, by tables drawn from their exact distribution."""
    total = int(known_L.sum())

    def draw(count: int, _columns: Array) -> Array:
        known_BL = random.multivariate_hypergeometric(size_L, total, size=count, method="marginals")
        return chi_square(known_BL.T.astype(np.float64), size_L)[:, None]

    observed = np.array([statistic])
    return float(resampled_p(draw, observed, config.resamples, config.most_resamples)[0])


def _rank_tests(
    rank_N: Array, known_NU: Array, config: MissingnessConfig, random: np.random.Generator
) -> tuple[Array, list[str]]:
    from scipy.special import ndtr

    images = len(rank_N)
    known_U = known_NU.sum(axis=0)
    sum_U = rank_sums(rank_N, known_NU)
    variance_U = known_U * (images - known_U) / (images * (images - 1)) * float(rank_N @ rank_N)
    p_U = np.minimum(2 * ndtr(-np.abs(sum_U) / np.sqrt(variance_U)), 1)
    names = ["Mann-Whitney test"] * len(known_U)
    few_U = np.minimum(known_U, images - known_U)
    for column in np.flatnonzero(few_U < ENOUGH_RANKED).tolist():

        def draw(count: int, _columns: Array, size: int = int(few_U[column])) -> Array:
            sum_B1: Array = rank_N[_subsets(images, size, count, random)].sum(axis=1)[:, None]
            return np.abs(sum_B1)

        # the ranks of known and of unknown images add up to 0: the fewer tell all
        observed = np.abs(sum_U[[column]])
        p_U[column] = resampled_p(draw, observed, config.resamples, config.most_resamples)[0]
        names[column] = "Mann-Whitney test by permutation"
    return p_U, names


def _subsets(images: int, size: int, count: int, random: np.random.Generator) -> Array:
    """Random sets of `size` of N positions, each set equally likely: int (count, size)."""
    if images <= 50 * size:
        every_BN = np.broadcast_to(np.arange(images), (count, images))
        first_BS: Array = random.permuted(every_BN, axis=1)[:, :size]
        return first_BS
    drawn_BS: Array = random.integers(images, size=(count, size))
    while True:
        # a set with a repetition is drawn anew as a whole, which keeps the rest uniform
        sorted_BS = np.sort(drawn_BS, axis=1)
        again_B = (sorted_BS[:, 1:] == sorted_BS[:, :-1]).any(axis=1)
        if not again_B.any():
            return drawn_BS
        drawn_BS[again_B] = random.integers(images, size=(int(again_B.sum()), size))
