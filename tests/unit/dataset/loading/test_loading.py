"""Batches: what they carry, in which order, and that unknown never becomes a category."""

import collections
import dataclasses
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from goldseam.dataset import memory
from goldseam.dataset.batch import collate
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.loading import (
    Augmentation,
    BatchOrder,
    TrainingTable,
    batches,
    draw_batches,
    evaluation_batches,
)
from goldseam.dataset.memory import map_columns
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


# order


def test_each_epoch_holds_each_row_once_over_all_ranks() -> None:
    orders = [BatchOrder(30, 5, seed=3, rank=rank, world_size=2) for rank in range(2)]
    epochs = [
        [row for step in range(3 * e, 3 * e + 3) for order in orders for row in order.batch(step)]
        for e in range(4)
    ]
    assert all(sorted(rows) == list(range(30)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 4
    assert [orders[0].epoch(step) for step in (0, 2, 3, 11)] == [0, 0, 1, 3]


def test_every_row_is_drawn_equally_often_where_batches_do_not_divide_the_rows() -> None:
    order = BatchOrder(7, 4, seed=1)
    drawn = collections.Counter(row for step in range(7) for row in order.batch(step))
    assert drawn == dict.fromkeys(range(7), 4)


def test_ranks_see_what_one_process_sees() -> None:
    one = BatchOrder(50, 8, seed=5)
    two = [BatchOrder(50, 4, seed=5, rank=rank, world_size=2) for rank in range(2)]
    for step in (0, 3, 17):
        assert one.draws(step) == two[0].draws(step) + two[1].draws(step)


def test_the_order_is_a_function_of_seed_and_step() -> None:
    forward = BatchOrder(40, 6, seed=9)
    seen = [forward.batch(step) for step in range(30)]
    backward = BatchOrder(40, 6, seed=9)
    assert [backward.batch(step) for step in reversed(range(30))] == seen[::-1]
    assert BatchOrder(40, 6, seed=10).batch(0) != seen[0]


def test_balance_gives_a_rare_task_its_share() -> None:
    pools = [np.arange(100), np.array([7, 50, 99]), np.arange(40, 60)]
    order = BatchOrder(100, 8, seed=0, pools=pools)
    shares = []
    drawn: collections.Counter[int] = collections.Counter()
    for step in range(60):
        draws = order.draws(step)
        shares.append(np.bincount([draw.slot % 3 for draw in draws], minlength=3))
        drawn.update(draw.row for draw in draws if draw.slot % 3 == 1)
    assert all(np.ptp(share) <= 1 for share in shares)
    assert sum(shares).tolist() == [160, 160, 160]
    assert set(drawn) == {7, 50, 99}
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_balance_reaches_the_batches(partial_dataset: Dataset) -> None:
    tasks = ["cover", "tags"]
    made = batches(partial_dataset, "train", tasks, batch_size=6, steps=20, balance=True)
    assert all(int(batch.known[task].sum()) >= 3 for batch in made for task in tasks)
    plain = batches(partial_dataset, "train", tasks, batch_size=6, steps=20)
    assert min(int(batch.known["cover"].sum()) for batch in plain) < 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 4, "seed": -1}, "seed"),
        ({"batch_size": 4, "rank": 2, "world_size": 2}, "rank 2"),
        ({"batch_size": 4, "pools": [np.arange(3), np.arange(0)]}, "no row"),
    ],
)
def test_orders_that_cannot_be(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidConfig, match=word):
        BatchOrder(10, **options)
    with pytest.raises(InvalidConfig, match="negative"):
        BatchOrder(10, 2).batch(-1)


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


def test_rows_without_a_label_are_left_out_unless_asked_for(partial_dataset: Dataset) -> None:
    table = TrainingTable(partial_dataset, "train", ["cover", "objects"])
    known = partial_dataset.known("train")
    np.testing.assert_array_equal(table.rows, np.flatnonzero(known["cover"] | known["objects"]))
    np.testing.assert_array_equal(table.known["cover"], known["cover"][table.rows])
    assert len(TrainingTable(partial_dataset, "train", [])) == 67
    chosen = TrainingTable(partial_dataset, "train", ["cover"], rows=[66, 0])
    assert [chosen[0].image_id, chosen[1].image_id] == ["tile-066", "tile-000"]


def test_mapped_and_kept_samples_are_the_same(
    partial_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Contents
) -> None:
    decoded = []
    decode_row = memory.decode_row

    def counting(*arguments: Any, **options: Any) -> Any:
        decoded.append(1)
        return decode_row(*arguments, **options)

    monkeypatch.setattr(memory, "decode_row", counting)

    def load(**options: Any) -> tuple[list[dict[str, Any]], int]:
        decoded.clear()
        made = contents(batches(partial_dataset, "train", TASKS, batch_size=8, steps=40, **options))
        return made, len(decoded)

    kept, decoded_kept = load()
    mapped, decoded_mapped = load(cache=tmp_path, decoded_limit=0)
    assert kept == mapped
    rows = len(TrainingTable(partial_dataset, "train", TASKS))
    assert (decoded_kept, decoded_mapped) == (rows, 320)


def test_a_table_sent_to_a_worker_carries_no_data(partial_dataset: Dataset, tmp_path: Path) -> None:
    for cache in (None, tmp_path):
        table = TrainingTable(partial_dataset, "train", TASKS, cache=cache)
        first = table[0]
        sent = pickle.dumps(table)
        assert len(sent) < 10_000
        again = pickle.loads(sent)
        assert again[0].image_id == first.image_id
        np.testing.assert_array_equal(again[0].image_HWC, first.image_HWC)


def test_the_mapped_copy_is_mapped_and_made_once(partial_dataset: Dataset, tmp_path: Path) -> None:
    path = map_columns(partial_dataset, "train", ["image_id", "image"], tmp_path)
    written = path.stat().st_mtime_ns
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        assert table.num_rows == 67
        assert table.nbytes > 10_000
        assert pa.total_allocated_bytes() - before < 5_000
    assert map_columns(partial_dataset, "train", ["image_id", "image"], tmp_path) == path
    assert path.stat().st_mtime_ns == written
    other = map_columns(partial_dataset, "train", ["image_id"], tmp_path)
    assert other != path


def test_another_dataset_has_another_copy(partial_dataset: Dataset, tmp_path: Path) -> None:
    changed = dataclasses.replace(
        partial_dataset, info=partial_dataset.info.model_copy(update={"version": "2"})
    )
    paths = {map_columns(d, "test", ["image_id"], tmp_path) for d in (partial_dataset, changed)}
    assert len(paths) == 2


def _map_in_another_process(folder: Path, cache: Path) -> str:
    dataset = open_dataset(folder, verify=False)
    return str(map_columns(dataset, "train", ["image_id", "image", *TASKS], cache))


def test_processes_may_race_for_the_copy(partial_dataset: Dataset, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        asked = [
            pool.submit(_map_in_another_process, partial_dataset.path, tmp_path) for _ in range(8)
        ]
        (path,) = {future.result() for future in asked}
    assert [entry.name for entry in tmp_path.iterdir()] == [Path(path).parent.name]
    assert pa.ipc.open_file(pa.memory_map(path)).read_all().num_rows == 67


def test_second_of_two_writers_takes_the_first_ones_copy(
    partial_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = memory._write_arrow

    def overtaken(dataset: Dataset, split: str, columns: Any, path: Path) -> None:
        write(dataset, split, columns, path)
        monkeypatch.setattr(memory, "_write_arrow", write)
        map_columns(dataset, split, columns, tmp_path)

    monkeypatch.setattr(memory, "_write_arrow", overtaken)
    path = map_columns(partial_dataset, "test", ["image_id"], tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.parent.name]
    assert path.is_file()


# evaluation


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_every_row_in_order(partial_dataset: Dataset, workers: int) -> None:
    made = list(evaluation_batches(partial_dataset, "train", TASKS, 16, workers=workers))
    assert [len(batch) for batch in made] == [16, 16, 16, 16, 3]
    assert [i for batch in made for i in batch.image_ids] == [f"tile-{n:03d}" for n in range(67)]


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_of_chosen_rows(partial_dataset: Dataset, workers: int) -> None:
    made = evaluation_batches(partial_dataset, "train", [], 2, rows=[3, 8, 60], workers=workers)
    ids = [batch.image_ids for batch in made]
    assert ids == [["tile-003", "tile-008"], ["tile-060"]]


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


@pytest.mark.parametrize("workers", [0, 1])
def test_in_evaluation_smaller_images_are_padded_with_what_nobody_knows(
    tmp_path: Path, workers: int
) -> None:
    dataset = write_two(tmp_path, make_sample(4, 6))
    (batch,) = evaluation_batches(dataset, "train", ["cover"], 2, workers=workers)
    assert batch.images_BCHW.shape == (2, 3, 4, 6)
    ignored = batch.targets["cover"] == dataset.info.tasks["cover"].ignore
    assert ignored[0, :, 4:].all()
    assert not ignored[0, :, :4].any()
    assert not ignored[1].any()


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


def test_a_damaged_copy_says_what_to_remove(partial_dataset: Dataset, tmp_path: Path) -> None:
    table = TrainingTable(partial_dataset, "test", ["tags"], cache=tmp_path)
    (path,) = tmp_path.rglob("*.arrow")
    del table
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidDataset, match="cached copy") as caught:
        TrainingTable(partial_dataset, "test", ["tags"], cache=tmp_path)
    assert str(path.parent) in caught.value.remedy


def test_changed_and_unchanged_images_share_a_batch(partial_dataset: Dataset) -> None:
    record = next(partial_dataset.records("train", []))
    brighter = Augmentation(symmetry="none", brightness=0.5)(record, {}, 0, 1)
    batch = collate([record, brighter], {})
    torch.testing.assert_close(batch.images_BCHW[0], collate([record], {}).images_BCHW[0])
    assert float(batch.images_BCHW.max()) <= 1
