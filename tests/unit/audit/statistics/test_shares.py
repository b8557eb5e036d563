"""Shares of what comes in clusters, and the number of observations that it is worth."""

import numpy as np
import pytest

from goldseam.audit.statistics.bootstrap import drawn_estimate, draws, draws_in_blocks
from goldseam.audit.statistics.groups import Groups
from goldseam.audit.statistics.intervals import effective_number, student_95, wilson
from goldseam.audit.statistics.shares import Trials, clustered_wilson, column_shares, shares

stats = pytest.importorskip("scipy.stats")


def test_wilson_is_scipys_and_holds_the_share():
    low_K, high_K = wilson(np.array([0, 0.3, 1]), np.array([10, 10, 10]))
    for hits, low, high in zip((0, 3, 10), low_K, high_K, strict=True):
        expected = stats.binomtest(hits, 10).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert low_K[0] == 0
    assert high_K[2] == 1


def test_student_has_one_degree_of_freedom_less_than_clusters():
    expected = stats.t.ppf(0.975, [1, 1, 9])
    assert student_95(np.array([1, 2, 10])) == pytest.approx(expected)


def test_the_effective_number_is_never_above_the_trials():
    share_K, count_K = np.array([0.5, 0.5, 0.5]), np.array([100, 100, 100])
    found = effective_number(share_K, np.array([0.25 / 20, 0.25 / 500, 0]), count_K)
    assert found == pytest.approx([20, 100, 100])


def test_without_scatter_the_assumed_correlation_tells_how_much_a_cluster_is_worth():
    case = (np.zeros(1), np.zeros(1), np.array([100.0]), np.array([20]))
    highs = [float(clustered_wilson(*case, assumed_correlation=r)[1][0]) for r in (0, 0.05, 1)]
    t = float(student_95(np.array(20)))
    expected = [float(wilson(np.zeros(1), np.array([n]), t)[1][0]) for n in (100, 100 / 1.2, 20)]
    assert highs == pytest.approx(expected)


def test_both_layouts_give_the_same_interval():
    random = np.random.default_rng(0)
    group_N = np.repeat(np.arange(30), 6)
    part_N = random.random(180) < random.uniform(0.1, 0.9, 30)[group_N]
    whole_N1 = np.ones((180, 1), bool)
    column = column_shares(part_N[:, None], whole_N1, Groups.of(group_N)).estimate(0)
    (listed,) = shares([Trials(part_N, np.zeros(180, int), group_N)], 1)
    assert (column.value, column.low, column.high) == pytest.approx(
        (listed.value, listed.low, listed.high)
    )


def test_what_is_not_part_of_the_whole_changes_nothing():
    whole_N1 = (np.arange(40) % 2 == 0)[:, None]
    part_N1 = whole_N1 & (np.arange(40) < 10)[:, None]
    groups = Groups.of(np.arange(40) // 4)
    kept = np.flatnonzero(whole_N1[:, 0])
    alone = column_shares(part_N1[kept], whole_N1[kept], Groups.of(kept // 4)).estimate(0)
    assert column_shares(part_N1, whole_N1, groups).estimate(0) == alone


def test_blocks_of_draws_are_the_draws():
    blocks = list(draws_in_blocks(7, 25, 3, at_once=10))
    assert [len(block) for block in blocks] == [10, 10, 5]
    assert (np.concatenate(blocks) == draws(7, 25, 3)).all()
    assert (blocks[0].sum(axis=1) == 7).all()


@pytest.mark.parametrize(("value", "whole"), [(0.0, 1.0), (1.0, 1.0), (50.0, 50.0)])
def test_draws_that_are_all_alike_do_not_claim_certainty(value, whole):
    found = drawn_estimate(np.full(30, value), 12, whole)
    assert found.value == value
    assert found.high - found.low == pytest.approx(0.2425 * whole, abs=1e-3)
    assert drawn_estimate(np.full(30, value), 1, whole).low is None


def test_shares_of_single_trials_are_wilsons():
    hit_K = np.arange(200) < 30
    trials = Trials(hit_K, np.zeros(200, int), np.arange(200))
    estimate = shares([trials], 1)[0]
    expected = stats.binomtest(30, 200).proportion_ci(method="wilson")
    assert estimate.value == 0.15
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_intervals_of_clustered_trials_cover():
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        share_G = random.beta(2, 8, 40)
        cluster_K = np.repeat(np.arange(40), 25)
        hit_K = random.random(1000) < share_G[cluster_K]
        estimate = shares([Trials(hit_K, np.zeros(1000, int), cluster_K)], 1)[0]
        covered += estimate.low <= 0.2 <= estimate.high
    assert covered >= 180


def test_shares_without_trials_or_clusters():
    nothing = np.zeros(0, int)
    assert shares([Trials(nothing.astype(bool), nothing, nothing)], 2)[1].value is None
    alone = shares([Trials(np.array([True, False]), np.zeros(2, int), np.zeros(2, int))], 1)[0]
    assert (alone.value, alone.low, alone.high) == (0.5, None, None)
    # two kinds of hits, each of a half: three quarters have at least one
    half = Trials(np.arange(100) % 2 == 0, np.zeros(100, int), np.arange(100))
    both = shares([half, half], 1)[0]
    assert both.value == pytest.approx(0.75)
