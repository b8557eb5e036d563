"""The three ways to the minimum agree, with weights and without, and with independent solvers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from goldseam.finetuning.solving import blocks
from goldseam.finetuning.solving.blocks import joint_is_cheaper
from goldseam.finetuning.solving.joint import (
    Problems,
    curvature,
    factored,
    minimize_together,
    rotated,
)
from goldseam.finetuning.solving.logistic import (
    INTERCEPT_PENALTY,
    log_loss,
    minimize,
    minimize_dual,
    rescale,
)
from goldseam.finetuning.solving.solver import fit_heads, minimize_ridge

pytestmark = pytest.mark.filterwarnings("error")
HESSIANS = ("factored", "rotated", "plain")


def make_rows(seed, rows, features, *, weights=True):
    rng = np.random.default_rng(seed)
    feature_NF = rng.normal(size=(rows, features)) * 3 / (1 + np.arange(features) / 4)
    feature_NF -= feature_NF.mean(axis=0)
    margin_N = feature_NF @ rng.normal(size=features) / 2 - 0.5
    present_N = (rng.random(rows) < expit(margin_N)).astype(float)
    weight_N = rng.uniform(0.1, 3, rows) if weights else np.ones(rows)
    return feature_NF, present_N, rng.normal(size=rows), weight_N


def objective(problem, penalty, weight_F, intercept):
    feature_NF, present_N, offset_N, weight_N = problem
    loss_N = log_loss(offset_N + feature_NF @ weight_F + intercept, present_N)
    ridge = penalty * weight_F @ weight_F + INTERCEPT_PENALTY * intercept**2
    return weight_N @ loss_N + ridge / 2


def together(problem, penalties, kind, **options):
    feature_NF, present_N, offset_N, weight_N = problem
    design_NP = torch.from_numpy(np.concatenate([feature_NF, np.ones((len(feature_NF), 1))], 1))
    count = len(penalties)
    problems = Problems(
        *(torch.from_numpy(np.repeat(part[:, None], count, 1)) for part in
          (present_N, weight_N, offset_N)),
        torch.tensor(penalties, dtype=torch.float64),
    )  # fmt: skip
    curvature_N = curvature(problems)[:, 0]
    precondition = lambda gradient, _: gradient / 10  # noqa: E731
    if kind == "factored":
        root_NP = design_NP * curvature_N.sqrt()[:, None]
        precondition = factored(root_NP.T @ root_NP, problems.penalty_K)
    elif kind == "rotated":
        values, vectors = torch.linalg.eigh(torch.from_numpy(np.cov(feature_NF.T, bias=True)))
        precondition = rotated(
            vectors, values.clamp_min(0), curvature_N.sum().expand(count), problems.penalty_K
        )
    return minimize_together(design_NP, problems, precondition, **options)


@pytest.mark.parametrize("shape", [(120, 12), (30, 60)], ids=["more rows", "more features"])
def test_primal_dual_and_joint_reach_the_same_objective(shape):
    problem = make_rows(1, *shape)
    feature_NF, present_N, offset_N, weight_N = problem
    penalties = [0.5, 5.0, 200.0]
    rows = (feature_NF, present_N, offset_N)
    joint_minima = {kind: together(problem, penalties, kind) for kind in HESSIANS}
    for k, penalty in enumerate(penalties):
        primal = minimize(*rows, penalty, weight_N=weight_N)
        least = objective(problem, penalty, primal.weight_F, primal.intercept)
        dual = minimize_dual(*rows, penalty, weight_N=weight_N)
        assert dual.gradient_norm < 1e-6
        np.testing.assert_allclose(dual.weight_F, primal.weight_F, atol=1e-8)
        others = [(dual.weight_F, dual.intercept)]
        for minima in joint_minima.values():
            assert minima.gradient_norm_K.max() < 1e-6
            theta_P = minima.theta_PK[:, k].numpy()
            others.append((theta_P[:-1], theta_P[-1]))
        for weight_F, intercept in others:
            assert objective(problem, penalty, weight_F, intercept) == pytest.approx(
                least, rel=1e-8, abs=1e-8
            )


@pytest.mark.parametrize("shape", [(150, 8), (25, 40)], ids=["more rows", "more features"])
def test_they_equal_scikit_learn_and_scipy_with_sample_weights(shape):
    feature_NF, present_N, _, weight_N = make_rows(2, *shape)
    problem = (feature_NF, present_N, np.zeros(len(present_N)), weight_N)
    found = minimize_ridge(*problem[:3], 4.0, weight_M=weight_N)
    value = objective(problem, 4.0, found.weight_F, found.intercept)
    model = LogisticRegression(C=1 / 4.0, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    model.fit(feature_NF, present_N, sample_weight=weight_N)
    learned = objective(problem, 4.0, model.coef_[0], float(model.intercept_[0]))
    assert value == pytest.approx(learned, rel=1e-8)
    scipys = scipy_minimize(
        lambda theta: objective(problem, 4.0, theta[:-1], theta[-1]),
        np.zeros(feature_NF.shape[1] + 1),
        method="BFGS",
        options={"gtol": 1e-5},
    )
    assert value <= scipys.fun + 1e-8
    assert value == pytest.approx(scipys.fun, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), penalty=st.floats(1e-2, 1e4), far=st.floats(-40, 40))
def test_the_dual_form_converges_from_far_away_and_on_separable_rows(seed, penalty, far):
    rng = np.random.default_rng(seed)
    feature_NF = rng.normal(size=(12, 30))
    present_N = (feature_NF[:, 0] > 0).astype(float)
    minimum = minimize_dual(feature_NF, present_N, np.full(12, far), penalty)
    assert minimum.gradient_norm < 1e-6
    residual_N = expit(far + feature_NF @ minimum.weight_F + minimum.intercept) - present_N
    gradient_F = feature_NF.T @ residual_N + penalty * minimum.weight_F
    assert np.linalg.norm(gradient_F) < 1e-6


def test_rows_of_weight_zero_change_nothing():
    feature_NF, present_N, offset_N, weight_N = make_rows(3, 60, 6)
    weight_N[40:] = 0
    other_N = present_N.copy()
    other_N[40:] = 1 - other_N[40:]
    for form in (minimize, minimize_dual):
        with_rows = form(feature_NF, other_N, offset_N, 2.0, weight_N=weight_N)
        without = form(feature_NF[:40], present_N[:40], offset_N[:40], 2.0, weight_N=weight_N[:40])
        np.testing.assert_allclose(with_rows.weight_F, without.weight_F, atol=1e-9)
    base = together((feature_NF, present_N, offset_N, weight_N), [2.0], "factored")
    changed = together((feature_NF, other_N, offset_N, weight_N), [2.0], "factored")
    np.testing.assert_array_equal(base.theta_PK.numpy(), changed.theta_PK.numpy())


def table(seed=0, *, rows=240, features=10, categories=3, known=0.7):
    rng = np.random.default_rng(seed)
    features_ND = rng.normal(size=(rows, features)) * 3 / (1 + np.arange(features) / 4) + 1
    truth_CD = rng.normal(size=(categories, features))
    margin_NC = (features_ND - 1) @ truth_CD.T
    labels_NC = (rng.random(margin_NC.shape) < expit(margin_NC)).astype(np.int8)
    labels_NC[rng.random(labels_NC.shape) > known] = -1
    weight_CD = 0.3 * truth_CD + rng.normal(size=truth_CD.shape) / 2
    names = [f"c{c}" for c in range(categories)]
    return features_ND, labels_NC, weight_CD, rng.normal(size=categories), names


@pytest.mark.parametrize("features", [10, 300], ids=["more rows", "more features"])
@pytest.mark.parametrize("budget", [1, 2**30], ids=["a category a block", "one block"])
def test_blocks_of_categories_give_the_heads_of_single_ones(monkeypatch, features, budget):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", budget)
    *arrays, names = table(4, features=features)
    arrays[1][:, 2] = -1
    single = fit_heads(*arrays, categories=names, method="single")
    jointly = fit_heads(*arrays, categories=names, method="joint")
    assert any(fit.penalty is not None for fit in single)
    for a, b in zip(single, jointly, strict=True):
        assert (a.penalty, a.kept) == (b.penalty, b.kept)
        assert a.log_loss_after == pytest.approx(b.log_loss_after, abs=1e-4, nan_ok=True)
        np.testing.assert_allclose(b.weight_D, a.weight_D, atol=1e-6)
        assert b.bias == pytest.approx(a.bias, abs=1e-6)
        np.testing.assert_allclose(b.held_out_margin_M, a.held_out_margin_M, atol=0.02)
        assert b.kept or b.gradient_norm < 1e-6


@pytest.mark.parametrize("method", ["single", "joint"])
def test_weights_count_labels_and_those_of_unknown_ones_are_never_read(method):
    *arrays, names = table(5)
    labels_NC = arrays[1]
    weight_NC = np.random.default_rng(0).uniform(0.5, 2, labels_NC.shape)
    options = {"categories": names, "method": method}
    weighted = fit_heads(*arrays, sample_weight_NC=weight_NC, **options)
    poisoned_NC = np.where(labels_NC == -1, np.nan, weight_NC)
    poisoned = fit_heads(*arrays, sample_weight_NC=poisoned_NC, **options)
    ones = fit_heads(*arrays, sample_weight_NC=np.ones_like(weight_NC), **options)
    plain = fit_heads(*arrays, **options)
    for a, b, c, d in zip(weighted, poisoned, ones, plain, strict=True):
        np.testing.assert_array_equal(a.weight_D, b.weight_D)
        np.testing.assert_array_equal(c.weight_D, d.weight_D)
        assert not np.array_equal(a.weight_D, d.weight_D)


@pytest.mark.parametrize("method", ["single", "joint"])
def test_a_label_of_weight_zero_is_unknown(method):
    *arrays, names = table(6)
    weight_NC = np.ones(arrays[1].shape)
    weight_NC[:60, 1] = 0
    zero = fit_heads(*arrays, categories=names, sample_weight_NC=weight_NC, method=method)
    arrays[1][:60, 1] = -1
    unknown = fit_heads(*arrays, categories=names, method=method)
    for a, b in zip(zero, unknown, strict=True):
        np.testing.assert_allclose(a.weight_D, b.weight_D, atol=1e-9)
        assert (a.known_present, a.why) == (b.known_present, b.why)


def test_held_out_margins_are_of_heads_that_have_not_seen_the_fold():
    *arrays, names = table(7)
    fit = fit_heads(*arrays, categories=names, penalties=(5.0,), method="single")[0]
    assert fit.penalty == 5.0
    fold = fit.fold_M == 1
    scaled = arrays[0][fit.row_M]
    keep = ~fold
    center, scale = scaled.mean(0), np.sqrt(scaled.var(axis=0).mean())
    label_M = (arrays[1][fit.row_M, 0] == 1).astype(float)
    slope, intercept, _ = rescale(fit.margin_before_M[keep], label_M[keep])
    offset_M = slope * fit.margin_before_M + intercept
    row_MD = (scaled - center) / scale
    refit = minimize(row_MD[keep], label_M[keep], offset_M[keep], 5.0)
    expected = offset_M[fold] + row_MD[fold] @ refit.weight_F + refit.intercept
    np.testing.assert_allclose(fit.held_out_margin_M[fold], expected, atol=5e-3)


def test_many_rows_known_to_all_are_solved_together_and_few_apart():
    assert joint_is_cheaper(82_000, 2048, [80_000] * 80, 24)
    assert not joint_is_cheaper(8_000, 512, [800] * 80, 24)
    assert not joint_is_cheaper(82_000, 2048, [500] * 80, 24)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_heads_of_a_cpu():
    *arrays, names = table(8)
    cpu = fit_heads(*arrays, categories=names, method="joint")
    gpu = fit_heads(*arrays, categories=names, device="cuda")
    for a, b in zip(cpu, gpu, strict=True):
        assert a.penalty == b.penalty
        np.testing.assert_allclose(b.weight_D, a.weight_D, atol=1e-6)
        assert b.gradient_norm < 1e-6


def test_a_search_that_is_given_up_ends_where_it_is():
    problem, penalties, asked = make_rows(9, 80, 10), [1e6, 1.0], []
    whole = together(problem, penalties, "plain", decrement_tolerance=1e-6)

    def give_up(margin_NK, decrement_K):
        asked.append((margin_NK.clone(), decrement_K.clone()))
        return len(asked) == 8

    stopped = together(problem, penalties, "plain", decrement_tolerance=1e-6, give_up=give_up)
    assert stopped.steps == 15 < whole.steps
    margin_NK, decrement_K = asked[-1]
    np.testing.assert_array_equal(stopped.margin_NK.numpy(), margin_NK.numpy())
    # the first problem is solved and has left the batch, the second goes on
    assert decrement_K[0] == 0 < decrement_K[1]
    np.testing.assert_array_equal(stopped.theta_PK[:, 0], whole.theta_PK[:, 0])
    assert stopped.gradient_norm_K[1] > 1e-3


def test_a_search_that_is_cut_short_says_its_gradient():
    minima = together(make_rows(9, 80, 10), [1.0], "plain", maximum_steps=2)
    assert minima.steps == 2
    assert minima.gradient_norm_K[0] > 1e-6
