"""The stage as a whole: what the checkpoint predicts is what the report promised."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from goldseam.errors import InvalidConfig, OutputExists
from goldseam.finetuning import heads as heads_module
from goldseam.finetuning import repair as repair_module
from goldseam.finetuning import stage as stage_module
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.features import store_features
from goldseam.finetuning.probabilities.calibration import Calibration
from goldseam.finetuning.probabilities.objectives import ExpectedCost
from goldseam.finetuning.stage import finetune
from goldseam.models.checkpoint import load_checkpoint
from goldseam.models.outputs import TagCurve
from goldseam.results.findings import SCHEMA
from tests.unit.conftest import Killed
from tests.unit.finetuning.conftest import OPTIONS


def repaired(many, model, out, **options):
    return finetune(FinetuneConfig(**OPTIONS | options), many, model, out)


def test_the_checkpoint_predicts_what_the_repair_says(many, model, tmp_path, monkeypatch):
    kept = {}
    inner = stage_module.repair_categories

    def spying(*args, **kwargs):
        kept["found"] = inner(*args, **kwargs)
        return kept["found"]

    monkeypatch.setattr(stage_module, "repair_categories", spying)
    repaired(many, model, tmp_path / "out")
    found = kept["found"]
    # one category gets a curve, whatever cross-validation chose
    curve = Calibration("isotonic", margins=(-1.0, 0.5, 2.0), probabilities=(0.1, 0.4, 0.9))
    target = found.categories[1]
    calibration = dataclasses.replace(target.calibration, calibration=curve)
    bent = dataclasses.replace(target, calibration=calibration)
    found = dataclasses.replace(
        found, categories=(found.categories[0], bent, *found.categories[2:])
    )
    network = load_checkpoint(model)
    stage_module._replace_heads(network, "tags", found)
    images_BCHW = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pooled_BZ = network.shared_features(images_BCHW)[1].double().numpy()
    predicted_BC = network.predict(images_BCHW)["tags"].numpy()
    for column, one in enumerate(found.categories):
        logit_B = one.logit(pooled_BZ @ one.fit.weight_D + one.fit.bias)
        np.testing.assert_allclose(predicted_BC[:, column], 1 / (1 + np.exp(-logit_B)), atol=1e-4)


def test_a_curve_survives_the_checkpoint(many, model, tmp_path):
    network = load_checkpoint(model)
    curve = TagCurve(logits=(-2.0, 0.0, 3.0), probabilities=(0.2, 0.2, 0.7))
    network.preprocessing = network.preprocessing.model_copy(
        update={"tag_curves": {"tags": {"bar": curve}}}
    )
    stage_module.save_checkpoint(tmp_path / "c", network, dataset_digest="", stage_key="")
    again = load_checkpoint(tmp_path / "c")
    images_BCHW = torch.rand(3, 3, 32, 32)
    assert torch.equal(again.predict(images_BCHW)["tags"], network.predict(images_BCHW)["tags"])
    knots = torch.tensor([-9.0, -1.0, 0.0, 1.5, 9.0])
    assert torch.allclose(curve(knots), torch.tensor([0.2, 0.2, 0.2, 0.45, 0.7]))


def test_only_the_named_categories_change(many, model, tmp_path):
    result = repaired(many, model, tmp_path / "out", only=("big",))
    assert [one.category for one in result.categories] == ["big"]
    before, after = (load_checkpoint(p).tags["tags"] for p in (model, tmp_path / "out/checkpoint"))
    assert torch.equal(before.weight[:2], after.weight[:2])
    assert torch.equal(before.bias[:2], after.bias[:2])
    assert not torch.equal(before.weight[2], after.weight[2])


def test_findings_and_page_stand_beside_the_model(many, model, tmp_path):
    result = repaired(many, model, tmp_path / "out", review_share=1.0)
    found = pq.read_table(tmp_path / "out" / "findings.parquet")
    assert found.schema == SCHEMA
    assert found.num_rows == result.findings
    html = (tmp_path / "out" / result.page).read_text()
    assert all(one.category in html for one in result.categories)
    assert not (tmp_path / "out.features").exists()
    body = json.loads((tmp_path / "out" / "result.json").read_text())
    assert set(body["categories"][2]["scores"]) == {"ap", "auc", "log_loss", "ece", "brier", "f1"}
    assert "F1" in html
    for one in result.categories:
        assert one.kept or one.penalty is None or one.gradient_norm < 1e-6
    assert stage_module.FinetuneResult.read(tmp_path / "out") == result


def test_a_killed_run_does_not_compute_features_again(many, model, tmp_path, monkeypatch):
    straight = repaired(many, model, tmp_path / "straight")

    def dying(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "repair_categories", dying)
        with pytest.raises(Killed):
            repaired(many, model, tmp_path / "out")
    assert [path.parent.name for path in (tmp_path / "out.features").rglob("features.json")] == [
        "train"
    ]
    monkeypatch.setattr("goldseam.finetuning.features._compute", dying)
    assert repaired(many, model, tmp_path / "out").digest == straight.digest


def test_features_are_kept_where_somebody_names_a_folder(many, model, tmp_path, monkeypatch):
    features = tmp_path / "features"

    def repair(out, **options):
        return finetune(FinetuneConfig(**OPTIONS | options), many, model, out, features=features)

    repair(tmp_path / "f1")
    repair(tmp_path / "half", precision="float16")

    def dying(*args, **kwargs):
        raise Killed

    monkeypatch.setattr("goldseam.finetuning.features._compute", dying)
    assert repair(tmp_path / "cost", objective=ExpectedCost(miss=20)).categories
    assert repair(tmp_path / "half again", precision="float16", seed=1).categories
    other = tmp_path / "f1" / "checkpoint"
    with pytest.raises(OutputExists, match="no features of this network"):
        finetune(FinetuneConfig(**OPTIONS), many, other, tmp_path / "b", features=features)
    assert not (tmp_path / "b").exists()
    for inside in (tmp_path / "c", tmp_path / "c" / "features"):
        with pytest.raises(InvalidConfig, match="would stand inside"):
            finetune(FinetuneConfig(**OPTIONS), many, model, tmp_path / "c", features=inside)
    assert not (tmp_path / "c").exists()


def test_labels_that_count_less_are_scored_and_not_calibrated_on(many, model, tmp_path):
    trusted = repaired(many, model, tmp_path / "a")
    doubted = repaired(many, model, tmp_path / "b", flip_rate=0.3)
    for one, other in zip(trusted.categories, doubted.categories, strict=True):
        # the trained head is scored on all labels alike, whatever the fit makes of them
        assert one.scores["log_loss"].before.value == other.scores["log_loss"].before.value
        assert other.calibration == ""
    assert any(one.calibration for one in trusted.categories)


def test_what_was_not_compared_is_not_decided(many, model, tmp_path):
    result = repaired(many, model, tmp_path / "out")
    thresholds = load_checkpoint(tmp_path / "out" / "checkpoint").preprocessing.tag_thresholds
    for one in result.categories:
        assert one.threshold.value == thresholds["tags"][one.category]


def test_a_head_that_stays_keeps_the_curve_of_an_earlier_repair(many, model, tmp_path, monkeypatch):
    network = load_checkpoint(model)
    curve = TagCurve(logits=(-2.0, 0.0, 3.0), probabilities=(0.2, 0.3, 0.7))
    network.preprocessing = network.preprocessing.model_copy(
        update={"tag_curves": {"tags": {"big": curve}}, "tag_thresholds": {"tags": {"big": 0.6}}}
    )
    stage_module.save_checkpoint(tmp_path / "c", network, dataset_digest="", stage_key="")
    monkeypatch.setattr(repair_module, "memorization", by_heart("refuse"))
    options = {"held_out": "validation", "calibrate": False}
    repaired(many, tmp_path / "c", tmp_path / "out", **options)
    after = load_checkpoint(tmp_path / "out" / "checkpoint").preprocessing
    assert after.tag_curves["tags"]["big"] == curve
    assert after.tag_thresholds["tags"]["big"] == 0.6


def test_the_guard_stays_on_without_intervals(many, model, tmp_path, monkeypatch):
    asked = []
    inner = repair_module.memorization

    def spying(*args, **kwargs):
        asked.append(kwargs["resamples"])
        return inner(*args, **kwargs)

    monkeypatch.setattr(repair_module, "memorization", spying)
    repaired(many, model, tmp_path / "out", held_out="validation", resamples=0)
    assert asked == [repair_module.PROVING_RESAMPLES]


def test_the_help_of_other_categories_is_reported(many, model, tmp_path):
    result = repaired(many, model, tmp_path / "out", correlated="logits")
    asked = [one for one in result.categories if "log_loss_together" in one.scores]
    assert asked
    for one in asked:
        change = one.scores["log_loss_together"]
        assert change.change.value == pytest.approx(change.after.value - change.before.value)
        assert f"{change.after.value:.4f} with them" in one.notes[0]


def test_half_precision_halves_what_stands_on_disk(many, model, tmp_path):
    def size(precision):
        folder = tmp_path / precision
        config = FinetuneConfig(**OPTIONS, precision=precision)
        finetune(config, many, model, tmp_path / f"out-{precision}", features=folder)
        return sum(np.load(path).nbytes for path in folder.rglob("features-*.npy"))

    assert size("float16") * 2 == size("float32")


def by_heart(verdict):
    real = repair_module.memorization

    def told(*args, **kwargs):
        found = real(*args, **kwargs)
        overall = dataclasses.replace(
            found.overall, verdict=verdict, sentence="It knows them.", remedy="Hold some out."
        )
        return dataclasses.replace(found, overall=overall)

    return told


def test_a_network_that_knows_its_labels_by_heart(many, model, tmp_path, monkeypatch):
    monkeypatch.setattr(repair_module, "memorization", by_heart("refuse"))
    options = {"held_out": "validation"}
    result = repaired(many, model, tmp_path / "kept", **options)
    assert result.memorized == "refuse"
    assert all(one.kept for one in result.categories)
    assert result.sentences[:2] == ("It knows them.", "Hold some out.")
    # what was counted, and calibrated on, are the held-out labels
    assert result.categories[2].known_present + result.categories[2].known_absent == 60
    with pytest.raises(InvalidConfig, match="It knows them"):
        repaired(many, model, tmp_path / "stopped", memorized="stop", **options)
    assert not (tmp_path / "stopped").exists()
    went_on = repaired(many, model, tmp_path / "on", memorized="ignore", **options)
    assert went_on.categories[2].known_present + went_on.categories[2].known_absent == 90


def test_random_labels_move_the_share_of_positives(many, model, tmp_path):
    images_BCHW = torch.from_numpy(
        np.stack([r.image_HWC for r in many.records("test", [])]).transpose(0, 3, 1, 2) / 255
    ).float()
    known_NC = np.stack([r.labels["tags"] for r in many.records("test", ["tags"])])
    result = repaired(many, model, tmp_path / "out", random_split="test")
    predicted_NC = load_checkpoint(tmp_path / "out" / "checkpoint").predict(images_BCHW)["tags"]
    for column, one in enumerate(result.categories):
        share = (known_NC[:, column] == 1).mean()
        if 0 < share < 1 and one.calibration != "isotonic":
            # maximum likelihood of an intercept: as many are expected as were found
            assert float(predicted_NC[:, column].mean()) == pytest.approx(share, abs=1e-3)
            assert any("labeled at random" in note for note in one.notes)


def test_costs_choose_the_threshold(many, model, tmp_path):
    cheap = repaired(many, model, tmp_path / "a", objective=ExpectedCost(miss=50.0))
    dear = repaired(many, model, tmp_path / "b", objective=ExpectedCost(false_alarm=50.0))
    told = [
        (low, high)
        for low, high in zip(cheap.categories, dear.categories, strict=True)
        if low.threshold.value is not None
    ]
    assert told
    for low, high in told:
        # equal where one cut parts present from absent
        assert low.threshold.value <= high.threshold.value
        assert any("a cost of" in note for note in (*low.notes, *high.notes))
        assert low.scores["cost"].after.better == "lower"


def test_a_second_repair_without_labels_leaves_the_first_as_it_is(many, model, tmp_path):
    first = repaired(many, model, tmp_path / "a")
    told = load_checkpoint(tmp_path / "a" / "checkpoint")
    assert any(one.threshold.value is not None for one in first.categories)
    repaired(many, tmp_path / "a" / "checkpoint", tmp_path / "b", minimum_known=10**6)
    again = load_checkpoint(tmp_path / "b" / "checkpoint")
    assert again.preprocessing == told.preprocessing
    for name, value in told.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_features_of_an_earlier_attempt_are_no_obstacle(many, model, tmp_path):
    # as they stand after a run of another model or dataset that was stopped
    store_features(model, many, "validation", "tags", tmp_path / "out.features" / "train")
    assert repaired(many, model, tmp_path / "out").categories
    assert not (tmp_path / "out.features").exists()


def test_a_calibration_that_knows_nothing_keeps_the_order(many, model, tmp_path, monkeypatch):
    inner = stage_module.repair_categories

    def flattened(*args, **kwargs):
        found = inner(*args, **kwargs)
        flat = Calibration("platt", slope=0.0, intercept=-1.0)
        changed = [
            dataclasses.replace(
                one, calibration=dataclasses.replace(one.calibration, calibration=flat)
            )
            for one in found.categories
        ]
        return dataclasses.replace(found, categories=tuple(changed))

    monkeypatch.setattr(stage_module, "repair_categories", flattened)
    result = repaired(many, model, tmp_path / "out")
    images_BCHW = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pooled_BZ = load_checkpoint(model).shared_features(images_BCHW)[1]
        found_BC = load_checkpoint(tmp_path / "out" / "checkpoint").tags["tags"](pooled_BZ)
    for column, one in enumerate(result.categories):
        if one.threshold.value is not None:
            assert len(found_BC[:, column].unique()) == 9
            np.testing.assert_allclose(found_BC[:, column], -1, atol=0.1)


def test_categories_in_another_order_are_refused(many, model, tmp_path):
    task = many.info.tasks["tags"]
    turned = task.model_copy(update={"categories": task.categories[::-1]})
    info = many.info.model_copy(update={"tasks": {**many.info.tasks, "tags": turned}})
    other = dataclasses.replace(many, info=info)
    with pytest.raises(InvalidConfig, match="in another order"):
        repaired(other, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_a_category_that_was_not_compared_are_not_doubted(many, model, tmp_path):
    result = repaired(many, model, tmp_path / "out", review_share=1.0, minimum_known=10**6)
    assert all(one.kept for one in result.categories)
    assert result.findings == 0


def test_the_seed_reaches_the_search(many, model, tmp_path, monkeypatch):
    seeds = []
    inner = heads_module.search_heads

    def spying(*args, **kwargs):
        seeds.append(kwargs["options"].seed)
        return inner(*args, **kwargs)

    monkeypatch.setattr(heads_module, "search_heads", spying)
    quick = {"method": "search", "generations": 1, "population": 4, "elite": 1, "resamples": 40}
    repaired(many, model, tmp_path / "a", seed=5, ranking=quick)
    repaired(many, model, tmp_path / "b", seed=5, ranking=quick | {"seed": 7})
    assert seeds == [5, 7]


def test_nobody_asked_is_said(many, model, tmp_path):
    silent = repaired(many, model, tmp_path / "a")
    assert any("Nobody asked" in sentence for sentence in silent.sentences)
    asked = repaired(many, model, tmp_path / "b", held_out="validation")
    assert not any("Nobody asked" in sentence for sentence in asked.sentences)


def test_a_category_without_negatives_is_told_what_it_lacks(many, model, tmp_path, monkeypatch):
    inner = stage_module._labeled

    def positives_only(*args):
        found = inner(*args)
        labels_NC = found.labels_NC.copy()
        labels_NC[labels_NC[:, 0] == 0, 0] = -1
        return dataclasses.replace(found, labels_NC=labels_NC)

    monkeypatch.setattr(stage_module, "_labeled", positives_only)
    first, second = repaired(many, model, tmp_path / "out").categories[:2]
    assert first.kept
    assert "none that is absent" in " ".join(first.notes)
    assert "pseudo_negatives" in " ".join(first.notes)
    assert first.threshold.value is None
    assert second.known_absent
    assert "pseudo_negatives" not in " ".join(second.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ("bra",)}, "no category of 'tags'"),
        ({"random_split": "tset"}, "no split 'tset'"),
        ({"annotator": "meta_who"}, "no metadata column 'meta_who'"),
        ({"held_out": "vaildation"}, "held_out: the dataset has no split 'vaildation'"),
    ],
)
def test_wrong_options_are_named(many, model, tmp_path, options, message):
    with pytest.raises(InvalidConfig, match=message):
        repaired(many, model, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
