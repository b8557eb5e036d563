"""The ranking search finds a planted ranking, refuses noise, and depends on nothing else."""

import dataclasses

import numpy as np
import pydantic
import pytest
from sklearn.metrics import average_precision_score

from goldseam.errors import InvalidConfig
from goldseam.finetuning.ranking.directions import Surroundings, pulls
from goldseam.finetuning.ranking.evolution import Landscape, evolve, rank_chances
from goldseam.finetuning.ranking.held_out import SHARES, best_shares
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA, RankingSearch
from goldseam.finetuning.ranking.search import _known, replaced, search_heads
from goldseam.finetuning.solving.logistic import log_loss
from goldseam.finetuning.solving.solver import fit_heads

pytestmark = pytest.mark.filterwarnings("error")
SMALL = RankingSearch(directions=8, population=16, elite=2, generations=15, patience=8)


def outliers(seed, rows=500):
    """The first feature tells most, but for a few negatives so far out that log-loss shuns it.

    Positives stand 2 higher in it than most negatives, and one negative in twenty stands at 15; in
    the second they stand 0.7 higher.
    """
    rng = np.random.default_rng(seed)
    feature_ND = rng.normal(size=(rows, 6))
    present_N = rng.random(rows) < 0.3
    feature_ND[present_N, :2] += 2.0, 0.7
    feature_ND[~present_N & (rng.random(rows) < 0.05), 0] = 15.0
    return feature_ND, present_N.astype(np.int8)


def planted(seed=0):
    """A planted category, one of noise, and one with too few positives; a fifth is unknown."""
    rng = np.random.default_rng((seed, 1))
    feature_ND, label_N = outliers(seed)
    noise_N = (rng.random(len(label_N)) < 0.3).astype(np.int8)
    rare_N = (np.arange(len(label_N)) < 5).astype(np.int8)
    labels_NC = np.stack([label_N, noise_N, rare_N], axis=1)
    labels_NC[::5] = -1
    fits = fit_heads(
        feature_ND, labels_NC, np.zeros((3, 6)) + 0.01, np.zeros(3), categories=["a", "b", "c"]
    )
    return feature_ND, labels_NC, fits


def same(first, second):
    np.testing.assert_array_equal(first.weight_D, second.weight_D)
    np.testing.assert_array_equal(first.held_out_margin_M, second.held_out_margin_M)
    skip = {"weight_D", "held_out_margin_M", "seconds"}
    for field in dataclasses.fields(first):
        if field.name not in skip:
            assert getattr(first, field.name) == getattr(second, field.name), field.name


def test_a_better_ranking_than_the_log_loss_optimum_is_found_and_accepted():
    feature_ND, labels_NC, fits = planted()
    heads = search_heads(feature_ND, labels_NC, fits, options=SMALL)
    found, noise, rare = heads
    assert found.accepted
    assert found.change.change.low > 0.02
    assert found.steps > 1
    assert "had not seen" in found.why
    fresh_ND, fresh_N = outliers(99, rows=3000)
    before, after = (
        average_precision_score(fresh_N, fresh_ND @ head.weight_D) for head in (fits[0], found)
    )
    assert after > before + 0.05
    # the score that was promised holds on new data
    assert found.change.after.low < after < found.change.after.high + 0.02
    # slope and intercept are those of the least log-loss
    known_N = labels_NC[:, 0] != -1
    present_N = (labels_NC[known_N, 0] == 1).astype(float)
    margin_N = feature_ND[known_N] @ found.weight_D + found.bias
    least = log_loss(margin_N, present_N).mean()
    for slope, shift in ((1.1, 0), (0.9, 0), (1, 0.1), (1, -0.1)):
        assert log_loss(slope * margin_N + shift, present_N).mean() > least
    fit = replaced(fits[0], found)
    assert fit.log_loss_after == pytest.approx(log_loss(fit.held_out_margin_M, present_N).mean())
    assert not fit.kept
    assert replaced(fits[1], noise) is fits[1]
    assert not noise.accepted
    assert noise.steps > 1
    np.testing.assert_array_equal(noise.weight_D, fits[1].weight_D)
    assert not rare.accepted
    assert rare.change.before.value is None
    assert "fewer than the 10 of each" in rare.why


def test_noise_is_refused():
    rng = np.random.default_rng(5)
    feature_ND = rng.normal(size=(120, 6))
    labels_NC = (rng.random((120, 100)) < 0.25).astype(np.int8)
    fits = fit_heads(
        feature_ND,
        labels_NC,
        rng.normal(size=(100, 6)),
        np.full(100, -1.0),
        categories=[str(c) for c in range(100)],
        penalties=(10.0, 1000.0),
    )
    heads = search_heads(feature_ND, labels_NC, fits, options=SMALL)
    assert sum(head.accepted for head in heads) <= 5
    # the searches did find something on the rows they saw
    assert np.mean([head.change.change.value != 0 for head in heads]) > 0.5


def test_it_repeats_itself_and_ignores_the_other_categories_and_unknown_labels():
    feature_ND, labels_NC, fits = planted()
    groups = [f"g{n // 2}" for n in range(len(labels_NC))]
    options = SMALL.model_copy(update={"score": "auc"})
    first = search_heads(feature_ND, labels_NC, fits, groups=groups, options=options)
    poisoned_ND = feature_ND.copy()
    poisoned_ND[::5] = np.nan
    alone = search_heads(
        poisoned_ND, labels_NC, fits[:1], columns=[0], groups=groups, options=options
    )
    same(first[0], alone[0])
    turned = search_heads(
        feature_ND, labels_NC, fits[::-1], columns=[2, 1, 0], groups=groups, options=options
    )
    for one, other in zip(first, turned[::-1], strict=True):
        same(one, other)
    other = options.model_copy(update={"seed": 1})
    again = search_heads(feature_ND, labels_NC, fits, groups=groups, options=other)
    assert not np.array_equal(again[0].weight_D, first[0].weight_D)


def test_labels_that_the_fits_were_not_made_of_are_refused():
    feature_ND, labels_NC, fits = planted()
    with pytest.raises(InvalidConfig, match="category 'a'"):
        search_heads(feature_ND, labels_NC, fits[:1], columns=[1], options=SMALL)
    weight_NC = np.full(labels_NC.shape, 2.0)
    weight_NC[1] = 0
    with pytest.raises(InvalidConfig, match="not those of its fit"):
        search_heads(feature_ND, labels_NC, fits, sample_weight_NC=weight_NC, options=SMALL)
    with pytest.raises(InvalidConfig, match="do not fit"):
        search_heads(feature_ND[1:], labels_NC, fits, options=SMALL)


@pytest.mark.parametrize("features", [6, 300], ids=["more rows", "more features"])
def test_a_step_costs_what_the_directions_promise_and_gives_the_head(features):
    rng = np.random.default_rng(3)
    feature_ND = rng.normal(size=(200, features)) / np.sqrt(features) * 3 + 2
    label_N = (feature_ND[:, 0] + rng.normal(size=200) > 2).astype(np.int8)
    weight_CD = rng.normal(size=(1, features)) * 0.1
    fit = fit_heads(feature_ND, label_N[:, None], weight_CD, np.zeros(1), categories=["a"])[0]
    fit = dataclasses.replace(fit, penalty=None)
    around = Surroundings.of(feature_ND, fit, _known(fit, label_N, None, SMALL), 8)
    place = around.folds[-1]
    point_K = 1e-3 * rng.normal(size=8)
    weight_D, bias = around.head(point_K)
    np.testing.assert_allclose(feature_ND @ weight_D + bias, place.moved(point_K), atol=1e-9)
    # second order of log-loss and ridge together: half the squared length
    steps = len(place.move_KN)
    probability_N = 1 / (1 + np.exp(-place.margin_N))
    curved_KN = place.move_KN * probability_N * (1 - probability_N)
    ridge_KK = 1000.0 * place.step_PK[:-1].T @ place.step_PK[:-1]
    np.testing.assert_allclose(curved_KN @ place.move_KN.T + ridge_KK, np.eye(steps), atol=1e-6)
    # a fold's directions follow from the rows that it leaves
    for fold, part in enumerate(around.folds[:-1]):
        assert not (fit.fold_M[part.train_N] == fold).any()


def test_bins_of_score_hold_equal_shares_of_the_residuals():
    rng = np.random.default_rng(0)
    margin_N, present_N = rng.normal(size=4000), (rng.random(4000) < 0.4).astype(float)
    residual_N = present_N - 1 / (1 + np.exp(-margin_N))
    spread_NK = pulls(margin_N, present_N, residual_N, 4)
    np.testing.assert_allclose(spread_NK.sum(axis=1), residual_N)
    total_K = spread_NK.sum(axis=0)
    np.testing.assert_allclose(total_K[:4], total_K[:4].mean(), rtol=0.02)
    np.testing.assert_allclose(total_K[4:], total_K[4:].mean(), rtol=0.02)
    assert margin_N[spread_NK[:, 0] != 0].min() > margin_N[spread_NK[:, 1] != 0].max()


def test_a_share_is_chosen_by_the_other_folds_and_none_on_equal_terms():
    rng = np.random.default_rng(2)
    _, labels_NC, fits = planted()
    known = _known(fits[0], labels_NC[:, 0], None, SMALL)
    aligned_SM = rng.normal(size=(len(SHARES), len(known.row_N)))
    first_F = best_shares(aligned_SM, known, "ap")
    changed_SM = aligned_SM.copy()
    changed_SM[:, known.fold_N == 2] = rng.normal(size=(len(SHARES), (known.fold_N == 2).sum())) * 9
    assert best_shares(changed_SM, known, "ap")[2] == first_F[2]
    assert len(first_F) == 6
    assert not best_shares(np.repeat(aligned_SM[:1], len(SHARES), axis=0), known, "auc").any()


def test_a_perfect_start_is_not_searched_and_ranks_decide_who_reproduces():
    present_N = np.arange(30) < 10
    landscape = Landscape(-np.arange(30.0), np.zeros((2, 30)), present_N)
    summit = evolve([landscape], SMALL)[0]
    assert (summit.start, summit.score, summit.generations) == (1.0, 1.0, 1)
    assert not summit.point_K.any()
    np.testing.assert_allclose(rank_chances(4), [0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (RankingSearch, {"directions": 3}),
        (RankingSearch, {"elite": 48}),
        (RankingSearch, {"shortest": 20.0}),
        (RankingSearch, {"score": "f1"}),
        (RankingSearch, {"resamples": 0}),
        (PublishedBP, {"learning_rate": 0.0}),
        (PublishedBP, {"loss": "hinge"}),
        (PublishedGA, {"elite": 50}),
        (PublishedGA, {"crossover": 1.5}),
        (PublishedGA, {"generations": 3}),
    ],
)
def test_options_are_checked(options, values):
    with pytest.raises(pydantic.ValidationError):
        options(**values)
