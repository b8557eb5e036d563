"""Batches: what they carry, in which order, and that unknown never becomes a category."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from goldseam.dataset.batch import collate
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.loading import (
    Augmentation,
    TrainingTable,
    batches,
    draw_batches,
    evaluation_batches,
)
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import GoldseamError, InvalidConfig, InvalidDataset

Contents = Callable[..., list[dict[str, Any]]]

TASKS = ["cover", "edge", "depth", "normals", "objects", "tags", "caption"]


# what a batch carries


def test_types_and_shapes(partial_dataset: Dataset) -> None:
    batch = next(batches(partial_dataset, "train", TASKS, batch_size=6))
    assert len(batch) == len(batch.image_ids) == len(batch.groups) == 6
    assert batch.images_BCHW.shape == (6, 3, 8, 8)
    assert batch.images_BCHW.dtype == torch.float32
    assert 0 <= float(batch.images_BCHW.min()) < float(batch.images_BCHW.max()) <= 1
    expected = {
        "cover": ((6, 8, 8), torch.int64),
        "edge": ((6, 8, 8), torch.int64),
        "depth": ((6, 8, 8), torch.float32),
        "normals": ((6, 3, 8, 8), torch.float32),
        "tags": ((6, 3), torch.int8),
    }
    assert {n: (tuple(t.shape), t.dtype) for n, t in batch.targets.items()} == expected
    assert set(batch.boxes) == {"objects"}
    assert set(batch.captions) == {"caption"}
    assert {n: (tuple(k.shape), k.dtype) for n, k in batch.known.items()} == dict.fromkeys(
        TASKS, ((6,), torch.bool)
    )


def test_images_and_known_labels_are_those_of_the_dataset(partial_dataset: Dataset) -> None:
    records = list(partial_dataset.records("test"))
    (batch,) = evaluation_batches(partial_dataset, "test", TASKS, 32)
    for number, record in enumerate(records):
        image_HWC = batch.images_BCHW[number].permute(1, 2, 0) * 255
        np.testing.assert_allclose(image_HWC.numpy(), record.image_HWC, atol=1e-4)
        for task, label in record.labels.items():
            if label is None:
                continue
            if isinstance(label, Boxes):
                boxes = batch.boxes[task][number]
                assert boxes is not None
                np.testing.assert_array_equal(boxes.corners_N4.numpy(), label.corners_N4)
                np.testing.assert_array_equal(boxes.category_N.numpy(), label.category_N)
                np.testing.assert_array_equal(boxes.ignore_N.numpy(), label.ignore_N)
            elif isinstance(label, str):
                assert batch.captions[task][number] == label
            else:
                np.testing.assert_array_equal(batch.targets[task][number].numpy(), label)


def test_known_masks_are_the_nulls_of_the_parquet_files(partial_dataset: Dataset) -> None:
    table = partial_dataset.table("train")
    made = list(evaluation_batches(partial_dataset, "train", TASKS, 16))
    for task in TASKS:
        known_N = torch.cat([batch.known[task] for batch in made])
        assert known_N.tolist() == [cell is not None for cell in table.column(task).to_pylist()]
        assert 0 < int(known_N.sum()) < len(known_N)


def test_unknown_is_never_a_category(partial_dataset: Dataset) -> None:
    for batch in evaluation_batches(partial_dataset, "train", TASKS, 16):
        for task in TASKS:
            unknown_B = ~batch.known[task]
            if task == "objects":
                assert [one is None for one in batch.boxes[task]] == unknown_B.tolist()
            elif task == "caption":
                assert [one is None for one in batch.captions[task]] == unknown_B.tolist()
            else:
                target = batch.targets[task][unknown_B]
                nothing = {"cover": 255, "edge": 255, "tags": -1}.get(task)
                assert bool((target == nothing if nothing else target.isnan()).all())


def test_the_ignore_of_the_task_stands_where_nobody_looked(partial_dataset: Dataset) -> None:
    record = next(partial_dataset.records("train", ["cover"]))
    assert record.labels["cover"] is None
    task = Task(kind=Kind.SEGMENTATION, categories=("a", "b"), ignore=65535)
    batch = collate([record], {"cover": task})
    assert batch.targets["cover"].unique().tolist() == [65535]


def test_no_boxes_is_known_and_not_unknown(partial_dataset: Dataset) -> None:
    (batch,) = evaluation_batches(partial_dataset, "test", ["objects"], 32)
    counts = [None if one is None else len(one) for one in batch.boxes["objects"]]
    assert counts == [1, None, None, None, None, 0, None, None, None, None]
    assert batch.known["objects"].tolist() == [count is not None for count in counts]


def test_to_moves_every_tensor(partial_dataset: Dataset) -> None:
    (batch,) = evaluation_batches(partial_dataset, "test", TASKS, 32)
    moved = batch.to("meta")
    tensors = [moved.images_BCHW, *moved.targets.values(), *moved.known.values()]
    box = moved.boxes["objects"][0]
    assert box is not None
    tensors += [box.category_N, box.corners_N4, box.ignore_N]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.image_ids == batch.image_ids
    assert moved.boxes["objects"][1] is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_pinned(partial_dataset: Dataset) -> None:
    (batch,) = evaluation_batches(partial_dataset, "test", TASKS, 32, pin_memory=True)
    assert batch.images_BCHW.is_pinned()
    assert all(target.is_pinned() for target in batch.targets.values())


# loading


def test_workers_change_nothing(
    partial_dataset: Dataset, tmp_path: Path, contents: Contents
) -> None:
    def load(workers: int, **options: Any) -> list[dict[str, Any]]:
        augmentation = Augmentation(brightness=0.1, contrast=0.1)
        made = batches(
            partial_dataset,
            "train",
            TASKS,
            batch_size=5,
            seed=4,
            steps=9,
            balance=True,
            augmentation=augmentation,
            workers=workers,
            **options,
        )
        return contents(made)

    alone = load(0)
    assert len(alone) == 9
    assert load(2) == alone
    assert load(2, cache=tmp_path) == alone


def test_a_run_goes_on_from_any_step(partial_dataset: Dataset, contents: Contents) -> None:
    table = TrainingTable(partial_dataset, "train", TASKS)
    order = table.order(7, seed=2)
    augmentation = Augmentation(contrast=0.2)
    whole = contents(draw_batches(table, order, steps=25, augmentation=augmentation))
    for start in range(25):
        again = TrainingTable(partial_dataset, "train", TASKS)
        rest = draw_batches(
            again, again.order(7, seed=2), start_step=start, steps=25 - start,
            augmentation=augmentation,
        )  # fmt: skip
        assert contents(rest) == whole[start:]


def test_workers_go_on_from_a_step(partial_dataset: Dataset, contents: Contents) -> None:
    options: dict[str, Any] = {"batch_size": 4, "seed": 1}
    whole = contents(batches(partial_dataset, "train", TASKS, steps=9, **options))
    rest = batches(partial_dataset, "train", TASKS, start_step=5, steps=4, workers=2, **options)
    assert contents(rest) == whole[5:]


def test_loading_leaves_the_random_numbers_of_training_alone(partial_dataset: Dataset) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for workers in (0, 1):
        made = batches(
            partial_dataset, "train", ["tags"], batch_size=4, steps=3, workers=workers,
            augmentation=Augmentation(),
        )  # fmt: skip
        assert len(list(made)) == 3
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002


# what is refused


def test_what_the_dataset_lacks(partial_dataset: Dataset) -> None:
    for load in (batches, evaluation_batches):
        with pytest.raises(InvalidDataset, match="covr") as caught:
            load(partial_dataset, "train", ["covr"], batch_size=4)
        assert "cover" in caught.value.remedy
        with pytest.raises(InvalidDataset, match="validation"):
            load(partial_dataset, "validation", ["cover"], batch_size=4)
    with pytest.raises(InvalidConfig, match="row 67"):
        batches(partial_dataset, "train", ["cover"], batch_size=4, rows=[67])
    with pytest.raises(InvalidDataset, match="no image of split 'test' is labeled for cover"):
        batches(partial_dataset, "test", ["cover"], batch_size=4, rows=[])


def write_two(folder: Path, second: Sample) -> Dataset:
    task = Task(kind=Kind.SEGMENTATION, categories=("a", "b"))
    first = dataclasses.replace(
        second, image_id="first", image=np.zeros((4, 4, 3), np.uint8),
        labels={"cover": np.zeros((4, 4), np.uint8)},
    )  # fmt: skip
    info = DatasetInfo(name="two", tasks={"cover": task})
    write_dataset(folder / "two", info, {"train": [first, second]})
    return open_dataset(folder / "two")


def make_sample(height: int, width: int) -> Sample:
    return Sample(
        image_id="second",
        image=np.zeros((height, width, 3), np.uint8),
        group="g",
        labels={"cover": np.zeros((height, width), np.uint8)},
        sources={"cover": "human"},
    )


def test_images_of_two_sizes_do_not_share_a_batch(tmp_path: Path) -> None:
    dataset = write_two(tmp_path, make_sample(4, 6))
    table = TrainingTable(dataset, "train", ["cover"])
    with pytest.raises(
        InvalidDataset, match=r"of 4 x 4 .* and 6 x 4 |of 6 x 4 .* and 4 x 4 "
    ) as no:
        next(draw_batches(table, table.order(2)))
    assert "loop.augment.crop" in no.value.remedy
    crop = Augmentation(crop=(4, 4))
    assert next(draw_batches(table, table.order(2), augmentation=crop)).images_BCHW.shape[2:] == (
        4,
        4,
    )


@pytest.fixture
def damaged(tmp_path: Path) -> Dataset:
    """A dataset whose second image is cut off."""
    dataset = write_two(tmp_path, make_sample(4, 4))
    path = dataset.path / dataset.info.shards[0].file
    rows = pq.read_table(path)
    cells = rows.to_pylist()
    cells[1]["image"]["bytes"] = cells[1]["image"]["bytes"][:45]
    pq.write_table(pa.Table.from_pylist(cells, schema=rows.schema), path)
    return open_dataset(dataset.path, verify=False)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_is_the_same_error(damaged: Dataset, workers: int) -> None:
    made = batches(damaged, "train", ["cover"], batch_size=2, steps=1, workers=workers)
    with pytest.raises(GoldseamError, match="row 1, image 'second', column 'image'") as caught:
        list(made)
    assert type(caught.value) is InvalidDataset
    assert "dataset check" in caught.value.remedy


def test_changed_and_unchanged_images_share_a_batch(partial_dataset: Dataset) -> None:
    record = next(partial_dataset.records("train", []))
    brighter = Augmentation(symmetry="none", brightness=0.5)(record, {}, 0, 1)
    batch = collate([record, brighter], {})
    torch.testing.assert_close(batch.images_BCHW[0], collate([record], {}).images_BCHW[0])
    assert float(batch.images_BCHW.max()) <= 1
