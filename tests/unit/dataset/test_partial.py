"""The label budget: exact counts, no image twice, balanced, seeded, and never a label invented."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldseam.dataset.partial import choose_rows, known_tags, one_task_each
from goldseam.errors import InvalidConfig


@given(
    images=st.integers(1, 40),
    tasks=st.integers(1, 4),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_one_task_each_spends_exactly_the_budget(images, tasks, seed, data):
    per_task = data.draw(st.integers(0, images // tasks))
    groups = data.draw(st.lists(st.integers(0, 3), min_size=images, max_size=images))
    candidate_NT = np.ones((images, tasks), bool)
    chosen_NT = one_task_each(candidate_NT, per_task, seed=seed, traits=[groups])
    assert (chosen_NT.sum(axis=0) == per_task).all()
    assert (chosen_NT.sum(axis=1) <= 1).all()
    again_NT = one_task_each(candidate_NT, per_task, seed=seed, traits=[groups])
    assert (chosen_NT == again_NT).all()


def test_only_candidates_are_chosen():
    candidate_NT = np.zeros((20, 2), bool)
    candidate_NT[:6, 0] = True
    candidate_NT[10:14, 1] = True
    chosen_NT = one_task_each(candidate_NT, 4, seed=0)
    assert not (chosen_NT & ~candidate_NT).any()


def test_choice_is_balanced_over_every_trait():
    groups = ["large"] * 90 + ["small"] * 5 + ["tiny"] * 5
    lake = [row % 10 == 0 for row in range(100)]
    chosen_N = choose_rows(np.ones(100, bool), 9, seed=1, traits=[groups])
    assert Counter(g for g, c in zip(groups, chosen_N, strict=True) if c) == {
        "large": 3,
        "small": 3,
        "tiny": 3,
    }
    chosen_N = choose_rows(np.ones(100, bool), 10, seed=1, traits=[lake])
    assert (chosen_N & lake).sum() == 5


def test_seed_and_purpose_change_the_choice():
    def choice(seed, purpose):
        return choose_rows(np.ones(200, bool), 50, seed=seed, purpose=purpose).tolist()

    assert choice(0, "a") == choice(0, "a")
    assert choice(0, "a") != choice(1, "a")
    assert choice(0, "a") != choice(0, "b")


def test_too_large_a_budget_is_refused():
    with pytest.raises(InvalidConfig, match="only 3 of 4 images are left for task number 1"):
        one_task_each(np.ones((7, 2), bool), 4, seed=0)


def test_traits_of_another_length_are_refused():
    with pytest.raises(InvalidConfig, match="traits"):
        choose_rows(np.ones(3, bool), 1, seed=0, traits=[["a", "b"]])


@given(
    states=st.lists(
        st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3), min_size=1, max_size=30
    ),
    rate=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 3),
)
def test_known_tags_only_forgets(states, rate, seed):
    full_NC = np.array(states, np.int8)
    before_NC = full_NC.copy()
    kept_NC = known_tags(full_NC, rate, seed=seed)
    assert (full_NC == before_NC).all()
    assert ((kept_NC == full_NC) | (kept_NC == -1)).all()
    for category in range(3):
        for state in (0, 1):
            assert (kept_NC[:, category] == state).any() == (full_NC[:, category] == state).any()
    has_any_N = (full_NC != -1).any(axis=1)
    assert (kept_NC[has_any_N] != -1).any(axis=1).all()
    if rate == 1.0:
        assert (kept_NC == full_NC).all()


def test_known_tags_keeps_the_rate_of_each_state():
    full_NC = np.zeros((1000, 10), np.int8)
    full_NC[:100, 0] = 1
    full_NC[:700, 1] = 1
    kept_NC = known_tags(full_NC, 0.5, seed=0)
    # an image that lost every tag got one back: one in a thousand
    for category, positives in ((0, 100), (1, 700), (2, 0)):
        assert (kept_NC[:, category] == 1).sum() == pytest.approx(positives / 2, abs=2)
        assert (kept_NC[:, category] == 0).sum() == pytest.approx((1000 - positives) / 2, abs=2)


def test_an_image_is_not_left_with_nothing_known():
    kept_NC = known_tags(np.zeros((100, 1), np.int8), 0.1, seed=0)
    assert (kept_NC == 0).all()


@pytest.mark.parametrize("rate", [0, -0.5, 1.1])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(InvalidConfig, match="no share"):
        known_tags(np.zeros((2, 2)), rate, seed=0)
