"""Priors and propensities where the truth is known because the data are made."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from goldseam.audit.missingness import MissingnessConfig, audit_missingness
from goldseam.audit.missingness.positive_unlabeled import best_bin, unlabeled_share
from goldseam.audit.missingness.propensity import CrossFit, corrected_prior, ridge_logistic
from goldseam.audit.statistics.groups import Groups
from goldseam.audit.statistics.shares import column_shares
from tests.unit.audit.missingness.made import label_side

CONFIG = MissingnessConfig(resamples=199, most_resamples=1999)


def random(seed=0):
    return np.random.default_rng(seed)


def logistic(value):
    return 1 / (1 + np.exp(-value))


def test_shares_are_wilsons_where_images_are_independent():
    whole_N1 = np.ones((50, 1), bool)
    part_N1 = (np.arange(50) < 10)[:, None]
    found = column_shares(part_N1, whole_N1, Groups.of(np.arange(50))).estimate(0)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.1124, 0.3304), abs=1e-4)


def test_shares_of_alike_groups_are_less_sure():
    group_N = np.repeat(np.arange(20), 10)
    part_N1 = (group_N < 4)[:, None]
    whole_N1 = np.ones_like(part_N1)
    grouped = column_shares(part_N1, whole_N1, Groups.of(group_N)).estimate(0)
    single = column_shares(part_N1, whole_N1, Groups.of(np.arange(200))).estimate(0)
    # 20 groups that are all or nothing are worth some 20 images
    assert grouped.high - grouped.low == pytest.approx(
        np.sqrt(10) * (single.high - single.low), rel=0.15
    )


def test_a_share_of_nothing_is_unknown():
    nothing_N1 = np.zeros((5, 1), bool)
    found = column_shares(nothing_N1, nothing_N1, Groups.of(np.arange(5))).estimate(0)
    assert found.value is None


def test_ridge_logistic_is_that_of_scikit_learn():
    feature_ND = random(1).normal(size=(300, 4))
    label_N = (random(2).random(300) < logistic(feature_ND[:, 0] - 1)).astype(float)
    found_P = ridge_logistic(feature_ND, label_N, ridge=2.0)
    model = LogisticRegression(C=0.5, tol=1e-10).fit(feature_ND, label_N)
    assert found_P[:-1] == pytest.approx(model.coef_[0], abs=1e-4)
    assert found_P[-1] == pytest.approx(model.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("group_size", [1, 5])
def test_weighting_corrects_what_was_labeled_by_looks(group_size):
    # the share that the images were drawn from, not the one among them
    wide = random(99).normal(size=(400_000, 2)).sum(axis=1)
    truth = logistic(1.5 * wide - 1).mean()
    covered = naive_covered = 0
    for seed in range(40):
        draw = random([seed, group_size])
        group_N = np.arange(1500) // group_size
        feature_ND = draw.normal(size=(1500, 3)) + draw.normal(size=(1500, 3))[group_N]
        present_N = draw.random(1500) < logistic(1.5 * feature_ND[:, 0] - 1)
        known_N = draw.random(1500) < logistic(1.0 * feature_ND[:, 0])
        groups = Groups.of(group_N)
        fit = CrossFit(feature_ND, groups, CONFIG, draw)
        state_N = np.where(known_N, present_N, -1)
        found = corrected_prior(
            state_N,
            fit.probabilities(known_N, np.ones(1500, bool)),
            fit.probabilities(present_N, known_N),
            groups,
        )
        covered += abs(found.value - truth) < 1.96 * found.error
        naive_covered += abs(found.naive - truth) < 0.04
        assert found.p_value < 0.05
    assert covered >= 33  # of 40; 38 are expected
    assert naive_covered == 0


def test_what_unknown_images_hold_changes_no_estimate():
    draw = random(3)
    feature_ND = draw.normal(size=(400, 2))
    known_N = draw.random(400) < 0.5
    present_N = draw.random(400) < 0.4
    groups = Groups.of(np.arange(400))
    poisoned_N = np.where(known_N, present_N, draw.random(400) < 0.9)
    found = [
        CrossFit(feature_ND, groups, CONFIG, random(4)).probabilities(label_N, known_N)
        for label_N in (present_N, poisoned_N)
    ]
    assert np.array_equal(*found)


def test_best_bin_finds_the_share_of_hidden_presences():
    draw = random(5)
    present_N = draw.random(6000) < 0.4
    labeled_N = present_N & (draw.random(6000) < 0.5)
    score_N = np.where(present_N, draw.beta(6, 2, 6000), draw.beta(1, 5, 6000))
    hidden = (present_N & ~labeled_N).sum() / (~labeled_N).sum()
    ones = (np.ones(labeled_N.sum()), np.ones((~labeled_N).sum()))
    assert best_bin(score_N[labeled_N], score_N[~labeled_N], ones) == pytest.approx(
        hidden, abs=0.05
    )
    found = unlabeled_share(labeled_N, score_N, Groups.of(np.arange(6000)), draw)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(hidden, abs=0.05)


def test_too_few_presences_give_no_estimate():
    labeled_N = np.arange(500) < 19
    groups = Groups.of(np.arange(500))
    assert unlabeled_share(labeled_N, random(6).random(500), groups, random(7)) is None


def presence_only(seed=8, images=4000):
    """Present on 40 % of images, half of them recorded; no absence ever is."""
    draw = random(seed)
    present_N = draw.random(images) < 0.4
    recorded_N = present_N & (draw.random(images) < 0.5)
    score_N = np.where(present_N, draw.beta(8, 2, images), draw.beta(1, 6, images))
    return np.where(recorded_N, 1, -1).astype(np.int8)[:, None], score_N[:, None], present_N


def test_only_presences_and_nothing_else_is_unknown_and_not_all():
    state_N1, _, _ = presence_only()
    section = audit_missingness(label_side({}, {"tags": state_N1}), CONFIG)
    (found,) = section.presence
    assert found.prior.value is None
    assert found.propensity.value is None
    assert found.method == "none"
    assert "only presences are recorded" in found.sentence
    assert any("cannot be told" in sentence for sentence in section.sentences)


def test_only_presences_with_predictions_are_estimated():
    state_N1, score_N1, _ = presence_only()
    labels = label_side({}, {"tags": state_N1})
    (found,) = audit_missingness(labels, CONFIG, probabilities={"tags": score_N1}).presence
    assert found.method == "best bin estimation"
    assert found.prior.value == pytest.approx(0.4, abs=0.04)
    assert found.propensity.value == pytest.approx(0.5, abs=0.06)
    assert found.prior.low <= found.prior.value <= found.prior.high


def test_only_presences_with_embeddings_are_estimated():
    state_N1, _, present_N = presence_only(images=2500)
    embedding_ND = random(9).normal(size=(2500, 4)) + 5.0 * present_N[:, None]
    labels = label_side({}, {"tags": state_N1})
    (found,) = audit_missingness(labels, CONFIG, embeddings_ND=embedding_ND).presence
    assert found.prior.value == pytest.approx(0.4, abs=0.05)


def test_a_complete_split_says_how_often_a_category_is_there():
    state_N1, _, present_N = presence_only()
    split_N = np.repeat([0, 1], [3000, 1000])
    state_N1[split_N == 1, 0] = present_N[split_N == 1]
    section = audit_missingness(label_side({}, {"tags": state_N1}, split_N=split_N), CONFIG)
    (found,) = section.presence
    assert found.method == "complete split"
    assert found.prior.value == pytest.approx(present_N[3000:].mean())
    assert found.propensity.value == pytest.approx(0.5, abs=0.06)
    assert (found.known_present, found.known_absent) == ((state_N1[:3000] == 1).sum(), 0)


def test_random_gaps_leave_the_naive_share():
    draw = random(10)
    state_NC = (draw.random((2000, 2)) < [0.3, 0.6]).astype(np.int8)
    state_NC[draw.random((2000, 2)) < 0.5] = -1
    section = audit_missingness(label_side({}, {"tags": state_NC}), CONFIG)
    for category, (found, truth) in enumerate(zip(section.presence, (0.3, 0.6), strict=True)):
        known_N = state_NC[:, category] != -1
        assert found.method == "share of labeled images"
        assert found.prior.value == pytest.approx(state_NC[known_N, category].mean())
        assert found.prior.low < truth < found.prior.high
        assert found.propensity.value == pytest.approx(known_N.mean())


def test_gaps_by_site_are_corrected_with_that_site():
    draw = random(11)
    site_N = draw.integers(2, size=4000)
    present_N = draw.random(4000) < np.where(site_N, 0.8, 0.2)
    known_N = draw.random(4000) < np.where(site_N, 0.8, 0.1)
    labels = label_side(
        {},
        {"tags": np.where(known_N, present_N, -1).astype(np.int8)[:, None]},
        meta={"meta_site": pa.array(np.array(["a", "b"])[site_N])},
    )
    (found,) = audit_missingness(labels, CONFIG).presence
    assert found.method == "augmented inverse propensity weighting"
    assert found.prior.value == pytest.approx(0.5, abs=0.04)
    assert "among labeled images alone it would be 7" in found.sentence


def test_nobody_looked_and_all_looked():
    state_NC = np.stack([np.full(40, -1), np.arange(40) % 4 == 0], axis=1).astype(np.int8)
    nobody, everybody = audit_missingness(label_side({}, {"tags": state_NC}), CONFIG).presence
    assert nobody.prior.value is None
    assert nobody.propensity.value is None
    assert "nobody looked" in nobody.sentence
    assert everybody.prior.value == 0.25
    assert everybody.propensity.value == 1
