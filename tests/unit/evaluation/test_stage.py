import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score

from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig
from goldseam.evaluation.config import EvaluateConfig, IntervalConfig
from goldseam.evaluation.stage import evaluate
from goldseam.models.checkpoint import load_checkpoint
from goldseam.results import EvaluationResult
from tests.conftest import disc_info, discs

CONFIG = EvaluateConfig(
    baselines=("noisy_direct",), intervals=IntervalConfig(resamples=50), examples=3
)


@pytest.fixture(scope="module")
def evaluation(disc_data, disc_models, tmp_path_factory):
    return evaluate(CONFIG, disc_data, disc_models, tmp_path_factory.mktemp("evaluate") / "out")


def predictions(data, folder, task, source):
    model = load_checkpoint(folder)
    found, truth = [], []
    for batch in evaluation_batches(data, "test", [task], 5):
        found.append(model.predict(batch.images_BCHW)[source].numpy())
        truth.append(batch.targets[task].numpy())
    return np.concatenate(found), np.concatenate(truth)


@pytest.mark.parametrize(
    ("model", "source"), [("pipeline", "cover"), ("noisy_direct", "cover_map")]
)
def test_miou_is_that_of_one_confusion_matrix(evaluation, disc_data, disc_models, model, source):
    found, truth = predictions(disc_data, disc_models[model], "cover", source)
    cells = confusion_matrix(truth.ravel(), found.argmax(1).ravel(), labels=[0, 1, 2])
    union = cells.sum(0) + cells.sum(1) - cells.diagonal()
    expected = (cells.diagonal() / union)[cells.sum(1) > 0].mean()
    assert evaluation.models[model].metrics["cover.miou"].value == pytest.approx(expected)


def test_map_is_scikit_learns(evaluation, disc_data, disc_models):
    found, truth = predictions(disc_data, disc_models["pipeline"], "tags", "tags")
    expected = [
        average_precision_score(truth[:, c], found[:, c])
        for c in range(3)
        if 0 < truth[:, c].sum() < len(truth)
    ]
    value = evaluation.models["pipeline"].metrics["tags.map"].value
    assert value == pytest.approx(np.mean(expected))


def test_each_model_is_scored_by_its_own_thresholds(evaluation, disc_data, disc_models, tmp_path):
    found, truth = predictions(disc_data, disc_models["pipeline"], "tags", "tags")
    names = disc_data.info.tasks["tags"].categories
    # a cut in the middle of each category's probabilities, but none can be told for the last
    cut = {name: float(np.median(found[:, c])) for c, name in enumerate(names)}
    cut[names[-1]] = None
    model = tmp_path / "model"
    shutil.copytree(disc_models["pipeline"], model)
    body = json.loads((model / "config.json").read_text())
    body["preprocessing"]["tag_thresholds"] = {"tags": cut}
    (model / "config.json").write_text(json.dumps(body))
    config = CONFIG.model_copy(update={"baselines": ("before",), "examples": 0})
    models = {"pipeline": model, "before": disc_models["pipeline"]}
    result = evaluate(config, disc_data, models, tmp_path / "out")
    assert result.models["pipeline"].tag_thresholds == {"tags": cut}
    assert result.models["before"].tag_thresholds == {}
    assert EvaluationResult.read(tmp_path / "out").models == result.models
    for name, used in (("pipeline", cut), ("before", {})):
        said = found >= [used.get(c) or 0.5 for c in names]
        known = truth != -1
        value = result.models[name].metrics["tags.of1"].value
        assert value == pytest.approx(f1_score(truth[known] == 1, said[known]))
    now, before = (result.models[name].metrics for name in ("pipeline", "before"))
    changed = {key for key in now if now[key].value != before[key].value}
    assert changed == {"tags.cf1", "tags.of1"}
    assert before["tags.of1"] == evaluation.models["pipeline"].metrics["tags.of1"]


def test_categories_that_the_mean_leaves_out_are_counted(evaluation):
    metrics = evaluation.models["pipeline"].metrics
    ranked = [estimate for key, estimate in metrics.items() if key.startswith("tags.ap.")]
    undefined = sum(estimate.value is None for estimate in ranked)
    assert metrics["tags.undefined_categories"].value == undefined
    assert metrics["tags.undefined_categories"].unit == "categories"


def test_noisy_labels_are_never_the_truth(evaluation):
    keys = {key for scores in evaluation.models.values() for key in scores.metrics}
    assert not any(key.startswith("cover_map.") for key in keys)
    assert {key.partition(".")[0] for key in keys} == {"cover", "edge", "relief", "tags"}
    only_cover = evaluation.models["noisy_direct"].metrics
    assert {key.partition(".")[0] for key in only_cover} == {"cover"}


def test_differences_are_pipeline_minus_other(evaluation):
    mine, theirs = evaluation.models["pipeline"], evaluation.models["noisy_direct"]
    difference = evaluation.differences["noisy_direct"]["cover.miou"]
    expected = mine.metrics["cover.miou"].value - theirs.metrics["cover.miou"].value
    assert difference.value == pytest.approx(expected)
    assert difference.low <= difference.value <= difference.high


def test_pictures_show_label_map_and_every_prediction(evaluation):
    assert len(evaluation.examples) == 3
    for example in evaluation.examples:
        assert {"image", "cover", "cover_map", "pipeline.cover", "noisy_direct.cover"} <= set(
            example.panels
        )
        assert "noisy_direct.edge" not in example.panels
        for file in example.panels.values():
            assert Image.open(evaluation.folder / file).size == (16, 16)


def test_the_same_inputs_give_the_same_digest(evaluation, disc_data, disc_models, tmp_path):
    again = evaluate(CONFIG, disc_data, disc_models, tmp_path / "again")
    assert again.digest == evaluation.digest
    assert EvaluationResult.read(tmp_path / "again") == replace(again, folder=Path())


def test_a_missing_baseline_is_named(disc_data, disc_models, tmp_path):
    with pytest.raises(InvalidConfig, match="no model 'scratch'"):
        evaluate(EvaluateConfig(), disc_data, disc_models, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def many_sizes(tmp_path_factory):
    """Test images of three sizes; those of the third have a map of values that says nothing."""
    sizes = ((16, 16), (13, 16), (15, 11))

    def cut(samples):
        for number, sample in enumerate(samples):
            height, width = sizes[number % 3]
            labels = {
                name: label[:height, :width] if getattr(label, "ndim", 0) == 2 else label
                for name, label in sample.labels.items()
            }
            if number % 3 == 2:
                labels["relief"] = np.full((height, width), np.nan, np.float32)
            yield replace(sample, image=sample.image[:height, :width], labels=labels)

    out = tmp_path_factory.mktemp("sizes") / "sizes"
    splits = {"train": discs(1, 8, partial=True), "test": cut(discs(3, 9, partial=False))}
    write_dataset(out, disc_info(), splits)
    return open_dataset(out)


def test_images_of_many_sizes_are_scored_and_drawn(many_sizes, disc_models, tmp_path):
    config = CONFIG.model_copy(update={"baselines": (), "examples": 9})
    found = evaluate(config, many_sizes, {"pipeline": disc_models["pipeline"]}, tmp_path / "out")
    scores = found.models["pipeline"].metrics
    assert 0 <= scores["cover.miou"].value <= 1
    assert np.isfinite(scores["relief.mae"].value), "pixels that nobody knows count for nothing"
    assert len(found.examples) == 9
    shapes = set()
    for example in found.examples:
        panels = {Image.open(found.folder / file).size for file in example.panels.values()}
        assert len(panels) == 1, "every picture of an image has the image's size"
        shapes |= panels
    assert shapes == {(16, 16), (16, 13), (11, 15)}


def test_ids_that_are_paths_become_names_of_files(tmp_path, disc_models):
    info = disc_info()
    samples = [
        replace(sample, image_id=f"val/{n}") for n, sample in enumerate(discs(3, 4, partial=False))
    ]
    write_dataset(tmp_path / "data", info, {"test": samples})
    data = open_dataset(tmp_path / "data")
    config = CONFIG.model_copy(update={"examples": 2})
    result = evaluate(config, data, disc_models, tmp_path / "out")
    assert config.examples == len(result.examples) == 2
    for example in result.examples:
        assert example.image_id.startswith("val/")
        for file in example.panels.values():
            assert (result.folder / file).is_file()
            assert "/" not in file.removeprefix("examples/")
