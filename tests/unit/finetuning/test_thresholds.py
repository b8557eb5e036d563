"""Thresholds against brute force over every cut; what moves them and what may not."""

import numpy as np
import pytest
from sklearn.metrics import fbeta_score

from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.finetuning.probabilities.thresholds import ExpectedCost, FBeta, choose_threshold

pytestmark = pytest.mark.filterwarnings("error")
OBJECTIVES = [FBeta(), FBeta(beta=2), ExpectedCost(), ExpectedCost(false_alarm=1, miss=7)]


def make_column(seed, rows=90):
    rng = np.random.default_rng(seed)
    probability_N = np.round(rng.random(rows), 2)  # with ties
    label_N = (rng.random(rows) < probability_N**2).astype(np.int8)
    label_N[rng.random(rows) > 0.8] = -1
    return probability_N, label_N, np.arange(rows) % 5


def quality(probability_N, label_N, cut, objective):
    said, present = probability_N >= cut, label_N == 1
    if isinstance(objective, FBeta):
        return fbeta_score(present, said, beta=objective.beta, zero_division=0)
    false, missed = (said & ~present).sum(), (~said & present).sum()
    return -(objective.false_alarm * false + objective.miss * missed) / len(label_N)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_no_other_cut_is_better(objective, seed):
    probability_N, label_N, fold_N = make_column(seed)
    known = label_N != -1
    found = choose_threshold(probability_N, label_N, fold_N, objective=objective, resamples=20)
    cut = found.threshold.value
    cuts = np.append(np.unique(probability_N[known]), 1.1)
    values = [quality(probability_N[known], label_N[known], each, objective) for each in cuts]
    ours = quality(probability_N[known], label_N[known], cut, objective)
    assert ours == pytest.approx(max(values), abs=1e-12)
    # of equally good ones the one that calls fewest present
    best = cuts[np.isclose(values, max(values), atol=1e-12)].max()
    said = (probability_N[known] >= cut).sum()
    assert said == (probability_N[known] >= best).sum()


def test_the_honest_score_uses_the_other_folds():
    probability_N, label_N, fold_N = make_column(4, rows=200)
    found = choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), resamples=50)
    said_N = np.zeros(200, bool)
    for fold in range(5):
        rest = np.where(fold_N == fold, -1, label_N)
        cut = choose_threshold(probability_N, rest, fold_N, objective=FBeta(), resamples=2)
        held = fold_N == fold
        said_N[held] = probability_N[held] >= cut.threshold.value
    known = label_N != -1
    expected = fbeta_score(label_N[known], said_N[known], beta=1)
    assert found.score.value == pytest.approx(expected)
    half = fbeta_score(label_N[known], probability_N[known] >= 0.5, beta=1)
    assert found.score_at_half.value == pytest.approx(half)
    assert found.score.low < found.score.value < found.score.high
    assert found.decisions is None


def test_decisions_are_compared_with_those_of_the_trained_head():
    probability_N, label_N, fold_N = make_column(4, rows=200)
    trained_N = np.random.default_rng(0).random(200)
    found = choose_threshold(
        probability_N, label_N, fold_N, objective=FBeta(), trained_N=trained_N, resamples=50
    )
    known = label_N != -1
    before = fbeta_score(label_N[known], trained_N[known] >= 0.5, beta=1)
    assert found.decisions.before.value == pytest.approx(before)
    assert found.decisions.after == found.score
    assert found.decisions.change.value == pytest.approx(found.score.value - before)
    assert found.decisions.change.verdict == "better"  # a coin decided before
    same = choose_threshold(
        probability_N, label_N, fold_N, objective=ExpectedCost(), trained_N=probability_N
    )
    assert same.decisions.before == same.score_at_half
    assert same.decisions.change.unit == "per label"


def test_costs_move_the_threshold_to_that_of_calibrated_probabilities():
    rng = np.random.default_rng(0)
    probability_N = rng.random(20_000)
    label_N = (rng.random(20_000) < probability_N).astype(np.int8)
    cost = ExpectedCost(false_alarm=1, miss=4)
    found = choose_threshold(
        probability_N, label_N, np.arange(20_000) % 5, objective=cost, resamples=20
    )
    # 1 / (1 + 4): Elkan 2001
    assert found.threshold.value == pytest.approx(0.2, abs=0.04)
    assert found.threshold.low <= 0.2 + 0.02
    assert found.score.value < found.score_at_half.value
    assert found.score.better == "lower"


def test_labels_are_weighted_to_the_prevalence():
    rng = np.random.default_rng(1)
    probability_N = rng.random(3000)
    label_N = (rng.random(3000) < probability_N).astype(np.int8)
    fold_N = np.arange(3000) % 5
    # a ninth of the positives: as if each negative stood nine times
    rare = choose_threshold(
        probability_N, label_N, fold_N, objective=FBeta(), prevalence=0.1, resamples=2
    )
    repeats_N = np.where(label_N == 0, 9, 1)
    share = label_N.sum() / repeats_N.sum()
    copied = choose_threshold(
        *(np.repeat(each, repeats_N) for each in (probability_N, label_N, fold_N)),
        objective=FBeta(),
        resamples=2,
    )
    weighted = choose_threshold(
        probability_N, label_N, fold_N, objective=FBeta(), prevalence=share, resamples=2
    )
    assert weighted.threshold.value == copied.threshold.value
    assert weighted.score.value == pytest.approx(copied.score.value)
    plain = choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), resamples=2)
    assert rare.threshold.value > plain.threshold.value
    with pytest.raises(InvalidConfig, match="prevalence 1"):
        choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), prevalence=1)


def test_what_is_unknown_changes_nothing():
    probability_N, label_N, fold_N = make_column(2)
    groups = np.array([f"g{n // 2}" for n in range(90)])
    found = choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), groups=groups)
    probability_N[label_N == -1] = np.nan
    again = choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), groups=groups)
    assert again == found


def test_never_is_a_threshold():
    probability_N = np.linspace(0.1, 1.0, 40)
    label_N = np.r_[np.ones(10), np.zeros(30)].astype(np.int8)
    found = choose_threshold(
        probability_N, label_N, np.arange(40) % 4, objective=ExpectedCost(false_alarm=50)
    )
    assert not (probability_N >= found.threshold.value).any()
    assert "never" in found.sentence


def test_without_labels_nothing_can_be_told():
    probability_N, label_N, fold_N = make_column(3)
    label_N[label_N == 1] = -1
    found = choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), category="rust")
    assert (found.threshold.value, found.score.value) == (None, None)
    assert "'rust'" in found.sentence
    one_group = choose_threshold(
        *make_column(3), objective=FBeta(), groups=np.full(90, "a"), minimum_known=1
    )
    assert one_group.threshold.value is not None
    assert one_group.threshold.low is None
    with pytest.raises(InvalidArray, match="expected a probability"):
        choose_threshold(probability_N + 2, label_N, fold_N, objective=FBeta())


def test_decisions_are_judged_by_what_has_not_seen_the_label():
    rng = np.random.default_rng(3)
    probability_N = rng.random(400)
    label_N = (rng.random(400) < probability_N).astype(np.int8)
    fold_N = np.arange(400) % 5
    seen = choose_threshold(probability_N, label_N, fold_N, objective=FBeta(), resamples=10)
    # a calibration that knows nothing on labels that it has not seen
    honest = choose_threshold(
        probability_N, label_N, fold_N, judged_N=rng.random(400), objective=FBeta(), resamples=10
    )
    assert honest.threshold == seen.threshold
    assert honest.score.value < seen.score.value
    assert honest.score_at_half.value < seen.score_at_half.value
