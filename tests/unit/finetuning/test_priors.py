"""Prevalence, intercepts and stand-ins for negatives against direct computation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import binomtest

from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.finetuning.evidence.supply import label_supply
from goldseam.finetuning.probabilities.priors import (
    estimated_prior,
    prevalence,
    pseudo_negatives,
    shift_by_audit,
    shift_to_prevalence,
)
from goldseam.finetuning.solving.logistic import log_loss

pytestmark = pytest.mark.filterwarnings("error")


def make_population(seed=0, rows=20_000, center=-2.0):
    rng = np.random.default_rng(seed)
    margin_N = 2 * rng.normal(size=rows) + center
    return margin_N, (rng.random(rows) < expit(margin_N)).astype(np.int8), rng


def test_supply_says_what_is_missing():
    labels_NC = np.full((40, 5), -1)
    labels_NC[:20, 0], labels_NC[20:, 0] = 1, 0
    labels_NC[:3, 1], labels_NC[3:, 1] = 1, 0
    labels_NC[:15, 2] = 1
    labels_NC[:15, 3] = 0
    found = label_supply(labels_NC, list("abcde"))
    assert [each.supply for each in found] == [
        "enough", "few", "no_negatives", "no_positives", "none",
    ]  # fmt: skip
    assert [(each.known_present, each.known_absent) for each in found[:2]] == [(20, 20), (3, 37)]
    assert (found[0].sentence, found[0].remedy) == ("", "")
    assert all(each.sentence and each.remedy for each in found[1:])
    assert "pseudo_negatives" in found[2].remedy
    with pytest.raises(InvalidArray, match="2, expected 1"):
        label_supply(np.array([[2]]), ["a"])


@pytest.mark.parametrize("hits", [0, 3, 40])
def test_prevalence_has_wilsons_interval(hits):
    label_A = np.r_[np.ones(hits), np.zeros(40 - hits), np.full(9, -1)]
    found = prevalence(label_A)
    oracle = binomtest(hits, 40).proportion_ci(method="wilson")
    assert found.value == hits / 40
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    assert prevalence([-1, -1]).value is None


def test_the_shift_has_the_greatest_likelihood_and_the_prevalence_found():
    margin_N, label_N, rng = make_population(1)
    audit = rng.choice(len(margin_N), 300, replace=False)
    wrong_A, label_A = margin_N[audit] + 1.5, label_N[audit]
    found = shift_by_audit(wrong_A, label_A, category="a")

    def loss(shift):
        return log_loss(wrong_A + shift, label_A).sum()

    oracle = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    assert found.shift.value == pytest.approx(oracle.x, abs=1e-6)
    assert expit(wrong_A + found.shift.value).mean() == pytest.approx(label_A.mean(), abs=1e-10)
    for end in (found.shift.low, found.shift.high):
        assert 2 * (loss(end) - loss(oracle.x)) == pytest.approx(3.841459, abs=1e-4)
    assert found.shift.low < -1.5 < found.shift.high
    assert found.log_loss_after < found.log_loss_before
    assert found.prevalence.value == pytest.approx(label_A.mean())


def test_the_interval_of_the_shift_covers_the_truth_as_often_as_it_says():
    margin_N, label_N, rng = make_population(2)
    covered = 0
    for _ in range(200):
        audit = rng.integers(len(margin_N), size=60)
        shift = shift_by_audit(margin_N[audit] - 1, label_N[audit]).shift
        covered += shift.low <= 1 <= shift.high
    assert 180 <= covered <= 199


def test_labels_that_were_withheld_by_what_they_say_are_undone():
    margin_N, label_N, rng = make_population(3)
    # positives were noted with chance 0.8, negatives with 0.1: what a model of these learns
    learned_N = margin_N + np.log(0.8 / 0.1)
    audit = rng.choice(len(margin_N), 2000, replace=False)
    shift = shift_by_audit(learned_N[audit], label_N[audit]).shift
    assert shift.low < np.log(0.1 / 0.8) < shift.high
    assert shift.high - shift.low < 0.5


def test_a_shift_that_cannot_be_told_is_none():
    none = shift_by_audit(np.zeros(20), np.zeros(20), category="a")
    assert (none.shift.value, none.shift.low) == (None, None)
    # 20 log(1 + exp(s)) = 1.92
    assert none.shift.high == pytest.approx(np.log(np.expm1(1.920729 / 20)), abs=1e-5)
    every = shift_by_audit(np.zeros(20), np.ones(20))
    assert (every.shift.low, every.shift.high) == (pytest.approx(-none.shift.high), None)
    nobody = shift_by_audit(np.full(5, np.nan), np.full(5, -1))
    assert (nobody.shift.value, nobody.prevalence.value, nobody.audited) == (None, None, 0)


def test_what_is_unknown_changes_nothing():
    margin_N, label_N, _ = make_population(4, rows=200)
    label_N[::3] = -1
    found = shift_by_audit(margin_N, label_N)
    margin_N[::3] = np.nan
    assert shift_by_audit(margin_N, label_N) == found


def test_a_known_prevalence_is_met_exactly():
    margin_N, _, _ = make_population(5)
    for share in (1e-4, 0.3, 0.99):
        shift = shift_to_prevalence(margin_N, share)
        assert expit(margin_N + shift).mean() == pytest.approx(share, rel=1e-9)
    with pytest.raises(InvalidConfig, match="under 1"):
        shift_to_prevalence(margin_N, 1.0)
    with pytest.raises(InvalidArray, match="NaN"):
        shift_to_prevalence([np.nan], 0.1)


def test_stand_ins_for_negatives_follow_elkan_and_noto():
    margin_N, truth_N, rng = make_population(6)
    chance_N = expit(margin_N)
    noted_N = (truth_N == 1) & (rng.random(len(truth_N)) < 0.3)
    label_N = np.where(noted_N, 1, -1)
    prior = truth_N.mean()
    found = pseudo_negatives(label_N, prior, known_probability_N=0.3 * chance_N)
    assert found.labeled_share == pytest.approx(0.3, abs=0.02)
    assert (found.present_weight_N[noted_N] == 1).all()
    assert found.present_weight_N.sum() == pytest.approx(prior * len(label_N))
    np.testing.assert_array_equal(found.present_weight_N + found.absent_weight_N, 1)
    # the true posterior of an image that was not noted
    unknown = ~noted_N
    expected_N = 0.7 * chance_N / (1 - 0.3 * chance_N)
    np.testing.assert_allclose(found.present_weight_N[unknown], expected_N[unknown], atol=0.03)
    flat = pseudo_negatives(label_N, prior)
    assert np.unique(flat.present_weight_N[unknown]).size == 1
    assert flat.present_weight_N.sum() == pytest.approx(prior * len(label_N))


def test_stand_ins_need_a_prior_that_can_be():
    label_N = np.r_[np.ones(5), np.full(15, -1)]
    with pytest.raises(InvalidConfig, match=r"under 0\.25"):
        pseudo_negatives(label_N, 0.2)
    assert pseudo_negatives(label_N, 0.25).present_weight_N[5:].max() == 0
    for presents in range(1, 50):  # a prior may round to just under the known share
        exact = pseudo_negatives(
            np.r_[np.ones(presents), np.full(49, -1)], presents / (presents + 49)
        )
        assert exact.labeled_share == pytest.approx(1)
        assert exact.present_weight_N[presents:].max() < 1e-6
    with pytest.raises(InvalidArray, match="0 known present"):
        pseudo_negatives(np.full(4, -1), 0.2)
    with pytest.raises(InvalidArray, match="1 known absent"):
        pseudo_negatives([1, 0, -1], 0.5)


def test_the_estimated_prior_is_an_upper_bound_that_clear_pictures_reach():
    rng = np.random.default_rng(7)
    truth_N = rng.random(5000) < 0.2
    label_N = np.where(truth_N & (rng.random(5000) < 0.4), 1, -1)
    clear = estimated_prior(0.4 * truth_N, label_N)
    assert clear.low < 0.2 < clear.high
    margin_N, present_N, rng = make_population(8)
    label_N = np.where((present_N == 1) & (rng.random(len(margin_N)) < 0.4), 1, -1)
    unclear = estimated_prior(0.4 * expit(margin_N), label_N)
    assert unclear.low > present_N.mean()
    assert estimated_prior([0.1, 0.2], [-1, -1]).value is None
