"""Schemes of partial tags: exact counts and rates, nested in their rates, and nothing invented."""

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldseam.dataset.partial.tag_protocols import (
    CoOccurrence,
    FixedPerCategory,
    PositivesDropped,
    RatesFromTable,
    SinglePositive,
    SinglePositiveAndNegatives,
    SizeDependent,
    TagScheme,
    Uniform,
    flip_tags,
    known_rates,
    tag_mask,
)
from goldseam.errors import InvalidArray


def labels(images=60, categories=5, *, seed=0, unknown=0.2):
    random = np.random.default_rng(seed)
    state_NC = (random.random((images, categories)) < 0.4).astype(np.int8)
    return np.where(random.random(state_NC.shape) < unknown, np.int8(-1), state_NC)


def areas(state_NC, seed=1):
    size_NC = np.random.default_rng(seed).random(state_NC.shape)
    return np.where(state_NC == 1, size_NC, np.nan)


def rated(rate, categories=5):
    """Every scheme that has rates, with this one."""
    return [
        Uniform(rate=rate),
        SinglePositiveAndNegatives(rate=rate),
        SizeDependent(
            small=rate / 4, middle=rate / 2, large=rate, negatives=rate, boundaries=(0.2, 0.6)
        ),
        CoOccurrence(alone=rate, each=0.7, negatives=rate),
        PositivesDropped(rate=rate),
        RatesFromTable(positives=(rate,) * categories, negatives=(rate / 2,) * categories),
    ]


def near(found, rate, count):
    """A frequency within four standard errors of its rate."""
    return abs(found - rate) < 4 * np.sqrt(max(rate * (1 - rate), 1e-9) / count) + 1e-9


@given(seed=st.integers(0, 20), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_a_lower_rate_keeps_a_subset_and_unknown_stays_unknown(seed, low, high):
    low, high = sorted((low, high))
    state_NC = labels()
    for less, more in zip(rated(low), rated(high), strict=True):
        few_NC = tag_mask(less, state_NC, seed, area_NC=areas(state_NC))
        many_NC = tag_mask(more, state_NC, seed, area_NC=areas(state_NC))
        assert not (few_NC & ~many_NC).any(), less.name
        assert not (many_NC & (state_NC == -1)).any(), less.name


def test_the_seed_decides():
    state_NC = labels()
    for scheme in (*rated(0.5), SinglePositive(), FixedPerCategory(positives=2, negatives=3)):
        one_NC = tag_mask(scheme, state_NC, 3, area_NC=areas(state_NC))
        assert one_NC.dtype == bool
        assert (one_NC == tag_mask(scheme, state_NC, 3, area_NC=areas(state_NC))).all()
        assert (one_NC != tag_mask(scheme, state_NC, 4, area_NC=areas(state_NC))).any()


def test_uniform_is_a_share_of_all_known_entries():
    state_NC = labels(images=4000)
    known_NC = tag_mask(Uniform(rate=0.3), state_NC, 0)
    for state in (0, 1):
        kept = known_NC[state_NC == state]
        assert near(kept.mean(), 0.3, kept.size)
    assert (tag_mask(Uniform(rate=1), state_NC, 0) == (state_NC >= 0)).all()
    assert not tag_mask(Uniform(rate=0), state_NC, 0).any()


def test_fixed_counts_are_exact_where_there_are_enough_and_nested():
    state_NC = labels()
    state_NC[:, 0] = 0
    state_NC[:3, 0] = 1
    known_NC = tag_mask(FixedPerCategory(positives=8, negatives=11), state_NC, 0)
    assert (known_NC & (state_NC == 1)).sum(axis=0).tolist() == [3, 8, 8, 8, 8]
    assert (known_NC & (state_NC == 0)).sum(axis=0).tolist() == [11] * 5
    more_NC = tag_mask(FixedPerCategory(positives=9, negatives=20), state_NC, 0)
    assert not (known_NC & ~more_NC).any()
    assert not (more_NC & (state_NC == -1)).any()


def test_single_positive_is_any_of_an_image_and_nothing_else():
    state_NC = labels(images=6000, unknown=0.0)
    state_NC[:50] = 0
    state_NC[50:100] = -1
    known_NC = tag_mask(SinglePositive(), state_NC, 0)
    has_N = (state_NC == 1).any(axis=1)
    assert (known_NC.sum(axis=1) == has_N).all()
    assert (state_NC[known_NC] == 1).all()
    # of two present categories each is as likely
    both_N = ((state_NC == 1).sum(axis=1) == 2) & (state_NC[:, 0] == 1)
    assert near(known_NC[both_N, 0].mean(), 0.5, both_N.sum())


def test_single_positive_and_negatives_keeps_the_same_positive_at_any_rate():
    state_NC = labels(images=3000)
    scheme = SinglePositiveAndNegatives(rate=0.2)
    known_NC = tag_mask(scheme, state_NC, 0)
    positive_NC = known_NC & (state_NC == 1)
    assert (positive_NC.sum(axis=1) == (state_NC == 1).any(axis=1)).all()
    absent = known_NC[state_NC == 0]
    assert near(absent.mean(), 0.2, absent.size)
    more_NC = tag_mask(SinglePositiveAndNegatives(rate=0.9), state_NC, 0)
    assert (positive_NC == (more_NC & (state_NC == 1))).all()


def test_size_decides_over_present_entries_alone():
    state_NC = labels(images=8000)
    area_NC = areas(state_NC)
    area_NC[0, :] = 0.2  # at a boundary: one of the middle
    state_NC[0, :] = 1
    scheme = SizeDependent(small=0.05, middle=0.3, large=0.8, negatives=0.5, boundaries=(0.2, 0.6))
    known_NC = tag_mask(scheme, state_NC, 0, area_NC=area_NC)
    for low, high, rate in ((0, 0.2, 0.05), (0.2, 0.6, 0.3), (0.6, 1.0, 0.8)):
        kept = known_NC[(state_NC == 1) & (area_NC >= low) & (area_NC < high)]
        assert near(kept.mean(), rate, kept.size)
    assert near(known_NC[state_NC == 0].mean(), 0.5, (state_NC == 0).sum())
    # what stands where nothing is present changes nothing
    other_NC = np.where(state_NC == 1, area_NC, -7.0)
    assert (known_NC == tag_mask(scheme, state_NC, 0, area_NC=other_NC)).all()
    every = scheme.model_copy(update={"small": 0.0, "middle": 1.0, "large": 0.0})
    assert tag_mask(every, state_NC, 0, area_NC=area_NC)[0].all()


def test_present_categories_hide_each_other():
    state_NC = np.zeros((9000, 4), np.int8)
    state_NC[:3000, 0] = 1
    state_NC[3000:6000, :2] = 1
    state_NC[6000:, :3] = 1
    state_NC[:1500, 3] = -1  # hides nothing
    known_NC = tag_mask(CoOccurrence(alone=0.8, each=0.5, negatives=0.25), state_NC, 0)
    for rows, rate in (
        (slice(0, 1500), 0.8),
        (slice(1500, 3000), 0.8),
        (slice(3000, 6000), 0.4),
        (slice(6000, 9000), 0.2),
    ):
        kept = known_NC[rows, 0]
        assert near(kept.mean(), rate, kept.size)
    absent = known_NC[state_NC == 0]
    assert near(absent.mean(), 0.25, absent.size)


def test_dropped_positives_leave_no_absent_entry():
    state_NC = labels(images=4000)
    known_NC = tag_mask(PositivesDropped(rate=0.4), state_NC, 0)
    assert not known_NC[state_NC != 1].any()
    assert near(known_NC[state_NC == 1].mean(), 0.4, (state_NC == 1).sum())


def test_rates_of_a_real_table():
    # CheXpert's counts of present, absent, and blank or unsure entries: atelectasis, effusion
    present, absent, blank = [33376, 86187], [1328, 35396], [33739 + 154971, 11628 + 90203]
    scheme = known_rates(present, absent, blank, [0.1, 0.0])
    assert scheme.positives[0] == pytest.approx(33376 / (33376 + 0.1 * 188710))
    assert scheme.negatives[0] == pytest.approx(1328 / (1328 + 0.9 * 188710))
    assert scheme.positives[1] == 1.0
    state_NC = labels(images=20000, categories=2)
    known_NC = tag_mask(scheme, state_NC, 0)
    for category in range(2):
        for state, rates in ((1, scheme.positives), (0, scheme.negatives)):
            kept = known_NC[state_NC[:, category] == state, category]
            assert near(kept.mean(), rates[category], kept.size)
    assert known_rates([0], [5], [0], 0.5).positives == (0.0,)


def test_flips_have_their_rates_are_nested_and_leave_unknown_alone():
    state_NC = labels(images=8000)
    false_positive_C = np.array([0.0, 0.03, 0.05, 0.19, 1.0])
    noisy_NC = flip_tags(state_NC, 0.54, false_positive_C, 0)
    assert noisy_NC.dtype == np.int8
    assert ((noisy_NC == -1) == (state_NC == -1)).all()
    lost = noisy_NC[state_NC == 1] == 0
    assert near(lost.mean(), 0.54, lost.size)
    for category, rate in enumerate(false_positive_C):
        invented = noisy_NC[state_NC[:, category] == 0, category] == 1
        assert near(invented.mean(), rate, invented.size)
    worse_NC = flip_tags(state_NC, 0.7, np.minimum(false_positive_C + 0.1, 1), 0)
    assert not ((noisy_NC != state_NC) & (worse_NC == state_NC)).any()
    assert (flip_tags(state_NC, 0, 0, 0) == state_NC).all()
    assert (flip_tags(state_NC, 0.54, false_positive_C, 0) == noisy_NC).all()


def test_what_does_not_fit_is_refused_with_its_place():
    state_NC = labels()
    size = SizeDependent(small=0, middle=0, large=1, negatives=1, boundaries=(0.1, 0.2))
    wrong_NC = state_NC.copy()
    wrong_NC[2, 1] = 2
    with pytest.raises(InvalidArray, match="row 2, column 1"):
        tag_mask(Uniform(rate=0.5), wrong_NC, 0)
    with pytest.raises(InvalidArray, match="images x categories"):
        tag_mask(Uniform(rate=0.5), [1, 0], 0)
    with pytest.raises(InvalidArray, match="area_NC: missing"):
        tag_mask(size, state_NC, 0)
    with pytest.raises(InvalidArray, match="shape"):
        tag_mask(size, state_NC, 0, area_NC=[[1.0]])
    with pytest.raises(InvalidArray, match="says present"):
        tag_mask(size, state_NC, 0, area_NC=np.full(state_NC.shape, np.nan))
    with pytest.raises(InvalidArray, match="1 rates for 5"):
        tag_mask(RatesFromTable(positives=(1.0,), negatives=(0.5,) * 5), state_NC, 0)
    with pytest.raises(InvalidArray, match="false_positive"):
        flip_tags(state_NC, 0.1, [0.1, 0.2], 0)
    with pytest.raises(InvalidArray, match="false_negative"):
        flip_tags(state_NC, 1.1, 0.1, 0)
    with pytest.raises(InvalidArray, match="at least 0"):
        known_rates([-1], [1], [1], 0.1)


def test_a_scheme_is_named_in_yaml():
    adapter = pydantic.TypeAdapter(TagScheme)
    for scheme in (*rated(0.5), SinglePositive(), FixedPerCategory(positives=1, negatives=2)):
        assert adapter.validate_python(scheme.model_dump(mode="json")) == scheme
    with pytest.raises(pydantic.ValidationError, match="rate"):
        adapter.validate_python({"name": "uniform", "rate": 1.5})
    with pytest.raises(pydantic.ValidationError, match="boundaries"):
        SizeDependent(small=0, middle=0, large=1, negatives=1, boundaries=(0.3, 0.2))
