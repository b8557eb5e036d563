"""Tests of single columns, against SciPy and against full enumeration."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.factors import Factor
from goldseam.audit.missingness.independence import associate
from goldseam.audit.statistics.discovery import false_discovery_q
from goldseam.audit.statistics.groups import (
    Groups,
    draw_groups,
    folds_of,
    intraclass_correlation,
)

CONFIG = MissingnessConfig(most_resamples=4999, resamples=4999)


def random(seed=0):
    return np.random.default_rng(seed)


def leveled(code_N, count=None):
    count = int(code_N.max()) + 1 if count is None else count
    return Factor("site", "metadata", code_N, tuple(f"s{level}" for level in range(count)))


def numbers(value_N):
    return Factor("brightness", "image", value_N)


def run(known_NU, factor, group_N=None, config=CONFIG):
    group_N = np.arange(len(known_NU)) if group_N is None else group_N
    return associate(known_NU, factor, group_N, config, random(9))


def test_chi_square_of_many_columns_is_that_of_scipy_for_each():
    code_N = random(1).integers(4, size=500)
    known_NU = random(2).random((500, 7)) < np.linspace(0.2, 0.8, 7)
    found = run(known_NU, leveled(code_N))
    for column in range(7):
        table = stats.contingency.crosstab(code_N, known_NU[:, column]).count
        expected = stats.chi2_contingency(table, correction=False)
        assert found.test[column] == "chi-square test"
        assert found.p_U[column] == pytest.approx(expected.pvalue, rel=1e-9)


def test_small_tables_are_tested_exactly():
    code_N = np.repeat([0, 1], [6, 9])
    known_NU = np.zeros((15, 1), bool)
    known_NU[[0, 1, 2, 3, 7], 0] = True
    found = run(known_NU, leveled(code_N))
    expected = stats.fisher_exact([[4, 2], [1, 8]]).pvalue
    assert found.test == ("Fisher's exact test",)
    assert found.p_U[0] == pytest.approx(expected)


def test_small_tables_of_three_levels_are_near_full_enumeration():
    code_N = np.repeat([0, 1, 2], [4, 4, 3])
    known = (0, 1, 2, 8)
    known_NU = np.zeros((11, 1), bool)
    known_NU[list(known), 0] = True

    def statistic(chosen):
        seen_L = np.bincount(code_N[list(chosen)], minlength=3)
        size_L = np.bincount(code_N)
        return ((seen_L - size_L * 4 / 11) ** 2 / size_L).sum()

    every = [statistic(chosen) for chosen in itertools.combinations(range(11), 4)]
    exact = np.mean(np.array(every) >= statistic(known) - 1e-9)
    found = run(known_NU, leveled(code_N))
    assert found.test == ("chi-square test by permutation",)
    assert found.p_U[0] == pytest.approx(exact, abs=0.03)


def test_ranks_with_ties_are_tested_as_scipy_does():
    value_N = random(3).integers(12, size=300).astype(float)
    known_NU = random(4).random((300, 3)) < 0.3 + value_N[:, None] / 60
    found = run(known_NU, numbers(value_N))
    for column in range(3):
        inside_N = known_NU[:, column]
        # our variance is that of the permutation distribution, as is SciPy's with ties
        expected = stats.mannwhitneyu(
            value_N[inside_N], value_N[~inside_N], method="asymptotic", use_continuity=False
        )
        assert found.p_U[column] == pytest.approx(expected.pvalue, rel=1e-6)
        auc = roc_auc_score(inside_N, value_N)
        assert found.effect_U[column] == pytest.approx(2 * auc - 1)


def test_few_known_images_are_ranked_by_permutation():
    value_N = random(5).normal(size=24)
    known_NU = np.zeros((24, 1), bool)
    known_NU[np.argsort(value_N)[[3, 15, 18, 22, 23]], 0] = True
    found = run(known_NU, numbers(value_N))
    inside_N = known_NU[:, 0]
    expected = stats.mannwhitneyu(value_N[inside_N], value_N[~inside_N], method="exact").pvalue
    assert found.test == ("Mann-Whitney test by permutation",)
    assert found.p_U[0] == pytest.approx(expected, abs=0.03)


def test_effects_are_one_where_the_factor_tells_all_and_near_none_where_it_tells_nothing():
    code_N = random(6).integers(3, size=3000)
    known_NU = np.stack([code_N == 0, random(7).random(3000) < 0.5], axis=1)
    found = run(known_NU, leveled(code_N))
    assert found.effect_U[0] == pytest.approx(1, abs=0.01)
    assert found.effect_U[1] < 0.05


def test_images_without_the_factor_do_not_enter():
    value_N = np.append(random(8).normal(size=60), np.full(40, np.nan))
    known_NU = random(9).random((100, 1)) < 0.5
    found = run(known_NU, numbers(value_N))
    known_NU[60:] ^= True
    again = run(known_NU, numbers(value_N))
    assert found.images == again.images == 60
    assert found.p_U[0] == again.p_U[0]


@pytest.mark.parametrize(
    ("known_N", "code_N", "why"),
    [
        (np.ones(20, bool), np.arange(20) % 2, "all images are labeled"),
        (np.zeros(20, bool), np.arange(20) % 2, "none of the 20 images"),
        (np.arange(20) < 5, np.zeros(20, int), "the same on all 20"),
        (np.arange(20) < 5, np.full(20, -1), "no image where it is recorded"),
    ],
)
def test_what_cannot_be_tested_says_why(known_N, code_N, why):
    found = run(known_N[:, None], leveled(code_N, 2))
    assert why in found.why_not[0]
    assert np.isnan(found.p_U[0])
    assert np.isnan(found.effect_U[0])


def test_images_of_one_group_cannot_be_compared():
    found = run((np.arange(20) < 5)[:, None], leveled(np.arange(20) % 2), np.zeros(20, int))
    assert "one group" in found.why_not[0]


def test_a_site_of_whole_groups_is_tested_by_exchanging_groups():
    """Three groups of each of two sites: 20 ways to part them, 2 as extreme as what is seen."""
    group_N = np.repeat(np.arange(6), 5)
    code_N = (group_N >= 3).astype(int)
    known_N1 = (code_N == 1)[:, None]
    found = run(known_N1, leveled(code_N), group_N)
    assert found.test == ("permutation of groups",)
    assert found.p_U[0] == pytest.approx(2 / 20, abs=0.02)
    # thirty images that count one by one would be sure
    assert run(known_N1, leveled(code_N)).p_U[0] < 1e-5


def test_groups_labeled_as_a_whole_are_exchanged_too():
    group_N = np.repeat(np.arange(6), 5)
    value_N = group_N + random(10).random(30)
    found = run((group_N >= 3)[:, None], numbers(value_N), group_N)
    assert found.test == ("permutation of groups",)
    assert found.p_U[0] == pytest.approx(2 / 20, abs=0.02)


@pytest.mark.parametrize(("groups", "size"), [(25, 12), (300, 4)])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("ranked", [True, False])
def test_alike_groups_are_not_taken_for_a_finding(groups, size, whole, ranked):
    """Nothing depends on anything, but the images of a group are alike in both."""
    below = naive_below = 0
    quick = MissingnessConfig(resamples=199, most_resamples=199)
    for seed in range(60):
        draw = random([seed, groups])
        group_N = np.repeat(np.arange(groups), size)
        effect_G2 = 1.5 * draw.normal(size=(groups, 2))
        noise_N2 = draw.normal(size=(len(group_N), 2)) * [0 if whole else 1, 1]
        value_N, margin_N = (effect_G2[group_N] + noise_N2).T
        code_N = np.searchsorted(np.quantile(value_N, [0.3, 0.6]), value_N)
        factor = numbers(value_N) if ranked else leveled(code_N)
        known_N1 = (margin_N < -0.5)[:, None]
        below += run(known_N1, factor, group_N, quick).p_U[0] < 0.05
        naive_below += run(known_N1, factor, None, quick).p_U[0] < 0.05
    # 60 tests at a level of 0.05 give more than 9 in one of 1,000 cases
    assert below <= 9
    assert naive_below > 9


@pytest.mark.parametrize(("groups", "size"), [(40, 12), (300, 4)])
def test_a_dependence_is_found_in_spite_of_groups(groups, size):
    draw = random(groups)
    group_N = np.repeat(np.arange(groups), size)
    value_N = draw.normal(size=groups)[group_N] + draw.normal(size=len(group_N))
    margin_N = value_N + draw.normal(size=groups)[group_N] + draw.normal(size=len(group_N))
    found = run((margin_N > 0)[:, None], numbers(value_N), group_N)
    assert found.p_U[0] < 0.001
    assert found.effect_U[0] > 0.4


def test_order_of_images_and_names_of_groups_do_not_matter():
    draw = random(11)
    group_N = np.repeat(np.arange(300), 3)
    value_N, known_N1 = draw.normal(size=900), draw.random((900, 1)) < 0.4
    order_N = draw.permutation(900)
    found = run(known_N1, numbers(value_N), group_N)
    again = run(known_N1[order_N], numbers(value_N[order_N]), 7 * group_N[order_N] + 3)
    assert again.p_U[0] == pytest.approx(found.p_U[0])


def test_likeness_within_groups():
    size_G = np.full(400, 5)
    group_N = np.repeat(np.arange(400), 5)
    draw = random(12)
    value_N2 = draw.normal(size=(2000, 2)) + [[0, 2]] * draw.normal(size=400)[group_N][:, None]
    sum_G2 = Groups.of(group_N).sums(value_N2)
    found = intraclass_correlation(sum_G2, (value_N2**2).sum(axis=0), size_G)
    assert found == pytest.approx([0, 0.8], abs=0.05)


def test_folds_and_draws_keep_groups_whole():
    group_N = np.repeat(np.arange(50), random(13).integers(1, 20, size=50))
    fold_N = folds_of(Groups.of(group_N), 5, random(14))
    assert all(len(np.unique(fold_N[group_N == group])) == 1 for group in range(50))
    assert np.ptp(np.bincount(fold_N)) < 0.3 * len(group_N) / 5
    row_M = draw_groups(group_N, 100, random(15))
    assert 0 < len(row_M) <= 100
    assert not set(group_N[row_M]) & set(np.delete(group_N, row_M))


@pytest.mark.parametrize(
    ("control", "method"), [("benjamini_hochberg", "bh"), ("benjamini_yekutieli", "by")]
)
def test_q_values_are_those_of_scipy_and_none_stays_none(control, method):
    p_values = [0.01, None, 0.02, 0.6, 0.03, None, 0.5]
    found = false_discovery_q(p_values, control)
    tested = [p for p in p_values if p is not None]
    expected = stats.false_discovery_control(tested, method=method)
    assert [q is None for q in found] == [p is None for p in p_values]
    assert [q for q in found if q is not None] == pytest.approx(expected)
    assert false_discovery_q([None]) == [None]
