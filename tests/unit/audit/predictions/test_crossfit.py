"""No model of a fold ever saw a label of that fold, and a killed run ends with the same bytes."""

import dataclasses
import json

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.audit.predictions import stage as stage_module
from goldseam.audit.predictions.embeddings import embeddings_of, read_embeddings
from goldseam.audit.predictions.folds import group_folds
from goldseam.audit.predictions.job import prepare
from goldseam.audit.predictions.opening import open_predictions
from goldseam.audit.predictions.stage import crossfit
from goldseam.dataset.codecs import UNKNOWN
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import MissingInput, OutputExists
from goldseam.models.checkpoint import CONFIG_FILE
from goldseam.results import CrossfitResult
from goldseam.trainer import loop as loop_module
from tests.unit.audit.predictions.options import config

TASKS = ("cover", "cover_map", "edge", "relief", "tags")


def folds_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("fold-*.parquet"))}


def samples(dataset, change):
    """The dataset's own samples, with labels that `change` makes of (split, number, labels)."""
    info = dataset.info
    for split in info.splits:
        yield (
            split,
            [
                Sample(
                    image_id=record.image_id,
                    image=record.image_HWC,
                    group=record.group,
                    labels=change(split, number, record.labels),
                    sources={task: source for task, source in record.sources.items() if source},
                )
                for number, record in enumerate(dataset.records(split))
            ],
        )


def with_other_labels(dataset, out, chosen: set[str]):
    """The dataset, where every label of the chosen images says something else."""
    names = {
        split: dataset.table(split, ["image_id"]).column(0).to_pylist()
        for split in dataset.info.splits
    }

    def change(split, number, labels):
        if names[split][number] not in chosen:
            return labels
        other = dict(labels)
        for task in ("cover", "cover_map"):
            if labels[task] is not None:
                other[task] = ((labels[task] + 1) % 3).astype(np.uint8)
        if labels["edge"] is not None:
            other["edge"] = (1 - labels["edge"]).astype(np.uint8)
        if labels["relief"] is not None:
            other["relief"] = 50 - 3 * labels["relief"]
        if labels["tags"] is not None:
            tags_C = labels["tags"]
            other["tags"] = np.where(tags_C == UNKNOWN, UNKNOWN, 1 - tags_C).astype(np.int8)
        return other

    write_dataset(out, dataset.info, dict(samples(dataset, change)))
    return open_dataset(out)


@pytest.fixture(scope="module")
def trained(disc_data, tmp_path_factory):
    """A small cross-fitting by training."""
    return crossfit(config(), disc_data, tmp_path_factory.mktemp("crossfit") / "out")


@pytest.fixture(scope="module")
def labels(disc_data):
    return read_label_side(disc_data)


@pytest.mark.parametrize("source", ["train", "checkpoint"])
def test_labels_of_a_fold_change_no_prediction_of_that_fold(
    tmp_path, disc_data, disc_models, labels, source
):
    checkpoint = disc_models["pipeline"] if source == "checkpoint" else None
    options = config(features=source)
    before = crossfit(options, disc_data, tmp_path / "before", checkpoint=checkpoint)
    job = prepare(options, disc_data, labels)
    for fold in range(3):
        inside = np.flatnonzero(job.fold_N == fold)
        chosen = {labels.image_ids[int(position)].as_py() for position in inside}
        other = with_other_labels(disc_data, tmp_path / f"other-{fold}", chosen)
        out = tmp_path / f"after-{fold}"
        after = crossfit(options, other, out, checkpoint=checkpoint)
        first, second = folds_of(before.folder), folds_of(after.folder)
        name = f"fold-{fold}.parquet"
        assert first[name] == second[name]
        # the same labels do teach the models of the other folds
        assert all(first[other_name] != second[other_name] for other_name in first.keys() - {name})


def test_folds_keep_groups_whole_and_hold_every_image(trained, disc_data, labels):
    job = prepare(config(), disc_data, labels)
    assert (job.fold_N >= 0).all()
    for group in range(len(labels.groups)):
        assert len(set(job.fold_N[labels.group_N == group])) == 1
    images = np.bincount(job.fold_N)
    assert images.max() - images.min() <= 12  # the size of a group
    matched = open_predictions(trained.folder, disc_data.info).match(labels)
    assert (matched.predicted, matched.missing, matched.foreign) == (76, 0, 0)


def test_a_group_that_crosses_splits_stays_in_one_fold(labels):
    group_N = labels.group_N.copy()
    group_N[labels.split_N == 1] = group_N[labels.split_N == 0][0]
    crossing = dataclasses.replace(labels, group_N=group_N)
    fold_N = group_folds(crossing, ("cover",), 4, 0, np.ones(len(labels), bool))
    assert len(set(fold_N[group_N == group_N[labels.split_N == 1][0]])) == 1


def test_rare_labels_are_spread_over_the_folds(labels):
    random = np.random.default_rng(3)
    count = 600
    known_N = np.zeros(count, bool)
    known_N[random.choice(count, 10, replace=False)] = True
    side = dataclasses.replace(
        labels,
        image_ids=labels.image_ids.take(np.zeros(count, int)),
        group_N=np.arange(count),
        groups=tuple(map(str, range(count))),
        known={"cover": known_N, "edge": random.random(count) < 0.5},
    )
    fold_N = group_folds(side, ("cover", "edge"), 5, 1, np.ones(count, bool))
    assert np.bincount(fold_N[known_N]).tolist() == [2] * 5
    assert np.ptp(np.bincount(fold_N)) <= 2
    assert np.ptp(np.bincount(fold_N[side.known["edge"]])) <= 2
    used_N = np.arange(count) % 3 > 0
    some_N = group_folds(side, ("cover",), 5, 1, used_N)
    assert (some_N[~used_N] == -1).all()
    assert set(some_N[used_N]) == set(range(5))


def test_folds_do_not_follow_what_labels_say(disc_data, labels, tmp_path):
    everything = set(labels.image_ids.to_pylist())
    other = with_other_labels(disc_data, tmp_path / "other", everything)
    before = prepare(config(), disc_data, labels)
    after = prepare(config(), other, read_label_side(other))
    np.testing.assert_array_equal(before.fold_N, after.fold_N)


def test_predictions_are_read_back(trained, disc_data, labels):
    predictions = open_predictions(trained.folder, disc_data.info)
    assert predictions.tasks == TASKS == trained.tasks
    assert predictions.out_of_fold
    assert trained.out_of_fold
    probability_NC = predictions.probabilities(labels, "tags")
    assert np.isfinite(probability_NC).all()
    for task, shape in (("cover", (3, 16, 16)), ("edge", (16, 16)), ("relief", (16, 16))):
        found = dict(predictions.dense(labels, task))
        # images without a label as well: pseudo-labels and plans need them
        assert sorted(found) == list(range(76))
        assert {values.shape for values in found.values()} == {shape}


def test_the_result_says_how_far_predictions_can_be_trusted(tmp_path, disc_data):
    result = crossfit(config(steps=60), disc_data, tmp_path / "out")
    assert result.images == 76
    assert result.folds == 3
    assert set(result.scores) == {
        *(f"{task}.{name}" for task in ("cover", "cover_map") for name in ("miou", "log_loss")),
        *(f"{task}.skill" for task in TASKS),
        *("edge.f1", "edge.log_loss", "relief.mae", "tags.map", "tags.log_loss"),
    }
    # discs are bright and bars are dark: a model that learns anything finds them
    for name in ("cover.skill", "cover_map.skill"):
        assert 0.3 < result.scores[name] < 1, name
    assert result.scores["tags.skill"] > 0


@pytest.mark.parametrize("killed_at", [3, 5, 8, 12])
def test_a_killed_run_ends_with_the_same_bytes(
    tmp_path, disc_data, trained, monkeypatch, killed_at
):
    """Steps 1 to 4 belong to the first fold, 5 to 8 to the second, 9 to 12 to the third."""
    step = loop_module._train_step
    calls = 0

    class Killed(BaseException):
        pass

    def dying(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == killed_at:
            raise Killed
        return step(*args, **kwargs)

    monkeypatch.setattr(loop_module, "_train_step", dying)
    with pytest.raises(Killed):
        crossfit(config(), disc_data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done = (killed_at - 1) // 4
    resumed = crossfit(config(), disc_data, tmp_path / "out")
    # finished folds are kept, a fold that was cut off begins anew or at its last state
    assert calls - killed_at == 12 - 4 * done
    assert folds_of(resumed.folder) == folds_of(trained.folder)
    assert (resumed.digest, resumed.scores) == (trained.digest, trained.scores)
    expected = {"fold-0.parquet", "fold-1.parquet", "fold-2.parquet", "embeddings"}
    assert {path.name for path in resumed.folder.iterdir()} == expected | {
        "predictions.json",
        "result.json",
    }
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_run_that_is_done_is_not_done_again(tmp_path, disc_data, trained, monkeypatch):
    monkeypatch.setattr(stage_module, "prepare", None)
    again = crossfit(config(), disc_data, trained.folder)
    assert again == trained
    assert CrossfitResult.read(trained.folder) == trained
    with pytest.raises(OutputExists):
        crossfit(config(seed=1), disc_data, trained.folder)


def test_another_seed_deals_other_folds_and_models(tmp_path, disc_data, trained):
    other = crossfit(config(seed=1), disc_data, tmp_path / "out")
    assert other.digest != trained.digest


def test_embeddings_stand_in_the_order_of_the_dataset(trained, labels):
    ids, vector_NZ = read_embeddings(trained.folder)
    assert ids.to_pylist() == labels.image_ids.to_pylist()
    assert vector_NZ.shape == (76, 2 * (16 + 8))
    assert vector_NZ.dtype == np.float32
    assert np.isfinite(vector_NZ).all()
    reversed_side = dataclasses.replace(labels, image_ids=labels.image_ids[::-1])
    np.testing.assert_array_equal(embeddings_of(reversed_side, trained.folder), vector_NZ[::-1])
    with pytest.raises(MissingInput, match="holds no embeddings"):
        read_embeddings(trained.folder / "embeddings")


def test_heads_on_a_checkpoint(tmp_path, disc_data, disc_models, labels):
    options = config(penalties=(1.0, 30.0))
    result = crossfit(options, disc_data, tmp_path / "out", checkpoint=disc_models["pipeline"])
    assert result.features == "checkpoint"
    assert result.tasks == TASKS
    # its encoder learned from these tasks of this very dataset: only the heads are out of fold
    assert result.seen == ("cover", "edge", "relief", "tags")
    assert not result.out_of_fold
    predictions = open_predictions(result.folder, disc_data.info)
    assert not predictions.out_of_fold
    assert result.scores["cover.skill"] > 0.3
    for task in ("cover", "cover_map", "edge", "relief"):
        assert sorted(dict(predictions.dense(labels, task))) == list(range(76))
    ids, vector_NZ = read_embeddings(result.folder)
    assert len(ids) == len(vector_NZ) == 76


def test_a_checkpoint_of_other_data_saw_none_of_these_labels(tmp_path, disc_data, disc_models):
    import shutil

    other = shutil.copytree(disc_models["noisy_direct"], tmp_path / "other")
    body = json.loads((other / CONFIG_FILE).read_text())
    (other / CONFIG_FILE).write_text(json.dumps(body | {"dataset_digest": "sha256:else"}))
    result = crossfit(config(tasks=("tags",)), disc_data, tmp_path / "out", checkpoint=other)
    assert result.seen == ()
    assert open_predictions(result.folder, disc_data.info).out_of_fold


def test_heads_on_a_backbone_in_a_local_folder(tmp_path, disc_data):
    import torch
    from transformers import ResNetBackbone, ResNetConfig

    torch.manual_seed(0)
    architecture = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    ResNetBackbone(architecture).save_pretrained(tmp_path / "backbone")
    options = config(features=f"hub:{tmp_path / 'backbone'}", tasks=("cover", "relief", "tags"))
    result = crossfit(options, disc_data, tmp_path / "out")
    assert result.features == "hub"
    assert result.seen == ()
    assert read_embeddings(result.folder)[1].shape == (76, 32)


def test_a_killed_run_on_frozen_features_ends_with_the_same_bytes(
    tmp_path, disc_data, disc_models, monkeypatch
):
    options = config(penalties=(1.0,))
    checkpoint = disc_models["noisy_direct"]
    straight = crossfit(options, disc_data, tmp_path / "straight", checkpoint=checkpoint)
    write, folds = stage_module._write_fold, []

    def dying(job, fold, predictor, path):
        write(job, fold, predictor, path)
        folds.append(fold)
        if folds == [0, 1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(stage_module, "_write_fold", dying)
    with pytest.raises(KeyboardInterrupt):
        crossfit(options, disc_data, tmp_path / "out", checkpoint=checkpoint)
    resumed = crossfit(options, disc_data, tmp_path / "out", checkpoint=checkpoint)
    assert folds == [0, 1, 1, 2]
    assert folds_of(resumed.folder) == folds_of(straight.folder)
    assert resumed.digest == straight.digest
