"""Two samples compared: groups are the unit, what is unknown enters nothing."""

import numpy as np
import pytest

from goldseam.audit.drift.comparing import (
    compare_distributions,
    compare_embeddings,
    compare_means,
    group_sums,
)


def sums(value, group, groups):
    value = np.asarray(value, float)[:, None]
    return group_sums(value, ~np.isnan(value), np.asarray(group), groups)


def test_mean_change_of_single_images_is_welch_s_test():
    """Groups of one image, none shared: the linearization is the textbook standard error."""
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    old, new = random.normal(0, 1, 300), random.normal(0.2, 1.5, 400)
    change = compare_means(sums(old, range(300), 700), sums(new, range(300, 700), 700))
    expected = stats.ttest_ind(old, new, equal_var=False).pvalue
    assert change.p_C[0] == pytest.approx(expected, rel=0.05)
    assert change.difference[0] == pytest.approx(new.mean() - old.mean())


def test_mean_change_of_the_same_images_is_the_paired_test():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    old = random.normal(0, 5, 400)
    new = old + random.normal(0.05, 1, 400)
    change = compare_means(sums(old, range(400), 400), sums(new, range(400), 400))
    assert change.p_C[0] == pytest.approx(stats.ttest_rel(old, new).pvalue, rel=0.05)


def test_what_is_unknown_never_enters_a_mean():
    random = np.random.default_rng(0)
    value, group = random.normal(size=(50, 2)), random.integers(0, 9, 50)
    known = random.random((50, 2)) < 0.5
    poisoned = np.where(known, value, np.nan)
    ours, theirs = (group_sums(v, known, group, 9) for v in (value, poisoned))
    assert (ours.value_GC == theirs.value_GC).all()
    assert (ours.count_GC == theirs.count_GC).all()


def test_all_or_nothing_has_a_p_value():
    """No group varies, so there is no variance to estimate: still two groups prove little."""
    few = compare_means(
        sums([0] * 40, [0] * 20 + [1] * 20, 4), sums([1] * 40, [2] * 20 + [3] * 20, 4)
    )
    many = compare_means(sums([0] * 40, range(40), 80), sums([1] * 40, range(40, 80), 80))
    assert 0.05 < few.p_C[0] < 0.5
    assert many.p_C[0] < 1e-6


@pytest.mark.parametrize("shared", [0, 15, 30])
def test_images_of_a_group_are_no_independent_evidence(shared):
    """Under no change 5 % of the tests may raise an alarm, although images of a group are alike."""
    groups = 60 - shared
    alarms = {"share": 0, "distribution": 0}
    for seed in range(300):
        random = np.random.default_rng(seed)
        size = random.integers(1, 20, groups)
        group = np.repeat(np.arange(groups), size)
        level = random.normal(size=groups)[group]
        present = random.random(len(group)) < 1 / (1 + np.exp(-level))
        value = level + random.normal(size=len(group))
        old, new = group < 30, group >= 30 - shared
        share = compare_means(
            sums(present[old], group[old], groups), sums(present[new], group[new], groups)
        )
        alarms["share"] += share.p_C[0] < 0.05
        spread = compare_distributions((value[old], group[old]), (value[new], group[new]), groups)
        alarms["distribution"] += spread.p_value < 0.05
    # 300 draws at 5 % give at most 26 in 99.9 of 100 cases
    assert max(alarms.values()) <= 26, alarms
    assert shared == 30 or min(alarms.values()) >= 1


def test_distributions_that_differ_in_spread_only_are_told_apart():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    old, new = random.normal(0, 1, 500), random.normal(0, 2, 400)
    change = compare_distributions((old, np.arange(500)), (new, 500 + np.arange(400)), 900)
    assert change.p_value < 1e-6
    assert change.gap == pytest.approx(stats.ks_2samp(old, new).statistic)
    deviation = np.concatenate([old, new]).std()
    assert change.shift == pytest.approx(stats.wasserstein_distance(old, new) / deviation)


def test_distribution_of_what_nobody_knows_is_none():
    nothing = (np.array([np.nan, np.nan]), np.array([0, 1]))
    assert compare_distributions(nothing, (np.arange(2.0), np.array([2, 3])), 4) is None


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (2, 1), (0, 2)])
def test_embeddings_are_told_apart_only_when_they_differ(shift, scale):
    alarms = 0
    for seed in range(60 if (shift, scale) == (0, 1) else 6):
        random = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 5)
        place = random.normal(size=(60, 8))[group] * 0.5 + random.normal(size=(300, 8))
        old = group < 30
        new_ND = place[~old] * scale
        new_ND[:, 0] += shift
        change = compare_embeddings(
            (place[old], group[old]), (new_ND, group[~old]), 60, cap=200, seed=seed
        )
        alarms += change.p_value < 0.05
    # 60 draws at 5 % give at most 9 in 99.9 of 100 cases
    assert alarms <= 9 if (shift, scale) == (0, 1) else alarms == 6


def test_embeddings_without_groups_to_cross_fit_are_not_compared():
    values = np.random.default_rng(0).normal(size=(9, 2))
    same = (values, np.zeros(9, int))
    assert compare_embeddings(same, (values, np.ones(9, int)), 2, cap=100, seed=0) is None
    none = (np.full((9, 2), np.nan), np.arange(9))
    assert compare_embeddings(none, (values, np.arange(9)), 9, cap=100, seed=0) is None
