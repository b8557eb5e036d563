"""The table that training reads: its rows, what it keeps, and its memory-mapped copy."""

import dataclasses
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from goldseam.dataset import memory
from goldseam.dataset.loading import (
    TrainingTable,
    batches,
)
from goldseam.dataset.memory import map_columns
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.errors import InvalidDataset

Contents = Callable[..., list[dict[str, Any]]]

TASKS = ["cover", "edge", "depth", "normals", "objects", "tags", "caption"]


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


def test_a_damaged_copy_says_what_to_remove(partial_dataset: Dataset, tmp_path: Path) -> None:
    table = TrainingTable(partial_dataset, "test", ["tags"], cache=tmp_path)
    (path,) = tmp_path.rglob("*.arrow")
    del table
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidDataset, match="cached copy") as caught:
        TrainingTable(partial_dataset, "test", ["tags"], cache=tmp_path)
    assert str(path.parent) in caught.value.remedy
