"""Rankings of what to label next, against a greedy loop that buys one label at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.multitask.acquisition import POLICIES, select_labels


def table(seed: int, images: int = 12, tasks: int = 3):
    rng = np.random.default_rng(seed)
    known_NT = rng.random((images, tasks)) < rng.uniform(0.1, 0.9, tasks)
    return known_NT, rng.normal(size=(images, tasks)) * 10.0 ** rng.integers(-3, 4, tasks)


def greedy(known_NT, unsure_NT):
    """Buy the best pair, count it, look again."""
    open_NT, labels_T = ~known_NT, known_NT.sum(axis=0).astype(float)
    standing_NT = np.zeros(known_NT.shape)
    for t in range(known_NT.shape[1]):
        values = unsure_NT[open_NT[:, t], t]
        for n in np.flatnonzero(open_NT[:, t]):
            standing_NT[n, t] = ((values < unsure_NT[n, t]).sum() + 0.5) / len(values)
    bought = []
    while open_NT.any():
        score_NT = np.where(open_NT, standing_NT / (1 + labels_T), -1)
        n, t = np.unravel_index(score_NT.argmax(), score_NT.shape)
        bought.append((int(n), int(t), float(score_NT[n, t])))
        open_NT[n, t] = False
        labels_T[t] += 1
    return bought


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_product_equals_buying_one_at_a_time(seed):
    known_NT, unsure_NT = table(seed)
    found = select_labels(known_NT, unsure_NT)
    expected = greedy(known_NT, unsure_NT)
    np.testing.assert_allclose(found.score_M, [score for _, _, score in expected])
    # pairs of equal score may change places
    pairs = {(int(n), int(t)): s for n, t, s in zip(found.image_M, found.task_M, found.score_M)}  # noqa: B905
    for n, t, score in expected:
        assert pairs[n, t] == pytest.approx(score)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_open_pair_is_ranked_once_and_no_other(policy):
    known_NT, unsure_NT = table(1)
    eligible_NT = np.random.default_rng(0).random(known_NT.shape) < 0.8
    ranking = select_labels(known_NT, unsure_NT, policy=policy, eligible_NT=eligible_NT)
    np.testing.assert_array_equal(ranking.chosen(known_NT.shape), ~known_NT & eligible_NT)
    assert len(ranking) == (~known_NT & eligible_NT).sum()
    assert (np.diff(ranking.score_M) <= 0).all()
    first = select_labels(known_NT, unsure_NT, policy=policy, eligible_NT=eligible_NT, count=4)
    np.testing.assert_array_equal(first.image_M, ranking.image_M[:4])
    np.testing.assert_array_equal(first.task_M, ranking.task_M[:4])


@pytest.mark.parametrize("policy", POLICIES)
def test_what_stands_at_known_or_closed_pairs_changes_nothing(policy):
    known_NT, unsure_NT = table(2)
    eligible_NT = np.random.default_rng(0).random(known_NT.shape) < 0.8
    first = select_labels(known_NT, unsure_NT, policy=policy, eligible_NT=eligible_NT)
    unsure_NT[known_NT | ~eligible_NT] = np.inf
    second = select_labels(known_NT, unsure_NT, policy=policy, eligible_NT=eligible_NT)
    np.testing.assert_array_equal(first.image_M, second.image_M)
    np.testing.assert_array_equal(first.task_M, second.task_M)


def test_scarcity_buys_the_rare_task_until_it_is_as_common():
    known_NT = np.zeros((20, 2), bool)
    known_NT[:10, 0] = True
    known_NT[:4, 1] = True
    ranking = select_labels(known_NT, np.zeros((20, 2)), policy="scarcity")
    assert (ranking.task_M[:6] == 1).all()
    balance = np.cumsum(np.where(ranking.task_M[6:16] == 0, 1, -1))
    assert np.abs(balance).max() <= 1


def test_uncertainty_is_compared_within_a_task_only():
    known_NT = np.zeros((4, 2), bool)
    unsure_NT = np.array([[0.1, 500.0], [0.2, 100.0], [0.3, 200.0], [0.4, 300.0]])
    ranking = select_labels(known_NT, unsure_NT, policy="uncertainty", count=2)
    pairs = zip(ranking.image_M.tolist(), ranking.task_M.tolist(), strict=True)
    assert set(pairs) == {(3, 0), (0, 1)}


def test_an_unmeasured_uncertainty_is_neither_the_highest_nor_the_lowest():
    unsure_NT = np.array([[np.nan], [1.0], [2.0], [3.0], [4.0]])
    ranking = select_labels(np.zeros((5, 1), bool), unsure_NT, policy="uncertainty")
    assert ranking.image_M.tolist() == [4, 3, 0, 2, 1]
    nothing = select_labels(np.zeros((5, 1), bool), np.full((5, 1), np.nan), policy="uncertainty")
    assert set(nothing.score_M.tolist()) == {0.5}


def test_dear_labels_come_later():
    known_NT = np.zeros((6, 2), bool)
    ranking = select_labels(known_NT, np.zeros((6, 2)), policy="scarcity", cost_T=[1.0, 100.0])
    assert (ranking.task_M[:6] == 0).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_seed_repeats_and_another_differs(policy):
    known_NT = np.zeros((30, 3), bool)
    constant = np.zeros((30, 3))
    one, again, other = (
        select_labels(known_NT, constant, policy=policy, seed=seed).image_M for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_random_draws_every_pair_alike():
    known_NT = np.zeros((10, 2), bool)
    first = [
        select_labels(known_NT, np.zeros((10, 2)), policy="random", seed=seed, count=1)
        for seed in range(400)
    ]
    counts = np.bincount([int(r.image_M[0]) for r in first], minlength=10)
    assert counts.min() > 15
    assert 150 < sum(int(r.task_M[0]) for r in first) < 250


@pytest.mark.parametrize(
    "more",
    [
        {"uncertainty_NT": np.zeros((3, 3))},
        {"eligible_NT": np.ones((2, 2), bool)},
        {"cost_T": [1.0, 2.0, 3.0]},
        {"cost_T": [1.0, 0.0]},
        {"uncertainty_NT": np.full((3, 2), np.inf)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(more):
    given = {"uncertainty_NT": np.zeros((3, 2)), **more}
    with pytest.raises(InvalidArray):
        select_labels(np.zeros((3, 2), bool), **given)


@pytest.mark.parametrize("more", [{"policy": "scarsity"}, {"count": -1}])
def test_an_unknown_policy_is_not_taken_for_another(more):
    with pytest.raises(InvalidConfig, match="cannot be ranked"):
        select_labels(np.zeros((3, 2), bool), np.zeros((3, 2)), **more)


def test_nothing_left_to_label_gives_an_empty_ranking():
    for policy in POLICIES:
        assert len(select_labels(np.ones((3, 2), bool), np.zeros((3, 2)), policy=policy)) == 0
