"""A small dataset of every task kind, in which most labels are unknown."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.dataset import writing
from goldseam.dataset.batch import Batch
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset

SIZE = 8
PARTIAL_TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("sea", "land", "lake"), ignore=255),
    "edge": Task(kind=Kind.BOUNDARY),
    "depth": Task(kind=Kind.REGRESSION, unit="m", scale=0.01, offset=-1.0),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "objects": Task(kind=Kind.DETECTION, categories=("island", "lake")),
    "tags": Task(kind=Kind.TAGS, categories=("sea", "river", "border")),
    "caption": Task(kind=Kind.CAPTION),
}


def partial_sample(number: int) -> Sample:
    """A sample that knows one dense task at most, and each other task now and then."""
    random = np.random.default_rng(number)
    normal_3HW = random.normal(size=(3, SIZE, SIZE)).astype(np.float32)
    normal_3HW /= np.linalg.norm(normal_3HW, axis=0)
    depth_HW = random.random((SIZE, SIZE), np.float32)
    depth_HW[0, 0] = np.nan
    corners_N4 = np.array([[1, 2, 4, 7]], np.float32)
    boxes = Boxes(np.array([1], np.int32), corners_N4, np.array([False]))
    every = {
        "cover": (number % 8 == 1, random.integers(0, 3, (SIZE, SIZE), dtype=np.uint8)),
        "edge": (number % 8 == 2, random.integers(0, 2, (SIZE, SIZE), dtype=np.uint8)),
        "depth": (number % 8 == 3, depth_HW),
        "normals": (number % 8 == 4, normal_3HW),
        "objects": (number % 5 == 0, boxes if number % 10 == 0 else Boxes.empty()),
        "tags": (number % 3 == 0, random.integers(-1, 2, 3).astype(np.int8)),
        "caption": (number % 7 == 0, f"tile {number}"),
    }
    labels = {task: label for task, (known, label) in every.items() if known}
    return Sample(
        image_id=f"tile-{number:03d}",
        image=random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        group=f"block-{number // 10}",
        labels=labels,
        sources=dict.fromkeys(labels, "human"),
    )


@pytest.fixture(scope="session")
def partial_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """67 images in 3 shards of row groups of 4 for training; 10 for testing."""
    folder: Path = tmp_path_factory.mktemp("partial") / "dataset"
    info = DatasetInfo(name="partial", tasks=PARTIAL_TASKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "ROWS_PER_GROUP", 4)
        splits = {
            "train": (partial_sample(number) for number in range(67)),
            "test": (partial_sample(number) for number in range(100, 110)),
        }
        write_dataset(folder, info, splits, rows_per_shard=26)
    return open_dataset(folder)


def _content(batch: Batch) -> dict[str, Any]:
    return {
        "ids": batch.image_ids,
        "groups": batch.groups,
        "images": batch.images_BCHW.numpy().tobytes(),
        "targets": {task: target.numpy().tobytes() for task, target in batch.targets.items()},
        "boxes": {
            task: [
                None if one is None else (one.category_N.tolist(), one.corners_N4.tolist())
                for one in several
            ]
            for task, several in batch.boxes.items()
        },
        "captions": batch.captions,
        "known": {task: known_B.tolist() for task, known_B in batch.known.items()},
    }


@pytest.fixture
def contents() -> Callable[..., list[dict[str, Any]]]:
    """All of some batches as plain values, by which they are compared to the bit."""

    def contents(made: Iterable[Batch], count: int | None = None) -> list[dict[str, Any]]:
        return [_content(batch) for batch in itertools.islice(made, count)]

    return contents
