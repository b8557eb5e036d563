"""Breaking off hopeless penalties changes no choice: bounds hold, and the winner is the same."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import expit

from goldseam.finetuning.solving.contest import Contest, simplest
from goldseam.finetuning.solving.known import KnownLabels, ScaledRows
from goldseam.finetuning.solving.logistic import minimize_dual
from goldseam.finetuning.solving.penalties import Coordinates, Rescaled, screen

pytestmark = pytest.mark.filterwarnings("error")
PENALTIES = [1000.0, 100.0, 10.0, 1.0, 0.1]


def make_category(seed, rows, features, *, clarity=2.0, weights=False):
    """Known labels with folds, margins of a head that points wrong, and coordinates of the rows."""
    rng = np.random.default_rng(seed)
    feature_ND = rng.normal(size=(rows, features)) * 3 / (1 + np.arange(features) / 9) + 5
    truth_D = rng.normal(size=features)
    margin_N = (feature_ND - 5) @ truth_D
    margin_N *= clarity / margin_N.std()
    label_N = (rng.random(rows) < expit(margin_N - 0.5)).astype(np.int8)
    weight_N = rng.uniform(0.2, 3, rows) if weights else None
    known = KnownLabels.of("a", label_N, weight_N, np.arange(rows), folds=5, min_known=5, rng=rng)
    head_D = truth_D + rng.normal(size=features)
    coordinates = Coordinates.of(ScaledRows.of(feature_ND).feature_ND)
    return known, feature_ND @ head_D / 9 - 2, coordinates


SHAPES = [(150, 8), (120, 100), (60, 200)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("clarity", [0.5, 2.0, 9.0])
@pytest.mark.parametrize("weights", [False, True], ids=["alike", "weighted"])
def test_no_loss_falls_by_more_than_the_bound(monkeypatch, shape, clarity, weights):
    seen = []

    def watch(contest, penalty, margin_NF, decrement_F):
        loss = contest.known.loss(contest.held_out(margin_NF.numpy()))
        seen.append((penalty, loss, contest.most_fall(penalty, margin_NF, decrement_F)))
        return False

    monkeypatch.setattr(Contest, "is_lost", watch)
    for seed in range(4):
        seen.clear()
        known, margin_N, coordinates = make_category(seed, *shape, clarity=clarity, weights=weights)
        loss_K = screen(known, margin_N, coordinates, PENALTIES).loss_K
        final = dict(zip(PENALTIES, loss_K[2:], strict=True))
        assert len(seen) > len(PENALTIES)
        for penalty, loss, fall in seen:
            assert final[penalty] >= loss - fall - 1e-7


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_winner_is_that_of_penalties_that_are_all_finished(monkeypatch, shape):
    given_up = 0
    for seed in range(8):
        category = make_category(seed, *shape, clarity=[0.5, 2.0, 9.0][seed % 3])
        short = screen(*category, PENALTIES)
        with monkeypatch.context() as patch:
            patch.setattr(Contest, "is_lost", lambda *_: False)
            whole = screen(*category, PENALTIES)
        best = simplest(whole.loss_K)
        assert simplest(short.loss_K) == best
        # a winner starts where the last penalty ended, finished or not
        np.testing.assert_allclose(short.held_out_KN[best], whole.held_out_KN[best], atol=5e-3)
        assert (short.loss_K >= whole.loss_K[best] - 1e-6).all()
        given_up += int((np.abs(short.loss_K - whole.loss_K) > 1e-5).sum())
    assert given_up > 4


def test_losses_of_finished_penalties_are_those_of_separate_fits(monkeypatch):
    monkeypatch.setattr(Contest, "is_lost", lambda *_: False)
    known, margin_N, coordinates = make_category(3, 90, 30, weights=True)
    held_KN = screen(known, margin_N, coordinates, [10.0]).held_out_KN
    rescaled = Rescaled.of(margin_N, known)
    for fold in range(5):
        keep_N, offset_N = known.fold_N != fold, rescaled.margins(margin_N)[:, fold]
        fit = minimize_dual(
            coordinates.design_NR[keep_N],
            known.present_N[keep_N],
            offset_N[keep_N],
            10.0,
            weight_N=known.weight_N[keep_N],
        )
        expected_N = offset_N + coordinates.design_NR @ fit.weight_F + fit.intercept
        np.testing.assert_allclose(held_KN[2, ~keep_N], expected_N[~keep_N], atol=5e-3)


def test_a_candidate_is_lost_only_against_a_better_one():
    known, margin_N, coordinates = make_category(1, 80, 6)
    problem = screen(known, margin_N, coordinates, [10.0])
    design_NP = np.concatenate([coordinates.design_NR, np.ones((80, 1))], axis=1)
    contest = Contest.of(known, torch.from_numpy(design_NP))
    margin_NF = torch.from_numpy(np.repeat(problem.held_out_KN[2][:, None], 6, axis=1))
    solved_F, far_F = torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    assert not contest.is_lost(10.0, margin_NF, solved_F)  # nobody has entered
    contest.enter(problem.held_out_KN[2])
    assert not contest.is_lost(10.0, margin_NF, solved_F)  # not worse than itself
    contest.enter(np.where(known.present_N == 1, 9.0, -9.0))
    assert contest.is_lost(10.0, margin_NF, solved_F)
    assert not contest.is_lost(10.0, margin_NF, 100 * far_F)


def test_of_equal_candidates_the_simplest_wins():
    assert simplest(np.array([0.5, 0.4 + 5e-7, 0.4, 0.4 + 2e-6])) == 1
    assert simplest(np.array([0.5, 0.4 + 5e-6, 0.4])) == 2


def test_labels_of_a_weight_of_nearly_nothing_do_not_decide():
    known, margin_N, coordinates = make_category(2, 100, 10)
    light_N = np.arange(100) % 4 == 0
    weighted = dataclasses.replace(known, weight_N=np.where(light_N, 1e-300, 1.0))
    flipped = dataclasses.replace(
        weighted, present_N=np.where(light_N, 1 - known.present_N, known.present_N)
    )
    first, second = (screen(one, margin_N, coordinates, PENALTIES) for one in (weighted, flipped))
    np.testing.assert_allclose(first.loss_K, second.loss_K)
