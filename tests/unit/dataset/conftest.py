"""A small dataset with every kind of task, and what it takes to break one."""

import io
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.schema import DATASET_FILE, DatasetInfo, Task
from goldseam.dataset.writing import Sample, write_dataset

HEIGHT, WIDTH = 12, 16
CATEGORIES = ("sea", "land", "lake")


def every_kind() -> DatasetInfo:
    return DatasetInfo(
        name="every_kind",
        license="CC0-1.0",
        source="rendered by the tests",
        tasks={
            "cover": Task(kind="segmentation", categories=CATEGORIES),
            "cover_map": Task(kind="segmentation", categories=CATEGORIES, noisy_version_of="cover"),
            "edge": Task(kind="boundary"),
            "salient": Task(kind="saliency"),
            "distance": Task(kind="regression", unit="px", scale=1 / 64, offset=-16),
            "elevation": Task(kind="regression", unit="m", encoding="tiff32", invalid=-9999),
            "facing": Task(kind="normals", axes="x right, y up, z towards the viewer"),
            "objects": Task(kind="detection", categories=("house", "boat")),
            "tags": Task(kind="tags", categories=("bay", "cape", "river", "harbor")),
            "caption": Task(kind="caption"),
        },
        meta={"meta_site": "string", "meta_altitude": "double", "meta_day": "int64"},
    )


def some_labels(seed: int) -> dict[str, Any]:
    """A label of every task; the same for the same seed."""
    random = np.random.default_rng(seed)
    size = (HEIGHT, WIDTH)
    distance_HW = random.uniform(-16, 16, size).round(2).astype(np.float32).clip(-15.9, 16)
    elevation_HW = random.normal(0, 100, size).astype(np.float32)
    facing_3HW = random.normal(0, 1, (3, *size)).astype(np.float32)
    facing_3HW /= np.linalg.norm(facing_3HW, axis=0)
    for values in (distance_HW, elevation_HW, facing_3HW):
        values[..., 0, :3] = np.nan
    corners_N4 = np.array([[1, 2, 5, 6], [4.5, 0, 16, 12]], np.float32)
    return {
        "cover": random.choice([0, 1, 2, 255], size).astype(np.uint8),
        "cover_map": random.integers(0, 3, size, dtype=np.uint8),
        "edge": random.choice([0, 1, 255], size).astype(np.uint8),
        "salient": random.choice([0, 1, 255], size).astype(np.uint8),
        "distance": distance_HW,
        "elevation": elevation_HW,
        "facing": facing_3HW,
        "objects": Boxes(np.array([1, 0], np.int32), corners_N4, np.array([False, True])),
        "tags": np.array([1, 0, -1, 1], np.int8),
        "caption": f"Shore {seed}, “späte Küste”",
    }


def some_sample(number: int, known: Collection[str] | None = None, **changes: Any) -> Sample:
    """Sample of a number; `known` names the tasks that carry a label, all by default."""
    labels = some_labels(number)
    labels = {name: labels[name] for name in (labels if known is None else known)}
    values: dict[str, Any] = {
        "image_id": f"image-{number}",
        "image": np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
        "group": f"group-{number}",
        "labels": labels,
        "sources": dict.fromkeys(labels, "map" if number % 2 else "human"),
        "meta": {"meta_site": "north", "meta_altitude": number / 2, "meta_day": None},
    }
    return Sample(**{**values, **changes})


@pytest.fixture
def info() -> DatasetInfo:
    return every_kind()


@pytest.fixture
def sample() -> Callable[..., Sample]:
    return some_sample


@pytest.fixture
def labels() -> Callable[[int], dict[str, Any]]:
    return some_labels


@pytest.fixture(scope="session")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("datasets") / "every_kind"
    train = [
        some_sample(0),
        some_sample(1),
        some_sample(2, ("tags", "objects")),
        some_sample(3, ()),
    ]
    splits = {"train": train, "test": [some_sample(4), some_sample(5)]}
    write_dataset(out, every_kind(), splits, rows_per_shard=2)
    return out


@pytest.fixture
def dataset_path(_written: Path, tmp_path: Path) -> Path:
    """A valid dataset of two train shards and one test shard, which the test may break."""
    out = tmp_path / "every_kind"
    out.mkdir()
    for file in _written.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    return out


def declare(path: Path) -> None:
    """Let dataset.yaml list the shards as they are now."""
    body = yaml.safe_load((path / DATASET_FILE).read_text())
    for shard in body["shards"]:
        file = path / shard["file"]
        shard["sha256"] = digest_file(file).removeprefix("sha256:")
        shard["rows"] = pq.read_metadata(file).num_rows
    (path / DATASET_FILE).write_text(yaml.safe_dump(body, sort_keys=False))


@pytest.fixture
def change_row(dataset_path: Path) -> Callable[..., None]:
    """Writes other values into one row, as a writer that checks nothing would."""

    def change(row: int, file: str = "train-00000-of-00002.parquet", **values: Any) -> None:
        table = pq.read_table(dataset_path / file)
        rows = table.to_pylist()
        rows[row].update(values)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), dataset_path / file)
        declare(dataset_path)

    return change


@pytest.fixture
def redeclare(dataset_path: Path) -> Callable[[], None]:
    return lambda: declare(dataset_path)


@pytest.fixture
def picture() -> Callable[..., dict[str, Any]]:
    """Encodes an array as a cell without asking whether it is a label."""

    def encode(array: np.ndarray, kind: str = "PNG") -> dict[str, Any]:
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, format=kind)
        return {"bytes": stream.getvalue(), "path": None}

    return encode
