"""The public function: new heads, an honest report, and unknown labels that change nothing."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

import goldseam
from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.finetuning.solving.correlated import fit_correlated
from goldseam.finetuning.solving.logistic import log_loss
from tests.unit.finetuning.test_joint import table


def test_it_returns_new_heads_and_a_report(tmp_path):
    *arrays, names = table(1, rows=600)
    result = goldseam.finetune_categories(*arrays, categories=names, resamples=50)
    assert result.weight_CD.shape == arrays[2].shape
    for c, (report, fit) in enumerate(zip(result.categories, result.fits, strict=True)):
        label_N = arrays[1][:, c]
        known = label_N != -1
        margin = arrays[0][known] @ arrays[2][c] + arrays[3][c]
        assert (report.known_present, report.known_absent) == (
            (label_N == 1).sum(), (label_N == 0).sum()
        )  # fmt: skip
        ap = average_precision_score(label_N[known], margin)
        assert report.ap.before.value == pytest.approx(ap, abs=1e-12)
        auc = roc_auc_score(label_N[known], fit.ranked_by_M)
        assert report.auc.after.value == pytest.approx(auc, abs=1e-12)
        loss = log_loss(margin, label_N[known].astype(float)).mean()
        assert report.log_loss.before.value == pytest.approx(loss)
        assert report.log_loss.after.value == pytest.approx(fit.log_loss_after)
        change = report.log_loss.change
        assert change.low < change.value < change.high < 0
        np.testing.assert_array_equal(result.weight_CD[c], fit.weight_D)
    assert result.sentence.startswith("3 of 3 classifiers were replaced")
    np.save(tmp_path / "f.npy", arrays[0])
    again = goldseam.finetune_categories(
        tmp_path / "f.npy", *arrays[1:], categories=names, resamples=50
    )
    np.testing.assert_array_equal(again.weight_CD, result.weight_CD)
    assert again.categories == result.categories
    with pytest.raises(InvalidArray, match="600 rows, expected 1"):
        goldseam.finetune_categories(tmp_path / "f.npy", *arrays[1:], image_ids=["a"])


def test_what_stands_at_unknown_labels_changes_nothing():
    *arrays, names = table(2)
    features_ND, labels_NC = arrays[0].copy(), arrays[1].copy()
    labels_NC[:40] = -1
    weight_NC = np.ones(labels_NC.shape)
    options = {"categories": names, "resamples": 20}
    first = goldseam.finetune_categories(
        features_ND, labels_NC, *arrays[2:], sample_weight=weight_NC, **options
    )
    features_ND[:40] = np.nan
    weight_NC[labels_NC == -1] = np.nan
    second = goldseam.finetune_categories(
        features_ND, labels_NC, *arrays[2:], sample_weight=weight_NC, **options
    )
    np.testing.assert_array_equal(first.weight_CD, second.weight_CD)
    assert first.categories == second.categories


def test_only_the_named_categories_change():
    *arrays, names = table(3)
    result = goldseam.finetune_categories(*arrays, categories=names, only=["c1"], resamples=0)
    np.testing.assert_array_equal(result.weight_CD[[0, 2]], arrays[2][[0, 2]])
    every = goldseam.finetune_categories(*arrays, categories=names, resamples=0)
    np.testing.assert_array_equal(result.weight_CD[1], every.weight_CD[1])
    assert not np.array_equal(result.weight_CD[1], arrays[2][1])
    assert [report.category for report in result.categories] == ["c1"]
    assert result.categories[0].ap.after.low is None
    with pytest.raises(InvalidConfig, match="no category 'c9'"):
        goldseam.finetune_categories(*arrays, categories=names, only=["c9"])


def test_a_category_without_known_negatives_is_kept_and_has_no_ranking():
    *arrays, names = table(4)
    arrays[1][arrays[1][:, 0] == 0, 0] = -1
    arrays[1][:, 1] = -1
    result = goldseam.finetune_categories(*arrays, categories=names, resamples=10)
    single, unknown, _ = result.categories
    assert single.kept
    assert single.known_absent == 0
    assert single.ap.before.value is None
    assert single.log_loss.before.value is not None
    assert unknown.kept
    assert unknown.log_loss.before.value is None


def test_wrong_sample_weights_are_named():
    *arrays, names = table(5)
    weight_NC = np.ones(arrays[1].shape)
    row = int(np.flatnonzero(arrays[1][:, 1] != -1)[0])
    weight_NC[row, 1] = -2
    with pytest.raises(InvalidConfig, match=f"row {row}, column 1: -2.0"):
        goldseam.finetune_categories(*arrays, categories=names, sample_weight=weight_NC)


def related(seed, *, rows=150, features=40, categories=8):
    """Categories whose true heads differ from the trained ones in the same two directions."""
    rng = np.random.default_rng(seed)
    features_ND = rng.normal(size=(rows, features))
    shared_RD = rng.normal(size=(2, features)) / 3
    truth_CD = rng.normal(size=(categories, 2)) * 3 @ shared_RD
    labels_NC = (rng.random((rows, categories)) < expit(features_ND @ truth_CD.T)).astype(np.int8)
    labels_NC[rng.random(labels_NC.shape) < 0.4] = -1
    names = [f"c{c}" for c in range(categories)]
    trained_CD = rng.normal(size=truth_CD.shape) / 10
    return features_ND, labels_NC, trained_CD, np.zeros(categories), names, truth_CD


def test_shared_directions_help_where_there_are_some():
    *arrays, names, truth_CD = related(0)
    fits = fit_correlated(*arrays, categories=names, variant="shared", folds=3, resamples=50)
    assert np.mean([fit.change.value for fit in fits]) < 0
    new_ND = np.random.default_rng(1).normal(size=(4000, 40))
    rights = [
        np.corrcoef(new_ND @ fit.weight_D, new_ND @ truth)[0, 1]
        for fit, truth in zip(fits, truth_CD, strict=True)
    ]
    assert np.mean(rights) > 0.8
    for fit in fits:
        assert fit.better == (fit.change.high < 0)
        assert fit.change.value == pytest.approx(fit.log_loss.value - fit.log_loss_alone.value)


@pytest.mark.parametrize("variant", ["logits", "shared"])
def test_a_variant_never_reads_unknown_labels_and_says_what_it_cannot_fit(variant):
    *arrays, names, _ = related(2, rows=120, features=12, categories=4)
    arrays[1][:30] = -1
    arrays[1][:, 3] = -1
    options = {"categories": names, "variant": variant, "folds": 2, "resamples": 10}
    first = fit_correlated(*arrays, **options)
    arrays[0][:30] = np.nan
    second = fit_correlated(*arrays, **options)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.weight_D, b.weight_D)
        assert (a.bias, a.change, a.why) == (b.bias, b.change, b.why)
    assert first[3].why.startswith("0 known present")
    assert first[3].log_loss.value is None
    np.testing.assert_array_equal(first[3].weight_D, arrays[2][3])


def test_margins_of_the_logit_variant_are_those_of_its_head():
    *arrays, names, _ = related(3, rows=100, features=6, categories=3)
    fits = fit_correlated(*arrays, categories=names, variant="logits", folds=2, resamples=0)
    for c, fit in enumerate(fits):
        known = arrays[1][:, c] != -1
        trained = arrays[0][known] @ fit.weight_D + fit.bias
        present = (arrays[1][known, c] == 1).astype(float)
        # fit on the very labels, hence below what cross-validation says
        assert log_loss(trained, present).mean() < fit.log_loss.value


def test_arrays_that_do_not_fit_are_refused():
    features_ND, labels_NC, weight_CD, bias_C, names = table(6)
    for change in ({"categories": names[:2]}, {"groups": ["a"]}, {"sample_weight": np.ones(3)}):
        with pytest.raises(InvalidConfig, match="do not fit"):
            goldseam.finetune_categories(features_ND, labels_NC, weight_CD, bias_C, **change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": -1}, r"resamples is -1"),
        ({"method": "singel"}, r"'singel'.\n.*single"),
        ({"folds": 1}, "folds is 1"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InvalidConfig, match=message):
        goldseam.finetune_categories(*table(6)[:4], **options)


@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_labels_may_be_of_a_type_that_knows_no_minus_one(kind):
    features_ND, labels_NC, weight_CD, bias_C, _ = table(6)
    every_NC = np.maximum(labels_NC, 0)
    options = {"only": ["0"], "resamples": 0}
    found, expected = (
        goldseam.finetune_categories(features_ND, labels, weight_CD, bias_C, **options)
        for labels in (every_NC.astype(kind), every_NC)
    )
    assert np.array_equal(found.weight_CD, expected.weight_CD)


@pytest.mark.parametrize("method", ["single", "joint"])
def test_what_is_only_re_scaled_ranks_as_before(method):
    features_ND, labels_NC, weight_CD, bias_C, _ = table(1, rows=600)
    good_CD = goldseam.finetune_categories(features_ND, labels_NC, weight_CD, bias_C).weight_CD
    strong = {"penalties": (1e12,), "method": method, "resamples": 20}
    found = goldseam.finetune_categories(features_ND, labels_NC, good_CD / 3, bias_C, **strong)
    moved = [fit for fit in found.fits if not fit.kept]
    assert moved
    for fit, report in zip(found.fits, found.categories, strict=True):
        assert abs(report.ap.change.value) < 1e-9
        assert abs(report.auc.change.value) < 1e-9
        assert report.kept or report.log_loss.change.value < 0
        # folds differ in slope and intercept all the same
        assert report.kept or not np.allclose(fit.held_out_margin_M, fit.ranked_by_M)
