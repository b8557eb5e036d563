"""Exact heads: the optimum against scipy and scikit-learn, what is read, what is kept and why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from goldseam.errors import InvalidConfig
from goldseam.finetuning.config import PENALTIES
from goldseam.finetuning.solving.folds import group_folds
from goldseam.finetuning.solving.logistic import log_loss, minimize, rescale
from goldseam.finetuning.solving.solver import fit_heads

pytestmark = pytest.mark.filterwarnings("error")


def make_problem(seed=0, *, rows=300, features=12, categories=3, known=0.6):
    """Features of falling variance, partly known labels, and a trained head that points wrong."""
    rng = np.random.default_rng(seed)
    spread_D = 3 / (1 + np.arange(features) / 4)
    features_ND = rng.normal(size=(rows, features)) * spread_D + rng.normal(size=features)
    truth_CD = rng.normal(size=(categories, features)) * (np.arange(features) < 8)
    margin_NC = (features_ND - features_ND.mean(0)) @ truth_CD.T
    labels_NC = (rng.random((rows, categories)) < expit(margin_NC)).astype(np.int8)
    labels_NC[rng.random(labels_NC.shape) > known] = -1
    weight_CD = 0.4 * truth_CD + rng.normal(size=truth_CD.shape) * spread_D / 3
    names = [f"c{c}" for c in range(categories)]
    return features_ND, labels_NC, weight_CD, rng.normal(size=categories) - 2, names


def known_rows(problem, c):
    features_ND, labels_NC = problem[:2]
    rows = labels_NC[:, c] != -1
    return features_ND[rows], (labels_NC[rows, c] == 1).astype(float)


def prior_of(problem, c):
    """The re-scaled trained head and the penalty's unit, as documented."""
    feature_ND, present_N = known_rows(problem, c)
    weight_D, bias = problem[2][c], problem[3][c]
    slope, intercept, _ = rescale(feature_ND @ weight_D + bias, present_N)
    unit = feature_ND.var(axis=0).mean()
    return slope * weight_D, slope * bias + intercept, unit


def gradient(problem, c, fit):
    """Of the documented objective at the returned head, in the space of the given features."""
    feature_ND, present_N = known_rows(problem, c)
    prior_D, prior_bias, unit = prior_of(problem, c)
    residual_N = expit(feature_ND @ fit.weight_D + fit.bias) - present_N
    # the intercept's trace of a penalty acts on centered features
    shift = fit.bias - prior_bias + (fit.weight_D - prior_D) @ feature_ND.mean(0)
    weight = feature_ND.T @ residual_N + fit.penalty * unit * (fit.weight_D - prior_D)
    weight += 1e-8 * shift * feature_ND.mean(0)
    return np.append(weight, residual_N.sum() + 1e-8 * shift)


@pytest.mark.parametrize("features", [12, 400], ids=["more rows", "more features"])
@pytest.mark.parametrize("penalty", [3.0, 30.0])
def test_the_gradient_vanishes_at_the_returned_head(features, penalty):
    problem = make_problem(1, features=features)
    *arrays, names = problem
    for c, fit in enumerate(fit_heads(*arrays, categories=names, penalties=(penalty,))):
        assert fit.penalty == penalty
        assert fit.gradient_norm < 1e-6
        assert np.linalg.norm(gradient(problem, c, fit)) < 1e-6


@pytest.mark.parametrize("features", [8, 250], ids=["more rows", "more features"])
def test_the_head_equals_scipys_minimum(features):
    problem = make_problem(2, features=features, categories=2)
    *arrays, names = problem
    fits = fit_heads(*arrays, categories=names, penalties=(5.0,))
    assert [fit.penalty for fit in fits] == [5.0, 5.0]
    for c, fit in enumerate(fits):
        feature_ND, present_N = known_rows(problem, c)
        prior_D, prior_bias, unit = prior_of(problem, c)

        def objective(
            theta, z=feature_ND, y=present_N, prior=(prior_D, prior_bias), ridge=5 * unit
        ):
            margin = z @ (prior[0] + theta[:-1]) + prior[1] + theta[-1]
            residual = expit(margin) - y
            slope = np.append(z.T @ residual + ridge * theta[:-1], residual.sum())
            return log_loss(margin, y).sum() + ridge / 2 * theta[:-1] @ theta[:-1], slope

        options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9, "maxcor": 50}
        found = scipy_minimize(
            objective, np.zeros(features + 1), jac=True, method="L-BFGS-B", options=options
        )
        np.testing.assert_allclose(fit.weight_D, prior_D + found.x[:-1], atol=1e-5)
        assert fit.bias == pytest.approx(prior_bias + found.x[-1], abs=1e-4)


def test_without_a_prior_it_is_scikit_learns_logistic_regression():
    problem = make_problem(3, categories=1)
    feature_ND, present_N = known_rows(problem, 0)
    oracle = LogisticRegression(C=1 / 7.0, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    oracle.fit(feature_ND, present_N)
    minimum = minimize(feature_ND, present_N, np.zeros(len(present_N)), 7.0)
    np.testing.assert_allclose(minimum.weight_F, oracle.coef_[0], atol=1e-6)
    assert minimum.intercept == pytest.approx(oracle.intercept_[0], abs=1e-5)
    assert minimum.gradient_norm < 1e-8


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), penalty=st.floats(1e-3, 1e4), offset=st.floats(-50, 50))
def test_newton_converges_from_far_away_and_on_separable_rows(seed, penalty, offset):
    rng = np.random.default_rng(seed)
    feature_NF = rng.normal(size=(40, 5)) * 10
    present_N = (feature_NF[:, 0] > 0).astype(float)
    minimum = minimize(feature_NF, present_N, np.full(40, offset), penalty)
    assert minimum.gradient_norm < 1e-6
    again = minimize(feature_NF, present_N, np.full(40, offset), penalty, start=minimum)
    assert again.steps <= 1


def test_rescaling_undoes_a_slope_and_a_shift():
    rng = np.random.default_rng(0)
    margin_N = rng.normal(size=200_000) * 2
    present_N = (rng.random(margin_N.size) < expit(margin_N)).astype(float)
    slope, intercept, norm = rescale(3 * margin_N - 4, present_N)
    assert slope == pytest.approx(1 / 3, abs=0.01)
    assert intercept == pytest.approx(4 / 3, abs=0.03)
    assert norm < 1e-6


def test_rescaling_stays_finite_where_margins_separate_or_are_all_equal():
    present_N = np.repeat([0.0, 1.0], 10)
    slope, _, norm = rescale(np.repeat([-1.0, 1.0], 10), present_N)
    assert 1 < slope < 10
    assert norm < 1e-6
    # the mean of 20 equal margins of 0.1 is off by rounding, and so is their spread
    for margin in (3.0, 0.1):
        slope, intercept, _ = rescale(np.full(20, margin), np.repeat([0.0, 1.0], [15, 5]))
        assert slope == pytest.approx(1.0)
        assert -2 < intercept + margin < -0.5


@pytest.mark.parametrize("method", ["single", "joint"])
@pytest.mark.parametrize("features", [3, 200], ids=["more rows", "more features"])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_features_that_tell_nothing_leave_the_frequency(value, features, method):
    labels_NC = np.repeat([[1], [0]], [20, 60], axis=0).astype(np.int8)
    (fit,) = fit_heads(
        np.full((80, features), value), labels_NC, np.full((1, features), 0.1), np.ones(1),
        categories=["a"], method=method,
    )  # fmt: skip
    assert not fit.kept
    # penalties differ by rounding only, and the largest is the simplest
    assert fit.penalty == max(PENALTIES)
    margin = fit.weight_D.sum() * value + fit.bias
    assert expit(margin) == pytest.approx(0.25, abs=0.01)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), features=st.sampled_from([4, 80]))
def test_rows_that_do_not_know_a_category_are_never_read(seed, features):
    features_ND, labels_NC, weight_CD, bias_C, names = make_problem(
        seed, rows=100, features=features, categories=2
    )
    groups = [f"g{i % 9}" for i in range(len(features_ND))]
    options = {"categories": names, "penalties": (1.0, 50.0), "min_known": 5}
    before = fit_heads(features_ND, labels_NC, weight_CD, bias_C, groups=groups, **options)
    unknown = labels_NC[:, 0] == -1
    features_ND, labels_NC = features_ND.copy(), labels_NC.copy()
    features_ND[unknown] = np.nan
    groups = [f"other{i}" if unknown[i] else name for i, name in enumerate(groups)]
    labels_NC[unknown, 1] = -1
    after = fit_heads(features_ND, labels_NC, weight_CD, bias_C, groups=groups, **options)
    np.testing.assert_array_equal(before[0].weight_D, after[0].weight_D)
    assert (before[0].bias, before[0].why) == (after[0].bias, after[0].why)


def test_a_repaired_head_is_better_on_labels_it_has_not_seen():
    features_ND, labels_NC, weight_CD, bias_C, names = make_problem(5, rows=2000, known=1.0)
    seen_NC = labels_NC.copy()
    seen_NC[1000:] = -1
    for c, fit in enumerate(fit_heads(features_ND, seen_NC, weight_CD, bias_C, categories=names)):
        assert not fit.kept
        assert fit.log_loss_after < fit.log_loss_before
        new, present_N = features_ND[1000:], labels_NC[1000:, c]
        held_before = log_loss(new @ weight_CD[c] + bias_C[c], present_N).mean()
        held_after = log_loss(new @ fit.weight_D + fit.bias, present_N).mean()
        assert held_after < held_before - 0.05
        # what cross-validation promised holds on new rows
        assert held_after == pytest.approx(fit.log_loss_after, abs=0.05)


def test_a_good_head_is_kept():
    rng = np.random.default_rng(0)
    features_ND = rng.normal(size=(60, 30))
    weight_CD = rng.normal(size=(1, 30))
    labels_NC = (rng.random((60, 1)) < expit(features_ND @ weight_CD.T)).astype(np.int8)
    (fit,) = fit_heads(
        features_ND, labels_NC, weight_CD, np.zeros(1), categories=["a"], penalties=(0.01,)
    )
    assert fit.kept
    assert fit.penalty is None
    assert fit.why.startswith("No candidate")
    np.testing.assert_array_equal(fit.weight_D, weight_CD[0])
    assert (fit.bias, fit.log_loss_after) == (0.0, fit.log_loss_before)


def test_a_head_that_is_only_miscalibrated_is_only_rescaled():
    rng = np.random.default_rng(0)
    features_ND = rng.normal(size=(120, 60))
    weight_CD = rng.normal(size=(1, 60))
    labels_NC = (rng.random((120, 1)) < expit(features_ND @ weight_CD.T)).astype(np.int8)
    (fit,) = fit_heads(
        features_ND, labels_NC, 5 * weight_CD, np.full(1, 9.0), categories=["a"], penalties=(0.01,)
    )
    assert not fit.kept
    assert fit.penalty is None
    assert fit.why.startswith("Slope and intercept")
    ratio_D = fit.weight_D / weight_CD[0]
    np.testing.assert_allclose(ratio_D, ratio_D[0])
    assert 0.5 < ratio_D[0] < 2


def test_too_few_known_labels_keep_the_head_and_say_why():
    features_ND, labels_NC, weight_CD, bias_C, names = make_problem(6)
    present = np.flatnonzero(labels_NC[:, 1] == 1)
    labels_NC[present[3:], 1] = -1
    labels_NC[:, 2] = -1
    fits = fit_heads(features_ND, labels_NC, weight_CD, bias_C, categories=names)
    assert not fits[0].kept
    assert fits[1].kept
    assert fits[1].why.startswith("3 known present and ")
    assert fits[2].why.startswith("0 known present and 0 known absent")
    assert fits[2].log_loss_before is None
    for c in (1, 2):
        np.testing.assert_array_equal(fits[c].weight_D, weight_CD[c])
        assert fits[c].bias == bias_C[c]


def test_one_group_cannot_be_cross_validated():
    *arrays, names = make_problem(7)
    for fit in fit_heads(*arrays, categories=names, groups=["a"] * len(arrays[0])):
        assert fit.kept
        assert "too few groups" in fit.why


def test_positives_in_one_group_cannot_be_cross_validated():
    features_ND, labels_NC, weight_CD, bias_C, _ = make_problem(7, categories=1, known=1.0)
    groups = ["a" if label == 1 else f"b{i % 7}" for i, label in enumerate(labels_NC[:, 0])]
    (fit,) = fit_heads(features_ND, labels_NC, weight_CD, bias_C, categories=["x"], groups=groups)
    assert "too few groups" in fit.why


def test_the_result_does_not_depend_on_the_unit_of_the_features():
    features_ND, labels_NC, weight_CD, bias_C, names = make_problem(8)
    fits = fit_heads(features_ND, labels_NC, weight_CD, bias_C, categories=names)
    scaled = fit_heads(features_ND * 1000, labels_NC, weight_CD / 1000, bias_C, categories=names)
    for first, second in zip(fits, scaled, strict=True):
        assert first.penalty == second.penalty
        np.testing.assert_allclose(second.weight_D * 1000, first.weight_D, rtol=1e-6)


def test_the_same_seed_gives_the_same_heads_whatever_else_is_fit():
    features_ND, labels_NC, weight_CD, bias_C, names = make_problem(9)
    first = fit_heads(features_ND, labels_NC, weight_CD, bias_C, categories=names)
    second = fit_heads(features_ND, labels_NC, weight_CD, bias_C, categories=names)
    alone = fit_heads(
        features_ND, labels_NC[:, :1], weight_CD[:1], bias_C[:1], categories=names[:1]
    )
    for a, b in [*zip(first, second, strict=True), (first[0], alone[0])]:
        np.testing.assert_array_equal(a.weight_D, b.weight_D)
        assert (a.bias, a.penalty, a.why) == (b.bias, b.penalty, b.why)


def test_folds_keep_groups_whole_and_labels_even():
    rng = np.random.default_rng(0)
    present_N = (rng.random(400) < 0.15).astype(float)
    alone_N = group_folds(present_N, np.arange(400), 5, rng)
    counts = np.bincount(alone_N, weights=present_N)
    assert counts.max() - counts.min() <= 1
    # a positive weighs as much as the negatives per positive, so sizes differ by no more than that
    assert np.ptp(np.bincount(alone_N)) <= 1 / present_N.mean()
    group_N = rng.integers(0, 40, 400)
    fold_N = group_folds(present_N, group_N, 5, rng)
    assert set(fold_N) == set(range(5))
    for group in range(40):
        assert len(set(fold_N[group_N == group])) == 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"penalties": (0.0,)}, "positive"),
        ({"folds": 1}, "folds is 1"),
        ({"min_known": 0}, "min_known 0"),
        ({"groups": ["a"]}, "1 groups do not fit"),
        ({"categories": ["a"]}, "1 categories do not fit"),
    ],
)
def test_wrong_options_are_refused(change, match):
    *arrays, names = make_problem(1)
    with pytest.raises(InvalidConfig, match=match):
        fit_heads(*arrays, **({"categories": names} | change))


def test_wrong_values_are_refused():
    features_ND, labels_NC, weight_CD, bias_C, names = make_problem(1)
    broken = labels_NC.copy()
    broken[4, 2] = 7
    with pytest.raises(InvalidConfig, match="row 4, column 2: 7"):
        fit_heads(features_ND, broken, weight_CD, bias_C, categories=names)
    row = int(np.flatnonzero(labels_NC[:, 0] != -1)[0])
    features_ND[row, 3] = np.inf
    with pytest.raises(InvalidConfig, match=f"row {row} "):
        fit_heads(features_ND, labels_NC, weight_CD, bias_C, categories=names)
    with pytest.raises(InvalidConfig, match="trained heads"):
        fit_heads(features_ND, labels_NC, weight_CD * np.nan, bias_C, categories=names)
