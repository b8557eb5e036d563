"""A small dataset with a noisy task, and ways to break it."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Shard, Task
from goldseam.dataset.writing import Sample, write_dataset

SIZE = 16
COVER = ("sea", "land", "lake")

INFO = DatasetInfo(
    name="bays",
    license="CC0-1.0",
    tasks={
        "cover": Task(kind=Kind.SEGMENTATION, categories=COVER),
        "cover_map": Task(kind=Kind.SEGMENTATION, categories=COVER, noisy_version_of="cover"),
        "objects": Task(kind=Kind.DETECTION, categories=("island", "lake")),
        "tags": Task(kind=Kind.TAGS, categories=("sea", "lake", "river")),
    },
    meta={"meta_site": "string"},
)

Rows = list[dict[str, Any]]


def cover(shore: int) -> np.ndarray:
    """Sea left of column `shore`, land right of it."""
    target_HW = np.ones((SIZE, SIZE), np.uint8)
    target_HW[:, :shore] = 0
    return target_HW


def boxes() -> Boxes:
    corners = np.array([[1, 1, 4, 5], [0, 0, SIZE, SIZE]], np.float32)
    return Boxes(np.array([0, 1], np.int32), corners, np.array([False, True]))


def samples(split: str, number: int) -> Iterator[Sample]:
    """Training is partial: the map on every image, the rest on every second, third and fourth."""
    random = np.random.default_rng(len(split))
    for index in range(number):
        shore = int(random.integers(4, 12))
        labels: dict[str, Any] = {"cover_map": cover(shore + 1)}
        if split != "train" or index % 2 == 0:
            labels["cover"] = cover(shore)
        if split != "train" or index % 3 == 0:
            labels["objects"] = boxes() if index % 2 else Boxes.empty()
        if split != "train" or index % 4 == 0:
            labels["tags"] = np.array([1, 0, -1 if split == "train" and index % 8 else 0])
        yield Sample(
            image_id=f"{split}-{index}",
            image=random.integers(0, 255, (SIZE, SIZE, 3), np.uint8),
            group=f"{split}-block-{index // 4}",
            labels=labels,
            sources={task: "map" if task == "cover_map" else "human" for task in labels},
            meta={"meta_site": "north"},
        )


def build(
    path: Path, info: DatasetInfo = INFO, *, training: int = 12, rows_per_shard: int = 100
) -> Dataset:
    splits = {"train": samples("train", training), "test": samples("test", 4)}
    write_dataset(path, info, splits, rows_per_shard=rows_per_shard)
    return open_dataset(path)


def rewrite(
    dataset: Dataset, split: str, edit: Callable[[Rows], Any], schema: pa.Schema | None = None
) -> Dataset:
    """Change the rows of a split behind the writer's back, with digests that fit."""
    schema = schema or dataset.info.arrow_schema()
    shards: list[Shard] = []
    for shard in dataset.info.shards:
        if shard.split == split:
            file = dataset.path / shard.file
            rows = pq.read_table(file).to_pylist()
            edit(rows)
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            shards.append(shard.model_copy(update={"sha256": sha256, "rows": len(rows)}))
        else:
            shards.append(shard)
    info = dataset.info.model_copy(update={"shards": tuple(shards)})
    info.write_yaml(dataset.path)
    return open_dataset(dataset.path, verify=False)
