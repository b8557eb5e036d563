"""Protocols and budgets: row sums, balance, eligibility, nesting, and the published counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from goldseam.dataset.partial import Protocol, budget, label_mask
from goldseam.errors import InvalidConfig

NAMES = tuple("abcdef")
# as the masks published with DiffusionMTL count their images: 1, 2, 3 and 4 labels
PUBLISHED = (1538, 1529, 1541, 390)


@st.composite
def eligibilities(draw):
    tasks = draw(st.integers(1, 4))
    patterns = st.lists(st.booleans(), min_size=tasks, max_size=tasks)
    some = draw(st.lists(patterns, min_size=1, max_size=4))
    counts = draw(st.lists(st.integers(0, 9), min_size=len(some), max_size=len(some)))
    rows = [p for p, count in zip(some, counts, strict=True) for _ in range(count)]
    return np.array(rows, bool).reshape(-1, tasks)


def most_even_squares(eligible_NT):
    """The least sum of squared task loads, by minimum-cost assignment: another way to the optimum.

    The k-th image of a task costs 2k - 1, so that a task with n images costs n squared.
    """
    usable = eligible_NT[eligible_NT.any(axis=1)]
    images, tasks = usable.shape
    cost = np.where(usable[:, :, None], 2 * np.arange(images) + 1, 10**6)
    cost = cost.reshape(images, tasks * images)
    return int(cost[optimize.linear_sum_assignment(cost)].sum())


@given(images=st.integers(0, 60), tasks=st.integers(1, 6), seed=st.integers(0, 20))
def test_one_label_gives_each_image_one_task_and_balances_to_one(images, tasks, seed):
    mask_NT = label_mask(images, NAMES[:tasks], "one_label", seed=seed)
    assert mask_NT.shape == (images, tasks)
    assert (mask_NT.sum(axis=1) == 1).all()
    assert np.ptp(mask_NT.sum(axis=0)) <= 1


@settings(deadline=None)
@given(eligible_NT=eligibilities(), seed=st.integers(0, 5))
def test_one_label_is_eligible_and_as_even_as_eligibility_allows(eligible_NT, seed):
    images, tasks = eligible_NT.shape
    mask_NT = label_mask(images, NAMES[:tasks], "one_label", seed=seed, eligible=eligible_NT)
    assert not (mask_NT & ~eligible_NT).any()
    assert (mask_NT.sum(axis=1) == eligible_NT.any(axis=1)).all()
    assert (mask_NT.sum(axis=0) ** 2).sum() == most_even_squares(eligible_NT)


@given(eligible_NT=eligibilities(), seed=st.integers(0, 5))
def test_random_label_gives_at_least_one_and_never_all(eligible_NT, seed):
    images, tasks = eligible_NT.shape
    mask_NT = label_mask(images, NAMES[:tasks], "random_label", seed=seed, eligible=eligible_NT)
    usable_N, kept_N = eligible_NT.sum(axis=1), mask_NT.sum(axis=1)
    assert not (mask_NT & ~eligible_NT).any()
    assert (kept_N[usable_N == 0] == 0).all()
    assert (kept_N[usable_N == 1] == 1).all()
    several_N = usable_N > 1
    assert (kept_N[several_N] >= 1).all()
    assert (kept_N[several_N] < usable_N[several_N]).all()


def test_a_rare_task_gets_its_share_of_the_images_it_is_eligible_for():
    eligible_NT = np.ones((4998, 5), bool)
    eligible_NT[1560:, 1] = False
    loads = label_mask(4998, NAMES[:5], "one_label", seed=0, eligible=eligible_NT).sum(axis=0)
    # 1000, 999, 1000, 1000, 999 in the published file
    assert sorted(loads) == [999, 999, 1000, 1000, 1000]
    eligible_NT[100:, 1] = False
    loads = label_mask(4998, NAMES[:5], "one_label", seed=0, eligible=eligible_NT).sum(axis=0)
    assert loads[1] == 100
    assert sorted(loads)[1:] == [1224, 1224, 1225, 1225]


def test_balance_is_reached_by_passing_images_along_a_chain():
    # a and b share images, b and c share images, and only a has images of its own
    eligible_NT = np.repeat([[1, 0, 0], [1, 1, 0], [0, 1, 1]], [40, 40, 10], axis=0)
    mask_NT = label_mask(90, NAMES[:3], "one_label", seed=0, eligible=eligible_NT)
    assert mask_NT.sum(axis=0).tolist() == [40, 40, 10]


@pytest.mark.parametrize("seed", range(5))
def test_random_label_reproduces_the_published_histogram(seed):
    eligible_NT = np.ones((4998, 5), bool)
    eligible_NT[1560:, 1] = False
    mask_NT = label_mask(4998, NAMES[:5], "random_label", seed=seed, eligible=eligible_NT)
    histogram = np.bincount(mask_NT.sum(axis=1), minlength=6)
    assert histogram[0] == histogram[5] == 0
    expected = np.array([1, 1, 1, 0]) * 3438 / 3 + 1560 / 4
    for count, published, mean, share in zip(
        histogram[1:5], PUBLISHED, expected, (1 / 3, 1 / 3, 1 / 3, 0), strict=True
    ):
        deviation = np.sqrt(3438 * share * (1 - share) + 1560 * 0.25 * 0.75)
        assert abs(count - mean) < 4 * deviation
        assert abs(published - mean) < 4 * deviation


def test_every_subset_is_as_likely_as_any_other_of_its_size():
    mask_NT = label_mask(60_000, NAMES[:4], "random_label", seed=1)
    patterns, counts = np.unique(mask_NT, axis=0, return_counts=True)
    assert len(patterns) == 14
    for size, subsets in ((1, 4), (2, 6), (3, 4)):
        found = counts[patterns.sum(axis=1) == size]
        assert len(found) == subsets
        expected = 20_000 / subsets
        assert (np.abs(found - expected) < 4.5 * np.sqrt(expected)).all()


def test_one_label_leaves_no_trace_of_the_order_of_images():
    masks = [label_mask(30, NAMES[:3], "one-label", seed=seed) for seed in range(2000)]
    share_NT = np.mean(masks, axis=0)
    assert (np.abs(share_NT - 1 / 3) < 5 * np.sqrt(2 / 9 / 2000)).all()


@pytest.mark.parametrize("protocol", list(Protocol))
def test_the_seed_fixes_the_mask(protocol):
    first = label_mask(50, NAMES[:3], protocol, seed=3)
    assert (first == label_mask(50, NAMES[:3], protocol.value.replace("_", "-"), seed=3)).all()
    assert (first != label_mask(50, NAMES[:3], protocol, seed=4)).any()


@pytest.mark.parametrize("order", ["random", "cover"])
@settings(deadline=None)
@given(
    eligible_NT=eligibilities(),
    factors=st.lists(st.sampled_from([0.1, 0.25, 0.5, 1, 1.5, 2, 4]), min_size=2, max_size=4),
    seed=st.integers(0, 5),
)
def test_budgets_are_nested_and_keep_to_their_counts(order, eligible_NT, factors, seed):
    images, tasks = eligible_NT.shape
    mask_NT = label_mask(images, NAMES[:tasks], "random_label", seed=seed, eligible=eligible_NT)
    kept = [
        budget(mask_NT, factor, seed=seed, eligible=eligible_NT, order=order)
        for factor in sorted(factors)
    ]
    for smaller_NT, larger_NT in itertools.pairwise(kept):
        assert not (smaller_NT & ~larger_NT).any()
    count_T, possible_T = mask_NT.sum(axis=0), eligible_NT.sum(axis=0)
    for factor, kept_NT in zip(sorted(factors), kept, strict=True):
        assert not (kept_NT & ~eligible_NT).any()
        expected_T = np.floor(factor * count_T + 0.5).clip(count_T > 0, possible_T)
        assert (kept_NT.sum(axis=0) == expected_T).all()
        if factor == 1:
            assert (kept_NT == mask_NT).all()
        elif factor < 1:
            assert not (kept_NT & ~mask_NT).any()
        else:
            assert not (mask_NT & ~kept_NT).any()


def test_covering_reaches_more_images_than_chance():
    mask_NT = label_mask(400, NAMES[:4], "random_label", seed=0)
    reached = {
        order: budget(mask_NT, 0.25, seed=0, order=order).any(axis=1).sum()
        for order in ("random", "cover")
    }
    assert reached["cover"] > reached["random"]


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(factor):
    with pytest.raises(InvalidConfig, match="is none"):
        budget(np.ones((2, 2), bool), factor, seed=0)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(InvalidConfig, match="no protocol 'one-lable'") as error:
        label_mask(3, "ab", "one-lable", seed=0)
    assert error.value.remedy == "Choose one-label or random-label."
    with pytest.raises(InvalidConfig, match="cannot draw"):
        label_mask(3, (), "one_label", seed=0)
    with pytest.raises(InvalidConfig, match="cannot draw"):
        label_mask(3, ("a", "a"), "one_label", seed=0)
    with pytest.raises(InvalidConfig, match=r"expected \(3, 2\)"):
        label_mask(3, "ab", "one_label", seed=0, eligible=np.ones((3, 1)))
    with pytest.raises(InvalidConfig, match="image number 1"):
        budget([[1, 0], [0, 1]], 0.5, seed=0, eligible=[[1, 0], [1, 0]])
