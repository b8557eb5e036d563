"""A search, other categories and the published methods as options of the function and the stage."""

import numpy as np
import pydantic
import pytest

import goldseam
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.features import store_features
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA, RankingSearch
from goldseam.finetuning.ranking.published import CleanLabels, published_bp, published_ga
from goldseam.finetuning.ranking.search import search_heads
from goldseam.finetuning.solving.correlated import fit_correlated
from goldseam.finetuning.solving.logistic import log_loss
from goldseam.finetuning.stage import finetune
from goldseam.models.checkpoint import load_checkpoint
from tests.conftest import disc_info, discs
from tests.unit.finetuning.conftest import OPTIONS
from tests.unit.finetuning.test_heads import related
from tests.unit.finetuning.test_search import SMALL, planted

BP = {"method": "published_bp", "epochs": 6, "learning_rate": 0.05, "resamples": 10}
GA = {"method": "published_ga", "epochs": 6, "population": 6, "amplitude": 0.5, "resamples": 10}


def test_a_searched_head_is_handed_back_and_reported():
    feature_ND, labels_NC, fits = planted()
    arrays = (feature_ND, labels_NC, np.zeros((3, 6)) + 0.01, np.zeros(3))
    names = ["a", "b", "c"]
    found = goldseam.finetune_categories(*arrays, categories=names, ranking=SMALL, resamples=20)
    alone = search_heads(feature_ND, labels_NC, fits, options=SMALL)
    assert [head.accepted for head in alone] == [True, False, False]
    np.testing.assert_array_equal(found.weight_CD, [head.weight_D for head in alone])
    assert "had not seen" in found.categories[0].why
    np.testing.assert_array_equal(found.fits[0].held_out_margin_M, alone[0].held_out_margin_M)
    plain = goldseam.finetune_categories(*arrays, categories=names, resamples=20)
    assert found.categories[0].ap.after.value > plain.categories[0].ap.after.value
    assert found.categories[1] == plain.categories[1]
    # what is not named is not searched either
    named = goldseam.finetune_categories(
        *arrays, categories=names, only=["b"], ranking=SMALL, resamples=0
    )
    np.testing.assert_array_equal(named.weight_CD[0], arrays[2][0])


@pytest.mark.parametrize("variant", ["logits", "shared"])
def test_other_categories_help_only_where_that_is_proven(variant):
    *arrays, names, _ = related(0)
    options = {"categories": names, "folds": 3, "resamples": 50}
    found = goldseam.finetune_categories(*arrays, correlated=variant, **options)
    alone = goldseam.finetune_categories(*arrays, **options)
    together = fit_correlated(*arrays, variant=variant, **options)
    better = [fit.better for fit in together]
    if variant == "shared":
        assert any(better)
        assert not all(better)
    for c, (fit, other) in enumerate(zip(found.fits, together, strict=True)):
        # it has to be better than the head that was chosen without help as well
        beats = other.better and other.log_loss.value < alone.fits[c].log_loss_after
        expected = other if beats else alone.fits[c]
        np.testing.assert_array_equal(fit.weight_D, expected.weight_D)
        np.testing.assert_array_equal(fit.held_out_margin_M, expected.held_out_margin_M)
        np.testing.assert_array_equal(fit.fold_M, expected.fold_M)
        # reported whether it replaces the head or not
        report = found.categories[c].together
        assert (report.before, report.after, report.change) == (
            other.log_loss_alone, other.log_loss, other.change
        )  # fmt: skip
        assert alone.categories[c].together is None
        present_M = (arrays[1][fit.row_M, c] == 1).astype(float)
        loss = log_loss(fit.held_out_margin_M, present_M).mean()
        assert fit.log_loss_after == pytest.approx(loss)
    # a category that is not named helps, and stays
    one = better.index(any(better))
    named = goldseam.finetune_categories(*arrays, correlated=variant, only=[names[one]], **options)
    np.testing.assert_array_equal(named.weight_CD[one], found.weight_CD[one])
    others = np.arange(len(names)) != one
    np.testing.assert_array_equal(named.weight_CD[others], arrays[2][others])


def test_ways_that_exclude_each_other_are_refused():
    *arrays, names, _ = related(1, rows=60, features=6, categories=3)
    for other in ({"ranking": RankingSearch()}, {"sample_weight": np.ones(arrays[1].shape)}):
        with pytest.raises(InvalidConfig, match="correlated heads are neither"):
            goldseam.finetune_categories(*arrays, categories=names, correlated="shared", **other)
    for options in (
        {"correlated": "shared", "ranking": {"method": "search"}},
        {"correlated": "shared", "flip_rate": 0.1},
        {"ranking": {"method": "published_bp"}, "held_out": ""},
    ):
        with pytest.raises(pydantic.ValidationError, match=r"two ways|alike|held_out"):
            FinetuneConfig(**options)


@pytest.mark.parametrize(
    ("ranking", "method", "form"),
    [(BP, published_bp, PublishedBP), (GA, published_ga, PublishedGA)],
    ids=["bp", "ga"],
)
def test_the_stage_runs_the_published_methods(many, model, tmp_path, ranking, method, form):
    options = OPTIONS | {"held_out": "validation", "memorized": "ignore", "calibrate": False}
    result = finetune(FinetuneConfig(**options, ranking=ranking), many, model, tmp_path / "out")
    train, clean = (
        store_features(model, many, split, "tags", tmp_path / split)
        for split in ("train", "validation")
    )
    before = load_checkpoint(model).tags["tags"]
    weight_CD, bias_C = (part.detach().double().numpy() for part in (before.weight, before.bias))
    expected = method(
        train.features,
        train.labels_NC,
        weight_CD,
        bias_C,
        clean=CleanLabels(clean.features, clean.labels_NC, clean.groups),
        categories=many.info.tasks["tags"].categories,
        options=form(**ranking),
    )
    after = load_checkpoint(tmp_path / "out" / "checkpoint").tags["tags"]
    assert any(head.accepted for head in expected)
    for c, (head, one) in enumerate(zip(expected, result.categories, strict=True)):
        np.testing.assert_allclose(after.weight[c].detach().numpy(), head.weight_D, rtol=1e-6)
        assert after.bias[c].item() == pytest.approx(head.bias, rel=1e-5)
        assert one.kept != head.accepted
        assert one.why == head.why
        # judged on the labels that chose
        assert one.known_present + one.known_absent == 60
        assert one.scores["ap"].after.value == pytest.approx(head.change.after.value, abs=1e-6)


def test_a_published_method_without_clean_labels_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="choose by clean labels: name 'held_out'"):
        FinetuneConfig(**OPTIONS | {"held_out": "train", "ranking": BP})
    options = OPTIONS | {"held_out": "validation", "ranking": BP}
    splits = {"train": discs(11, 90, partial=False)}
    write_dataset(tmp_path / "d", disc_info(), splits)
    with pytest.raises(InvalidConfig, match="clean labels, and there are none"):
        finetune(FinetuneConfig(**options), open_dataset(tmp_path / "d"), model, tmp_path / "out")
    # said before features are computed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]
