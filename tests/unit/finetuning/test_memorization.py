"""The memorization check on features that know their labels, and on features that do not."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from goldseam.errors import InvalidArray
from goldseam.finetuning.evidence.memorization import memorization

pytestmark = pytest.mark.filterwarnings("error")
NAMES = ["a", "b", "c"]


def make_side(seed, rows=1500, memorized=0.0, known=0.5, keep_positives=1.0):
    """Margins of three categories; a memorized network adds what the label says."""
    rng = np.random.default_rng(seed)
    margin_NC = 1.5 * rng.normal(size=(rows, 3)) - 1
    label_NC = (rng.random((rows, 3)) < expit(margin_NC)).astype(np.int8)
    margin_NC += memorized * (2 * label_NC - 1)
    label_NC[rng.random(label_NC.shape) > known] = -1
    label_NC[(label_NC == 1) & (rng.random(label_NC.shape) > keep_positives)] = -1
    return margin_NC, label_NC


def check(train, held, **options):
    return memorization(*train, *held, categories=NAMES, resamples=200, **options)


@pytest.mark.parametrize("seed", range(4))
def test_honest_features_pass_and_memorized_ones_do_not(seed):
    held = make_side(100 + seed)
    assert check(make_side(seed), held).verdict == "ok"
    caught = check(make_side(seed, memorized=3.0), held)
    assert caught.verdict == "refuse"
    assert [each.verdict for each in caught.categories] == ["refuse"] * 3
    assert "earlier checkpoint" in caught.overall.remedy
    assert caught.overall.positive_margin.gap.low > 1
    assert caught.overall.log_loss.gap.high < 0


def test_a_head_with_room_to_memorize_is_caught_and_one_without_is_not():
    rng = np.random.default_rng(0)
    verdicts = []
    for features, rows, strength in ((300, 250, 1e-3), (6, 1500, 1.0)):
        feature_ND = rng.normal(size=(rows + 1500, features))
        truth_D = np.r_[np.ones(5), np.zeros(features - 5)] * 0.7
        label_N = (rng.random(rows + 1500) < expit(feature_ND @ truth_D)).astype(np.int8)
        head = LogisticRegression(C=1 / strength, max_iter=500)
        head.fit(feature_ND[:rows], label_N[:rows])
        margin_N1, label_N1 = head.decision_function(feature_ND)[:, None], label_N[:, None]
        sides = margin_N1[:rows], label_N1[:rows], margin_N1[rows:], label_N1[rows:]
        verdicts.append(memorization(*sides, categories=["a"], resamples=200).verdict)
    assert verdicts == ["refuse", "ok"]


def test_a_little_memorization_is_a_warning():
    found = check(make_side(0, memorized=0.4, rows=4000), make_side(1, rows=4000))
    assert found.verdict == "warn"
    assert found.overall.remedy


def test_a_differently_drawn_held_out_set_is_no_memorization():
    # all positives known in training, a fifth of them held out
    found = check(make_side(2, rows=3000), make_side(3, rows=3000, keep_positives=0.2))
    assert found.verdict == "ok"
    assert abs(found.overall.log_loss.gap.value) < 0.05


def test_the_numbers_are_what_they_say():
    train, held = make_side(4, memorized=1.0), make_side(5)
    found = check(train, held)
    areas = []
    for c, each in enumerate(found.categories):
        for side, (margin_NC, label_NC) in (("train", train), ("held_out", held)):
            known = label_NC[:, c] != -1
            area = roc_auc_score(label_NC[known, c], margin_NC[known, c])
            assert getattr(each.auc, side).value == pytest.approx(area)
            positive = (
                margin_NC[label_NC[:, c] == 1, c].mean() / held[0][held[1][:, c] != -1, c].std()
            )
            assert getattr(each.positive_margin, side).value == pytest.approx(positive)
        areas.append(each.auc.gap.value)
        assert each.auc.gap.low < each.auc.gap.value < each.auc.gap.high
    assert found.overall.auc.gap.value == pytest.approx(np.mean(areas))


def test_heads_that_tell_nothing_are_not_called_memorized():
    rng = np.random.default_rng(6)
    verdicts = []
    for _ in range(10):
        sides = []
        for rows in (60, 400):
            label_NC = (rng.random((rows, 3)) < 0.4).astype(np.int8)
            sides.append((rng.normal(size=(rows, 3)), label_NC))
        verdicts += [each.verdict for each in check(*sides).categories]
    assert verdicts.count("refuse") <= 1


def test_what_cannot_be_told_is_unknown():
    train, held = make_side(7), make_side(8, rows=25)
    found = check(train, held)
    assert found.verdict == "unknown"
    assert "cannot be told" in found.overall.sentence
    nothing = check(train, (held[0] * np.nan, np.full_like(held[1], -1)))
    assert nothing.overall.auc.held_out.value is None
    assert nothing.categories[0].remedy
    one_group = check(train, make_side(8), held_groups=np.full(1500, "x"))
    assert one_group.overall.auc.gap.value is not None
    assert (one_group.overall.auc.gap.low, one_group.verdict) == (None, "unknown")


def test_what_is_unknown_changes_nothing():
    train, held = make_side(9, rows=300), make_side(10, rows=300)
    found = check(train, held)
    for margin_NC, label_NC in (train, held):
        margin_NC[label_NC == -1] = np.nan
    assert check(train, held) == found


def test_groups_widen_intervals():
    train = make_side(11, rows=300)
    held = tuple(np.repeat(each, 5, axis=0) for each in make_side(12, rows=300))
    naive = check(train, held).overall.auc.held_out
    copies = np.repeat([f"g{n}" for n in range(300)], 5)
    honest = check(train, held, held_groups=copies).overall.auc.held_out
    assert honest.high - honest.low > 1.5 * (naive.high - naive.low)


def test_bad_arrays_are_named():
    train, held = make_side(0, rows=50), make_side(1, rows=50)
    with pytest.raises(InvalidArray, match="held-out margins"):
        check(train, (held[0][:, :2], held[1][:, :2]))
