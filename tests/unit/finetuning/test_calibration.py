"""Calibration against scikit-learn and direct counts; what it may not read; what it must keep."""

import numpy as np
import pydantic
import pytest
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from goldseam.errors import InvalidArray
from goldseam.finetuning.probabilities.calibration import (
    FORMS,
    Calibration,
    calibrate,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from goldseam.finetuning.probabilities.reliability import reliability
from goldseam.metrics import TagsMetric, bootstrap

pytestmark = pytest.mark.filterwarnings("error")


def make_column(seed=0, rows=600, slope=1.0, shift=0.0, known=0.7):
    """Margins off by a slope and a shift; labels drawn from the right ones, some unknown."""
    rng = np.random.default_rng(seed)
    margin_N = 2 * rng.normal(size=rows) - 0.5
    label_N = (rng.random(rows) < expit(margin_N)).astype(np.int8)
    label_N[rng.random(rows) > known] = -1
    groups = np.array([f"g{n // 3}" for n in range(rows)])
    return slope * margin_N + shift, label_N, np.arange(rows) // 3 % 5, groups


def smoothed_twice(margin_N, present_N):
    """Every row with either label, weighted by Platt's smoothed target."""
    presents = present_N.sum()
    target_N = np.where(
        present_N == 1, (presents + 1) / (presents + 2), 1 / (len(present_N) - presents + 2)
    )
    label = np.repeat([1, 0], len(margin_N))
    return np.tile(margin_N, 2)[:, None], label, np.concatenate([target_N, 1 - target_N])


def test_platt_is_scikit_learns_sigmoid():
    margin_N, label_N, *_ = make_column(slope=3, shift=-4)
    known = label_N != -1
    oracle = _SigmoidCalibration().fit(margin_N[known], label_N[known])
    ours = fit_platt(margin_N[known], label_N[known].astype(float))
    np.testing.assert_allclose(ours.apply(margin_N), oracle.predict(margin_N), atol=1e-4)
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    rows, labels, weights = smoothed_twice(margin_N[known], label_N[known])
    exact.fit(rows, labels, sample_weight=weights)
    assert ours.slope == pytest.approx(exact.coef_[0, 0], abs=1e-5)
    assert ours.intercept == pytest.approx(exact.intercept_[0], abs=1e-5)


def test_temperature_is_a_regression_without_intercept():
    margin_N, label_N, *_ = make_column(1, slope=4)
    known = label_N != -1
    rows, labels, weights = smoothed_twice(margin_N[known], label_N[known])
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000, fit_intercept=False)
    exact.fit(rows, labels, sample_weight=weights)
    ours = fit_temperature(margin_N[known], label_N[known].astype(float))
    assert ours.slope == pytest.approx(exact.coef_[0, 0], abs=1e-5)


def test_isotonic_is_scikit_learns_moved_inside():
    margin_N, label_N, *_ = make_column(2)
    margin_N = np.round(margin_N, 1)  # with ties
    known = label_N != -1
    present_N = label_N[known].astype(float)
    ours = fit_isotonic(margin_N[known], present_N)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(margin_N[known], present_N)
    low = 1 / ((present_N == 0).sum() + 2)
    high = (present_N.sum() + 1) / (present_N.sum() + 2)
    queries = np.linspace(-9, 9, 500)
    np.testing.assert_allclose(
        ours.apply(queries), low + (high - low) * oracle.predict(queries), atol=1e-9
    )


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt, fit_isotonic])
def test_maps_never_fall_and_stay_inside(fit):
    rng = np.random.default_rng(3)
    queries = np.sort(np.concatenate([rng.normal(size=200) * 10, [-1e6, 1e6]]))
    for margin_N, present_N in (
        (rng.normal(size=80), (rng.random(80) < 0.5).astype(float)),
        (np.linspace(-1, 1, 80), np.repeat([0.0, 1.0], 40)),  # separated
        (np.linspace(-1, 1, 80), np.repeat([1.0, 0.0], 40)),  # the wrong way round
        (np.full(80, 0.3), np.repeat([0.0, 1.0], 40)),
    ):
        probability = fit(margin_N, present_N).apply(queries)
        assert (np.diff(probability) >= 0).all()
        assert probability.min() > 0
        assert probability.max() < 1


def test_margins_the_wrong_way_round_get_the_best_constant():
    margin_N, present_N = np.linspace(-1, 1, 60), np.repeat([1.0, 0.0], [40, 20])
    found = fit_platt(margin_N, present_N)
    assert found.slope == 0
    assert found.apply(0.0) == pytest.approx(2 / 3, abs=0.01)
    assert fit_temperature(margin_N, present_N).slope == 0


@pytest.mark.parametrize(
    ("slope", "shift", "form"), [(1, 0, "identity"), (4, 0, "temperature"), (3, -4, "platt")]
)
def test_the_form_follows_the_margins(slope, shift, form):
    chosen = []
    for seed in range(9):
        column = make_column(seed, slope=slope, shift=shift)
        found = calibrate(*column[:3], groups=column[3], resamples=50)
        chosen.append(found.calibration.form)
        # by chance a richer form fits better; a poorer one never does
        assert FORMS.index(found.calibration.form) >= FORMS.index(form)
        losses = {each.form: each.log_loss for each in found.candidates}
        assert losses[found.calibration.form] <= min(losses.values()) + 1e-6
        if form != "identity":
            assert found.change.log_loss.verdict == "better"
            assert found.after.ece.value < found.before.ece.value
    assert chosen.count(form) >= 5


def test_steps_are_mapped_by_isotonic_regression_only_where_labels_suffice():
    rng = np.random.default_rng(0)
    margin_N = rng.uniform(-3, 3, 3000)
    chance_N = np.select([margin_N < -1, margin_N < 1], [0.02, 0.5], 0.6)
    label_N = (rng.random(3000) < chance_N).astype(np.int8)
    fold_N = np.arange(3000) % 5
    assert calibrate(margin_N, label_N, fold_N, resamples=50).calibration.form == "isotonic"
    few = np.flatnonzero(label_N == 1)[49:]
    label_N[few] = -1
    found = calibrate(margin_N, label_N, fold_N, resamples=50)
    assert found.known_present == 49
    assert found.candidates[-1].log_loss is None
    assert found.calibration.form != "isotonic"


def test_scores_are_those_of_scikit_learn_and_of_the_metrics():
    margin_N, label_N, fold_N, groups = make_column(4)
    found = calibrate(margin_N, label_N, fold_N, groups=groups, resamples=200)
    known = label_N != -1
    probability_N = expit(margin_N[known])
    assert found.before.log_loss.value == pytest.approx(
        sklearn_log_loss(label_N[known], probability_N)
    )
    assert found.before.brier.value == pytest.approx(
        brier_score_loss(label_N[known], probability_N)
    )
    metric = TagsMetric(["a"])
    metric.update(probability_N[:, None], label_N[known, None], known[known], groups[known])
    theirs = bootstrap(metric, 200, seed=0)
    assert found.before.ece.value == pytest.approx(theirs["ece"].value)
    # the same number of groups and the same seed, but other names in another order
    assert found.before.brier.low == pytest.approx(theirs["brier"].low, abs=0.01)
    assert found.before.brier.high == pytest.approx(theirs["brier"].high, abs=0.01)


def test_what_is_unknown_changes_nothing():
    margin_N, label_N, fold_N, groups = make_column(5, shift=-2)
    found = calibrate(margin_N, label_N, fold_N, groups=groups, resamples=50)
    unknown = label_N == -1
    margin_N[unknown], fold_N[unknown] = np.nan, 77
    assert calibrate(margin_N, label_N, fold_N, groups=groups, resamples=50) == found
    kept = ~unknown
    columns = (each[kept] for each in (margin_N, label_N, fold_N))
    assert calibrate(*columns, groups=groups[kept], resamples=50) == found


def test_after_is_scored_on_labels_that_neither_fit_nor_choice_has_seen():
    rng = np.random.default_rng(8)
    changes = []
    for _ in range(20):
        margin_N = rng.normal(size=150) - 0.2
        label_N = (rng.random(150) < expit(margin_N)).astype(np.int8)
        found = calibrate(margin_N, label_N, np.arange(150) % 5, resamples=2)
        changes.append(found.change.log_loss.value)
    # margins are calibrated already: no map can truly gain, and none is said to
    assert np.mean(changes) > -0.002


def test_too_few_labels_leave_margins_as_they_are():
    margin_N, label_N, fold_N, _ = make_column(7)
    label_N[np.flatnonzero(label_N == 1)[9:]] = -1
    found = calibrate(margin_N, label_N, fold_N, category="crack")
    assert found.calibration == Calibration()
    assert found.change.log_loss.value is None
    assert "9 known present" in found.sentence
    one_fold = calibrate(*make_column(7)[:2], np.zeros(600, int), category="crack")
    assert one_fold.calibration == Calibration()
    nothing = calibrate(np.full(5, np.nan), np.full(5, -1), np.zeros(5, int))
    assert nothing.before.log_loss.value is None


def test_json_holds_all_of_it():
    margin_N, label_N, *_ = make_column(9)
    known = label_N != -1
    adapter = pydantic.TypeAdapter(Calibration)
    for fit in (fit_platt, fit_isotonic):
        ours = fit(margin_N[known], label_N[known].astype(float))
        again = adapter.validate_json(adapter.dump_json(ours))
        assert again == ours
        np.testing.assert_array_equal(again.apply(margin_N), ours.apply(margin_N))
    for wrong in ({"slope": -1.0}, {"form": "isotonic"}, {"intercept": float("nan")}):
        with pytest.raises(InvalidArray, match="no non-decreasing map"):
            Calibration(**wrong)


def test_bad_arrays_are_named():
    margin_N, label_N, fold_N, _ = make_column()
    for arrays, words in (
        ((margin_N[:-1], label_N, fold_N), "do not fit"),
        ((margin_N, label_N, fold_N[:-1]), "folds of category 'a'"),
        ((margin_N, np.where(label_N == 1, 2, label_N), fold_N), "2, expected 1"),
        ((margin_N * np.nan, label_N, fold_N), "row .*nan"),
    ):
        with pytest.raises(InvalidArray, match=words):
            calibrate(*arrays, category="a")


def test_the_reliability_curve_counts_what_it_shows():
    probability_N = np.array([0.05, 0.05, 0.35, 0.95, 1.0, np.nan])
    label_N = np.array([0, 1, 0, 1, 1, -1])
    bins = reliability(probability_N, label_N, bins=10)
    assert [each.labels for each in bins] == [2, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    assert bins[0].confidence == pytest.approx(0.05)
    assert bins[0].frequency.value == 0.5
    assert (bins[1].confidence, bins[1].frequency.value, bins[1].frequency.low) == (None,) * 3
    assert bins[9].frequency.high == 1
    # Wilson's interval of 2 of 2, by hand
    assert bins[9].frequency.low == pytest.approx(2 / (2 + 1.959964**2), abs=1e-6)
    halves = reliability(probability_N, label_N, bins=2, spacing="equal_mass")
    assert [each.labels for each in halves] == [2, 3]
    # five copies of a label in one group are worth no more than one
    label_N = np.repeat([0, 1, 1, 0, 1, 0], 5)
    groups = np.repeat(list("abcdef"), 5)
    once = reliability(np.full(6, 0.5), label_N[::5], bins=1)[0].frequency
    copied = reliability(np.full(30, 0.5), label_N, bins=1, groups=groups)[0].frequency
    naive = reliability(np.full(30, 0.5), label_N, bins=1)[0].frequency
    assert copied.low <= once.low < naive.low
    single = reliability(np.full(30, 0.5), label_N, bins=1, groups=np.full(30, "a"))[0]
    assert (single.frequency.value, single.frequency.low) == (0.5, None)
    with pytest.raises(InvalidArray, match="expected a probability"):
        reliability([1.5], [1])
