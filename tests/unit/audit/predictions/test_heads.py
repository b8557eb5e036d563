"""Linear heads are the minima they claim to be, and no unknown label pulls at them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from goldseam.audit.predictions.heads import (
    choose_penalty,
    fit_binary,
    fit_multinomial,
    fit_values,
)

PENALTY = 3.0


@pytest.fixture
def features():
    """Features of very different units."""
    random = np.random.default_rng(0)
    return (random.normal(size=(300, 6)) * [1, 10, 0.1, 1, 100, 1] + [0, 5, 0, 0, 1000, 0]).astype(
        np.float32
    )


def standardized(feature_NF):
    return (feature_NF - feature_NF.mean(axis=0)) / feature_NF.std(axis=0)


def test_binary_heads_are_ridge_logistic_regressions_on_known_rows(features):
    random = np.random.default_rng(1)
    truth_NC = (standardized(features) @ random.normal(size=(6, 3)) > [0, 1, -1]).astype(np.int8)
    known_NC = random.random(truth_NC.shape) < 0.6
    state_NC = np.where(known_NC, truth_NC, -1)
    penalty_C = np.array([1.0, 10.0, 100.0])
    margin_NC = fit_binary(features, state_NC, penalty_C)(features)
    for category, penalty in enumerate(penalty_C):
        known_N = known_NC[:, category]
        oracle = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
        oracle.fit(standardized(features)[known_N], truth_NC[known_N, category])
        expected_N = oracle.decision_function(standardized(features))
        np.testing.assert_allclose(margin_NC[:, category], expected_N, atol=0.02)


def test_multinomial_head_is_a_ridge_softmax(features):
    random = np.random.default_rng(2)
    category_N = (standardized(features) @ random.normal(size=(6, 4))).argmax(axis=1)
    output_NC = fit_multinomial(features, category_N, 4, PENALTY)(features)
    oracle = LogisticRegression(C=1 / PENALTY, tol=1e-10, max_iter=10_000)
    oracle.fit(standardized(features), category_N)
    probability_NC = np.exp(output_NC - output_NC.max(axis=1, keepdims=True))
    probability_NC /= probability_NC.sum(axis=1, keepdims=True)
    expected_NC = oracle.predict_proba(standardized(features))
    np.testing.assert_allclose(probability_NC, expected_NC, atol=5e-3)


def test_a_category_that_never_occurs_is_improbable(features):
    category_N = (features[:, 0] > 0).astype(np.int64)
    output_NC = fit_multinomial(features, category_N, 3, PENALTY)(features)
    assert np.isfinite(output_NC).all()
    assert (output_NC.argmax(axis=1) < 2).all()


def test_values_are_a_ridge_regression(features):
    random = np.random.default_rng(3)
    value_N = 1e4 + 50 * standardized(features) @ random.normal(size=6) + random.normal(size=300)
    found_N = fit_values(features, value_N, PENALTY)(features)[:, 0]
    oracle = Ridge(alpha=PENALTY).fit(standardized(features), value_N)
    np.testing.assert_allclose(found_N, oracle.predict(standardized(features)), rtol=1e-5)


def test_features_that_never_vary_do_no_harm(features):
    flat = np.concatenate([features, np.full((300, 2), 7, np.float32)], axis=1)
    state_N1 = (features[:, :1] > 0).astype(np.int8)
    first = fit_binary(features, state_N1, np.array([PENALTY]))(features)
    second = fit_binary(flat, state_N1, np.array([PENALTY]))(flat)
    np.testing.assert_allclose(first, second, atol=1e-2)
    assert np.isfinite(fit_values(flat, np.full(300, 5.0), PENALTY)(flat)).all()


def test_a_category_is_fit_as_if_it_were_alone(features):
    """An entry that is unknown pulls nowhere, whatever the other categories say of its image."""
    random = np.random.default_rng(4)
    state_NC = random.integers(-1, 2, (300, 3)).astype(np.int8)
    together_NC = fit_binary(features, state_NC, np.full(3, PENALTY))(features)
    for category in range(3):
        state_N1 = state_NC[:, [category]]
        alone_N1 = fit_binary(features, state_N1, np.array([PENALTY]))(features)
        np.testing.assert_allclose(together_NC[:, [category]], alone_N1, atol=2e-3)
    unknown_N1 = np.full((300, 1), -1, np.int8)
    nothing = fit_binary(features, unknown_N1, np.array([PENALTY]))
    assert not nothing.weight_FC.any()
    assert not nothing.bias_C.any()


def test_the_penalty_of_least_loss_is_chosen_for_each_category():
    penalties = (1.0, 10.0, 100.0)
    loss_PC = np.array([[0.3, 0.5, np.nan, 0.4], [0.2, 0.5, np.nan, 0.3], [0.4, 0.6, np.nan, 0.2]])
    # ties go to the stronger ridge; what cannot be judged takes what is best for the others
    assert choose_penalty(loss_PC, penalties).tolist() == [10.0, 10.0, 10.0, 100.0]
    assert choose_penalty(np.full((3, 2), np.nan), penalties).tolist() == [100.0, 100.0]
