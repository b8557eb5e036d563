"""Derived labels count like known ones: in the table, in the order, in the batch."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from goldseam.dataset.augmentation import Augmentation
from goldseam.dataset.derivation import DerivedTable, derive
from goldseam.dataset.loading import TrainingTable, draw_batches
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig, InvalidDataset
from tests.unit.dataset.scenes import EDGES, NORMALS, scene_info, scene_samples

SIZE = 24
KNOWN = {"regions": (0, 4), "depth": (1, 5, 6), "normals": (2,), "edges": (3, 4)}
IMAGES = 8


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Dataset:
    out = tmp_path_factory.mktemp("scenes") / "scenes"
    write_dataset(out, scene_info(), {"train": scene_samples(IMAGES, SIZE, KNOWN)})
    return open_dataset(out)


def test_derivations_are_kept_in_dataset_yaml(scenes):
    assert scenes.info.derivations == (NORMALS, EDGES)


def test_known_counts_what_can_be_derived(scenes):
    table = TrainingTable(scenes, "train", list(KNOWN))
    derived = DerivedTable(table, scenes.info.derivations)
    assert len(derived) == len(table) == 7  # one image has no label at all
    assert np.flatnonzero(table.known["normals"]).tolist() == [2]
    assert np.flatnonzero(derived.known["normals"]).tolist() == [1, 2, 5, 6]
    assert np.flatnonzero(derived.known["edges"]).tolist() == [0, 3, 4]
    for task in ("regions", "depth"):
        np.testing.assert_array_equal(derived.known[task], table.known[task])
    for position in range(len(derived)):
        record = derived[position]
        for task in KNOWN:
            assert (record.labels[task] is not None) == derived.known[task][position]


def test_an_equal_share_of_each_batch_counts_derived_labels(scenes):
    table = DerivedTable(TrainingTable(scenes, "train", ["depth", "normals"]), [NORMALS])
    seen = {row for step in range(4) for row in table.order(8, balance=True).batch(step)}
    turns = [row for step in range(30) for row in table.order(2, balance=True).batch(step)][1::2]
    assert seen == set(range(4))
    # each image with normals of its own or derived comes as often
    assert {turns.count(row) for row in range(4)} <= {7, 8}


def test_own_labels_are_the_same_as_without(scenes):
    table = TrainingTable(scenes, "train", list(KNOWN))
    derived = DerivedTable(table, scenes.info.derivations)
    for position in range(len(table)):
        for task, label in table[position].labels.items():
            if label is not None:
                np.testing.assert_array_equal(derived[position].labels[task], label)


def test_sources_beyond_the_tasks_are_read_and_not_handed_out(scenes, tmp_path):
    table = TrainingTable(scenes, "train", ["normals"], cache=tmp_path)
    assert len(table) == 1
    derived = DerivedTable.over(table, scenes.info.derivations)
    assert list(derived.tasks) == ["normals"]
    assert len(derived) == 4
    assert derived.known["normals"].all()
    assert all(list(derived[row].labels) == ["normals"] for row in range(4))
    batch = next(draw_batches(derived, derived.order(4), augmentation=Augmentation()))
    assert list(batch.targets) == ["normals"]
    assert batch.known["normals"].all()
    assert batch.targets["normals"].isfinite().any(dim=(1, 2, 3)).all()


def test_labels_are_made_once_when_they_fit_in_memory(scenes):
    table = TrainingTable(scenes, "train", list(KNOWN))
    keeping = DerivedTable(table, [NORMALS])
    making = DerivedTable(table, [NORMALS], limit=0)
    assert keeping[1] is keeping[1]
    assert making[1] is not making[1]
    np.testing.assert_array_equal(making[1].labels["normals"], keeping[1].labels["normals"])
    streamed = TrainingTable(scenes, "train", list(KNOWN), decoded_limit=0)
    assert DerivedTable(streamed, [NORMALS])[1] is not DerivedTable(streamed, [NORMALS])[1]


def test_workers_make_the_same_batches(scenes, tmp_path):
    table = DerivedTable.over(
        TrainingTable(scenes, "train", list(KNOWN), cache=tmp_path), [NORMALS]
    )
    table[1]
    assert pickle.loads(pickle.dumps(table))[1].labels["normals"] is not None
    order = table.order(4, balance=True)
    here, there = (
        list(draw_batches(table, order, steps=3, augmentation=Augmentation(), workers=workers))
        for workers in (0, 1)
    )
    for mine, theirs in zip(here, there, strict=True):
        torch.testing.assert_close(mine.targets, theirs.targets, rtol=0, atol=0, equal_nan=True)
        assert mine.image_ids == theirs.image_ids


def test_the_batch_holds_what_was_derived_before_the_turn(scenes):
    table = DerivedTable(TrainingTable(scenes, "train", list(KNOWN)), [NORMALS])
    plain = derive(table.table[5], [NORMALS], table.tasks).labels["normals"]
    batch = next(draw_batches(table, table.order(7)))
    found = batch.targets["normals"][batch.image_ids.index(table[5].image_id)].numpy()
    np.testing.assert_array_equal(found, plain)


def test_a_derivation_that_does_not_fit_is_refused_at_once(scenes):
    table = TrainingTable(scenes, "train", list(KNOWN))
    with pytest.raises(InvalidConfig, match="field of view"):
        DerivedTable(table, [NORMALS.model_copy(update={"field_of_view": 0.0})])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "normal"}, "closest: normals"),
        ({"source": "regions"}, "segmentation task"),
        ({"rule": "normals_of_depth"}, "normals_from_depth"),
        ({"field_of_view": 200}, "180"),
        ({"field_of_wiew": 60}, "field_of_view"),
        ({"single_instance": ["floor"]}, "'floor'"),
    ],
)
def test_dataset_yaml_names_a_wrong_derivation(scenes, tmp_path: Path, change, says):
    body = yaml.safe_load((scenes.path / "dataset.yaml").read_text())
    body["derivations"][0] |= change
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(body))
    with pytest.raises(InvalidDataset) as caught:
        open_dataset(tmp_path)
    assert says in str(caught.value)
