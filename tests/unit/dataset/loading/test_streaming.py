"""The stream: every row once an epoch, the same in any number of workers, resumed anywhere."""

import collections
import dataclasses
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from goldseam.dataset.augmentation import Augmentation
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.stream_plan import plan_epoch
from goldseam.dataset.streaming import StreamingTable, stream_batches
from goldseam.errors import InvalidConfig, InvalidDataset

Contents = Callable[..., list[dict[str, Any]]]

TASKS = ["cover", "depth", "objects", "tags"]


def stream(dataset: Dataset, tasks: list[str] = TASKS, **options: Any) -> StreamingTable:
    options = {"batch_size": 5, "seed": 3, "window": 2, "lanes": 2, **options}
    return StreamingTable(dataset, "train", tasks, **options)


def loader(table: StreamingTable, workers: int) -> StatefulDataLoader:
    context = "forkserver" if workers else None
    return StatefulDataLoader(
        table,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=context,
    )


# plan


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("window", [1, 3])
def test_a_plan_holds_every_row_once(batch_size: int, lanes: int, window: int) -> None:
    groups = {4: 5, 1: 1, 0: 8, 3: 2, 2: 9, 5: 4, 6: 1}
    plan = plan_epoch(groups, window, lanes, batch_size)
    sizes = [sum(groups[group] for group in members) for members in plan.windows]
    assert [group for members in plan.windows for group in members] == list(groups)
    drawn = [
        (part.window, row)
        for batch in plan.batches
        for part in batch
        for row in range(part.start, part.stop)
    ]
    assert sorted(drawn) == [(w, row) for w, size in enumerate(sizes) for row in range(size)]
    lengths = [sum(part.stop - part.start for part in batch) for batch in plan.batches]
    assert set(lengths[:-1]) <= {batch_size}
    assert 0 < lengths[-1] <= batch_size


def test_lanes_take_turns() -> None:
    plan = plan_epoch(dict.fromkeys(range(4), 4), 1, 2, 2)
    assert [batch[0].window for batch in plan.batches] == [0, 1, 0, 1, 2, 3, 2, 3]


# order


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_each_epoch_holds_each_row_once_over_all_ranks(
    partial_dataset: Dataset, world_size: int
) -> None:
    known = partial_dataset.known("train")
    wanted = [f"tile-{n:03d}" for n in np.flatnonzero(np.any([known[t] for t in TASKS], axis=0))]
    epochs: list[list[str]] = []
    for epoch in range(3):
        seen: list[str] = []
        for rank in range(world_size):
            table = stream(partial_dataset, rank=rank, world_size=world_size)
            step = next(step for step in itertools.count() if table.epoch(step) == epoch)
            for made in range(step, step + len(table.plan(epoch).batches)):
                assert table.epoch(made) == epoch
                seen += table.batch(made).image_ids
        assert sorted(seen) == wanted
        epochs.append(seen)
    assert epochs[0] != epochs[1] != epochs[2]


def test_all_rows_when_no_task_is_asked_for(partial_dataset: Dataset) -> None:
    table = stream(partial_dataset, [], batch_size=32)
    drawn = [image_id for step in range(3) for image_id in table.batch(step).image_ids]
    assert sorted(drawn) == [f"tile-{n:03d}" for n in range(67)]
    chosen = stream(partial_dataset, ["cover"], rows=[0, 66])
    assert sorted(chosen.batch(0).image_ids) == ["tile-000", "tile-066"]


def test_rows_are_shuffled_across_row_groups(partial_dataset: Dataset) -> None:
    table = stream(partial_dataset, [], batch_size=8, window=4)
    numbers = [int(image_id[5:]) for image_id in table.batch(0).image_ids]
    assert numbers != sorted(numbers)
    assert len({number // 4 for number in numbers}) > 2


def test_samples_are_those_of_the_dataset(partial_dataset: Dataset) -> None:
    records = {record.image_id: record for record in partial_dataset.records("train")}
    for batch in stream_batches(stream(partial_dataset), steps=9):
        for number, image_id in enumerate(batch.image_ids):
            record = records[image_id]
            image_HWC = batch.images_BCHW[number].permute(1, 2, 0) * 255
            np.testing.assert_allclose(image_HWC.numpy(), record.image_HWC, atol=1e-4)
            for task in TASKS:
                assert bool(batch.known[task][number]) == (record.labels[task] is not None)
            if record.labels["tags"] is not None:
                assert batch.targets["tags"][number].tolist() == record.labels["tags"].tolist()


# workers and resuming


@pytest.mark.parametrize("lanes", [2, 3])  # 2 workers divide the one and not the other
def test_workers_change_nothing(partial_dataset: Dataset, lanes: int, contents: Contents) -> None:
    def load(workers: int) -> list[dict[str, Any]]:
        table = stream(partial_dataset, lanes=lanes, augmentation=Augmentation(brightness=0.2))
        return contents(stream_batches(table, steps=25, workers=workers))

    alone = load(0)
    assert len(alone) == 25
    assert load(2) == alone


def test_a_run_goes_on_from_any_step(partial_dataset: Dataset, contents: Contents) -> None:
    whole = contents(stream_batches(stream(partial_dataset), steps=25))
    for start in range(25):
        rest = stream_batches(stream(partial_dataset), start_step=start, steps=25 - start)
        assert contents(rest) == whole[start:]
    table = stream(partial_dataset)
    assert contents(stream_batches(table, start_step=13, steps=12, workers=2)) == whole[13:]


def test_stateful_loader_resumes_from_every_batch(
    partial_dataset: Dataset, contents: Contents
) -> None:
    whole = contents(stream_batches(stream(partial_dataset), steps=21))
    for stop in range(1, 18):
        first = loader(stream(partial_dataset), 0)
        assert contents(first, stop) == whole[:stop]
        second = loader(stream(partial_dataset), 0)
        second.load_state_dict(first.state_dict())
        assert contents(second, 3) == whole[stop : stop + 3]


@pytest.mark.parametrize("stop", [1, 4, 13])
def test_stateful_loader_with_workers_resumes(
    partial_dataset: Dataset, stop: int, contents: Contents
) -> None:
    whole = contents(stream_batches(stream(partial_dataset), steps=stop + 6))
    first = loader(stream(partial_dataset), 2)
    made = iter(first)
    assert contents(made, stop) == whole[:stop]
    state = first.state_dict()
    del made
    second = loader(stream(partial_dataset), 2)
    second.load_state_dict(state)
    assert contents(second, 6) == whole[stop:]


def test_a_state_of_another_stream_is_refused(partial_dataset: Dataset) -> None:
    state = iter(stream(partial_dataset)).state_dict()
    iter(stream(partial_dataset)).load_state_dict(state)
    for other in ({"seed": 4}, {"batch_size": 6}, {"rows": [1, 2]}, {"window": 3}):
        with pytest.raises(InvalidConfig, match="other data, options or workers"):
            iter(stream(partial_dataset, **other)).load_state_dict(state)
    changed = dataclasses.replace(
        partial_dataset, info=partial_dataset.info.model_copy(update={"version": "2"})
    )
    with pytest.raises(InvalidConfig, match="other data"):
        iter(stream(changed)).load_state_dict(state)


# what is read


def test_resuming_reads_nothing_that_comes_before(partial_dataset: Dataset) -> None:
    whole = stream(partial_dataset)
    count = len(whole.plan(0).batches)
    list(stream_batches(whole, steps=count))
    assert whole.windows_read == len(whole.plan(0).windows)
    resumed = stream(partial_dataset)
    iterator = iter(resumed)
    iterator.load_state_dict({"step": count - 1, "stride": 1, "stream": resumed.digest})
    next(iterator)
    assert resumed.windows_read <= len(resumed.plan(0).batches[-1])
    assert resumed.windows_read < whole.windows_read / 2


def test_workers_that_divide_the_lanes_read_each_window_about_once(
    partial_dataset: Dataset,
) -> None:
    worker = stream(partial_dataset, lanes=4, window=1)
    plan = worker.plan(0)
    full = [step for step, batch in enumerate(plan.batches) if step % 2 == 0]
    for step in full[: len(full) // 2]:
        worker.batch(step)
    assert worker.windows_read <= len(plan.windows) / 2


def test_few_windows_are_in_memory(partial_dataset: Dataset) -> None:
    table = stream(partial_dataset, lanes=3, window=1)
    for step in range(30):
        table.batch(step)
        assert len(table._read) <= 4


def test_a_stream_sent_to_a_worker_carries_no_data(
    partial_dataset: Dataset, contents: Contents
) -> None:
    table = stream(partial_dataset)
    before = len(pickle.dumps(table))
    table.batch(0)
    assert len(pickle.dumps(table)) - before < 2_000
    assert contents([pickle.loads(pickle.dumps(table)).batch(1)]) == contents([table.batch(1)])


# what is refused


def test_options_that_cannot_be(partial_dataset: Dataset) -> None:
    for options in ({"batch_size": 0}, {"rank": 1}, {"window": 0}, {"lanes": 0}, {"rows": [67]}):
        with pytest.raises(InvalidConfig):
            stream(partial_dataset, **options)
    with pytest.raises(InvalidConfig, match="fewer processes"):
        stream(partial_dataset, ["cover"], world_size=50)
    with pytest.raises(InvalidConfig, match="negative"):
        stream(partial_dataset).batch(-1)
    with pytest.raises(InvalidDataset, match="covr"):
        stream(partial_dataset, ["covr"])
    with pytest.raises(InvalidDataset, match="no image of split 'train' is labeled"):
        stream(partial_dataset, ["cover"], rows=[])


def test_an_error_names_the_row(partial_dataset: Dataset, tmp_path: Path) -> None:
    files = collections.Counter(shard.split for shard in partial_dataset.info.shards)
    assert files["train"] == 3
    for source in partial_dataset.path.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    broken = tmp_path / partial_dataset.shards("train")[1].file
    table = pq.read_table(broken)
    cells = table.to_pylist()
    cells[5]["image"]["bytes"] = b"no picture"
    pq.write_table(pa.Table.from_pylist(cells, schema=table.schema), broken, row_group_size=4)
    damaged = stream(open_dataset(tmp_path, verify=False), [], rows=[26 + 5])
    for workers in (0, 1):
        with pytest.raises(InvalidDataset, match=r"train-00001.*, row 5, image 'tile-031'"):
            list(stream_batches(damaged, steps=1, workers=workers))
