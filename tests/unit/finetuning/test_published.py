"""The published methods against plain loops, and what they do not touch."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from goldseam.errors import InvalidConfig
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA
from goldseam.finetuning.ranking.published import (
    CleanLabels,
    Rows,
    genetic,
    published_bp,
    published_ga,
    selection_chances,
)
from goldseam.trainer.tag_strategies.entries import asymmetric

pytestmark = pytest.mark.filterwarnings("error")


def tiny(seed=0):
    """Training rows, partly known, and clean validation rows; the heads point wrong."""
    rng = np.random.default_rng(seed)
    truth_DC = rng.normal(size=(5, 2))
    features_ND, clean_VD = rng.normal(size=(60, 5)), rng.normal(size=(80, 5))
    labels_NC, clean_VC = (
        (rows @ truth_DC + rng.normal(size=(len(rows), 2)) > 0).astype(np.int8)
        for rows in (features_ND, clean_VD)
    )
    labels_NC[rng.random(labels_NC.shape) < 0.3] = -1
    weight_CD = rng.normal(size=(2, 5))
    clean = CleanLabels(clean_VD, clean_VC)
    return (features_ND, labels_NC, weight_CD, np.zeros(2)), clean


def plain_loop(arrays, clean, c, options):
    """Adam by autograd, one head, the best on validation."""
    known_N = arrays[1][:, c] != -1
    feature_MD = torch.tensor(arrays[0][known_N])
    present_M = torch.tensor(arrays[1][known_N, c] == 1)
    weight_D = torch.tensor(arrays[2][c]).requires_grad_()
    bias = torch.tensor(arrays[3][c]).requires_grad_()
    adam = torch.optim.Adam([weight_D, bias], lr=options.learning_rate)
    valid_VD = torch.tensor(clean.features)

    def score():
        margin_V = (valid_VD @ weight_D + bias).detach().numpy()
        return average_precision_score(clean.labels_VC[:, c], margin_V)

    best = start = score()
    head, waited = (weight_D.detach().clone(), float(bias.detach())), 0
    for epoch in range(1, options.epochs + 1):
        margin_M = feature_MD @ weight_D + bias
        gammas = (0.0, 0.0, 0.0) if options.loss == "bce" else (0.0, 4.0, 0.05)
        positive_M, negative_M = asymmetric(margin_M, *gammas)
        loss = torch.where(present_M, positive_M, negative_M).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if score() > best:
            best, head, waited = score(), (weight_D.detach().clone(), float(bias.detach())), 0
        else:
            waited += 1
        if waited == options.patience:
            return head, start, best, epoch
    return head, start, best, options.epochs


@pytest.mark.parametrize("loss", ["bce", "asl"])
def test_bp_is_the_plain_loop(loss):
    arrays, clean = tiny()
    options = PublishedBP(loss=loss, learning_rate=0.02, epochs=60, patience=15, resamples=50)
    heads = published_bp(*arrays, clean=clean, categories=["a", "b"], options=options)
    assert any(head.accepted for head in heads)
    for c, found in enumerate(heads):
        (weight_D, bias), start, best, epochs = plain_loop(arrays, clean, c, options)
        np.testing.assert_allclose(found.weight_D, weight_D, atol=1e-4)
        assert found.bias == pytest.approx(bias, abs=1e-4)
        assert found.change.before.value == pytest.approx(start)
        assert found.change.after.value == pytest.approx(best)
        assert found.accepted == (best > start)
        assert found.steps == epochs
        assert found.seconds > 0


def test_asl_without_a_margin_does_not_overflow():
    arrays, clean = tiny()
    options = PublishedBP(loss="asl", margin=0.0, epochs=3)
    features_ND = arrays[0] * 1000
    heads = published_bp(features_ND, *arrays[1:], clean=clean, categories=["a", "b"],
                         options=options)  # fmt: skip
    assert all(np.isfinite(head.weight_D).all() for head in heads)


def test_roulette_goes_by_raw_fitness():
    np.testing.assert_allclose(selection_chances(np.array([0.2, 0.6, 0.0])), [0.25, 0.75, 0])
    np.testing.assert_allclose(selection_chances(np.zeros(4)), 0.25)


def test_ga_starts_from_clones_and_keeps_its_best():
    arrays, _ = tiny()
    rows = Rows.of(arrays[0], arrays[1][:, 0], "a")
    theta_P = np.append(arrays[2][0], 0.0).astype(np.float32)
    still = genetic(rows, theta_P, PublishedGA(mutation=0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(next(still), theta_P)
    options = PublishedGA(mutation=1.0)
    moving = genetic(rows, theta_P, options, np.random.default_rng(0))
    scores = [rows.scores("ap", theta_P[None])[0]]
    for generation in range(1, 21):
        best_P = next(moving)
        assert np.abs(best_P - theta_P).max() <= 1.001e-3 * generation
        scores.append(rows.scores("ap", best_P[None])[0])
    assert np.diff(scores).min() >= 0
    assert scores[-1] > scores[0]


def test_ga_is_seeded_and_never_worse_on_the_labels_that_select():
    arrays, clean = tiny(1)
    options = PublishedGA(amplitude=0.05, epochs=30, patience=10, resamples=0)
    first, again = (
        published_ga(*arrays, clean=clean, categories=["a", "b"], options=options) for _ in range(2)
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.weight_D, other.weight_D)
        assert one.change.change.value >= 0
        assert one.accepted == (one.change.change.value > 0)
    assert any(head.accepted for head in first)


@pytest.mark.parametrize("method", [published_bp, published_ga])
def test_unknown_labels_change_nothing_and_one_sided_categories_are_kept(method):
    arrays, clean = tiny()
    options = (PublishedBP if method is published_bp else PublishedGA)(epochs=5, resamples=0)
    arrays[1][:20, 0] = -1
    arrays[1][:, 1] = -1
    run = {"clean": clean, "categories": ["a", "b"], "options": options}
    first = method(*arrays, **run)
    poisoned_ND = arrays[0].copy()
    poisoned_ND[:20] = np.nan
    second = method(poisoned_ND, *arrays[1:], **run)
    np.testing.assert_array_equal(first[0].weight_D, second[0].weight_D)
    assert not first[1].accepted
    assert "0 present and 0 absent" in first[1].why
    np.testing.assert_array_equal(first[1].weight_D, arrays[2][1])
    with pytest.raises(InvalidConfig):
        method(*arrays, clean=CleanLabels(clean.features[:3], clean.labels_VC), categories=["a"])
