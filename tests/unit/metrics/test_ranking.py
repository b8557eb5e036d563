"""Rankings of many candidates at once against scikit-learn, with ties and unknown rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from goldseam.metrics import InvalidMetricInput, ranking
from goldseam.metrics.ranking import average_precision, roc_auc, weighted_ranking

pytestmark = pytest.mark.filterwarnings("error")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([2, 7, 10**6]),
    kind=st.sampled_from([np.float32, np.float64]),
    block=st.sampled_from([1, 10**6]),
)
def test_many_rankings_equal_scikit_learn(seed, levels, kind, block):
    rng = np.random.default_rng(seed)
    shape = (3, 4, int(rng.integers(1, 40)))  # categories, candidates, rows
    scores = ((rng.integers(0, levels, shape) - levels // 2) / levels).astype(kind)
    present = rng.random((3, 1, shape[2])) < 0.4
    known = rng.random((3, 1, shape[2])) < 0.7
    scores = np.where(known, scores, rng.choice([np.nan, np.inf, 3.0], shape)).astype(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK", block)
        found = average_precision(scores, present, known), roc_auc(scores, present, known)
    for c in range(3):
        rows = known[c, 0]
        label = present[c, 0, rows]
        for p in range(4):
            if len(set(label)) < 2:
                assert np.isnan(found[0][c, p])
                assert np.isnan(found[1][c, p])
                continue
            score = scores[c, p, rows].astype(float)
            expected = average_precision_score(label, score), roc_auc_score(label, score)
            assert found[0][c, p] == pytest.approx(expected[0], abs=1e-12)
            assert found[1][c, p] == pytest.approx(expected[1], abs=1e-12)


def test_one_vector_gives_one_number_and_equals_the_weighted_form():
    rng = np.random.default_rng(1)
    score_N, present_N = rng.integers(0, 9, 50) / 9, rng.random(50) < 0.3
    ap_R, auc_R = weighted_ranking(score_N, present_N.astype(int), np.arange(50), np.ones((1, 50)))
    assert average_precision(score_N, present_N).shape == ()
    assert average_precision(score_N, present_N) == pytest.approx(ap_R[0], abs=1e-14)
    assert roc_auc(score_N, present_N) == pytest.approx(auc_R[0], abs=1e-14)


def test_zeros_of_both_signs_tie_and_extremes_keep_their_order():
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    score_N = np.array([0.0, -0.0, tiny, -tiny, huge, -huge], np.float32)
    present_N = np.array([True, False, False, True, True, False])
    for kind in (np.float32, np.float64):
        expected = average_precision_score(present_N, score_N.astype(float))
        assert average_precision(score_N.astype(kind), present_N) == pytest.approx(expected)
        expected = roc_auc_score(present_N, score_N.astype(float))
        assert roc_auc(score_N.astype(kind), present_N) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_known_score_that_is_no_number_is_refused(kind):
    score_N = np.array([0.1, np.nan, 0.3], kind)
    with pytest.raises(InvalidMetricInput, match="NaN or infinite"):
        average_precision(score_N, [True, False, True])
    with pytest.raises(InvalidMetricInput, match="do not fit"):
        roc_auc(np.zeros((2, 3)), [True, False])


def test_nothing_to_rank_is_undefined():
    assert np.isnan(average_precision(np.zeros((4, 0)), np.zeros((4, 0)))).all()
    assert average_precision(np.zeros((0, 5)), np.ones(5, bool)).shape == (0,)
