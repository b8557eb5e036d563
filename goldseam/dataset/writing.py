"""Writing a dataset whole or not at all."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.dataset.codecs import Array, BadCell, encode_image, encode_label, picture_size
from goldseam.dataset.schema import SPLITS, DatasetInfo, Shard
from goldseam.errors import InvalidDataset
from goldseam.storage.atomic import atomic_folder

ROWS_PER_SHARD = 4096
ROWS_PER_GROUP = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with what is known about it.

    Attributes:
        image_id: unique in the dataset.
        image: `uint8 HW3`, or an encoded PNG, JPEG or TIFF.
        group: unit of leakage; a group never crosses splits.
        labels: task → array (see `codecs`); a task that is missing or None is unknown.
        sources: task → who made the label; needed exactly where the label is known.
        meta: `meta_*` columns.
    """

    image_id: str
    image: Array | bytes
    group: str
    labels: Mapping[str, Any]
    sources: Mapping[str, str]
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_dataset(
    out: Path,
    info: DatasetInfo,
    splits: Mapping[str, Iterable[Sample]],
    *,
    rows_per_shard: int = ROWS_PER_SHARD,
    replace: bool = False,
) -> DatasetInfo:
    """Write samples as Parquet shards with `dataset.yaml`.

    Args:
        out: the folder to make.
        info: what the dataset declares; its `shards` are filled in.
        splits: `train`, `validation`, `test` → samples, which may be generated one by one.
        rows_per_shard: images in a file.
        replace: whether a folder that is there is replaced.

    Returns:
        `info` with its shards.

    Raises:
        InvalidDataset: a sample breaks the format; nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise InvalidDataset(f"no such split: {sorted(unknown)}.", remedy=f"Splits are {SPLITS}.")
    schema = info.arrow_schema()
    shards: list[Shard] = []
    with atomic_folder(out, replace=replace) as folder:
        for split in SPLITS:
            written = [
                _write_shard(folder / f"{split}-{number:05d}.parquet", schema, info, samples)
                for number, samples in enumerate(_chunks(splits.get(split, ()), rows_per_shard))
            ]
            for number, (path, rows) in enumerate(written):
                name = f"{split}-{number:05d}-of-{len(written):05d}.parquet"
                final = path.rename(folder / name)
                sha256 = hashlib.sha256(final.read_bytes()).hexdigest()
                shards.append(Shard(file=name, split=split, rows=rows, sha256=sha256))
        info = info.model_copy(update={"shards": tuple(shards)})
        info.write_yaml(folder)
    return info


def _chunks(samples: Iterable[Sample], size: int) -> Iterator[Iterator[Sample]]:
    iterator = iter(samples)
    for first in iterator:
        yield _with_first(first, islice(iterator, size - 1))


def _with_first(first: Sample, rest: Iterator[Sample]) -> Iterator[Sample]:
    yield first
    yield from rest


def _write_shard(
    path: Path, schema: pa.Schema, info: DatasetInfo, samples: Iterator[Sample]
) -> tuple[Path, int]:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=True) as writer:
        while block := [encode_row(info, sample) for sample in islice(samples, ROWS_PER_GROUP)]:
            writer.write_table(pa.Table.from_pylist(block, schema=schema))
            rows += len(block)
    return path, rows


def encode_row(info: DatasetInfo, sample: Sample) -> dict[str, Any]:
    """One row of the table.

    Raises:
        InvalidDataset: a label does not fit its task, or label and source disagree on being known.
    """
    image = encode_image(sample.image)
    width, height = picture_size(image["bytes"])
    row: dict[str, Any] = {
        "image_id": sample.image_id,
        "image": image,
        "width": width,
        "height": height,
        "group": sample.group,
        **{name: sample.meta.get(name) for name in info.meta},
    }
    for name in (set(sample.labels) | set(sample.sources)) - set(info.tasks):
        raise InvalidDataset(
            f"image '{sample.image_id}': label of undeclared task '{name}'.",
            remedy="Declare the task in DatasetInfo.tasks.",
        )
    for name, task in info.tasks.items():
        label, source = sample.labels.get(name), sample.sources.get(name)
        if (label is None) != (source is None):
            raise InvalidDataset(
                f"image '{sample.image_id}', task '{name}': label and source must be known together.",
                remedy="Give a source ('human', 'map', 'model', 'generated') with each label.",
            )
        try:
            row[name] = encode_label(task, label)
        except BadCell as error:
            raise InvalidDataset(
                f"image '{sample.image_id}', task '{name}': {error}.",
                remedy="Mend the label, or leave it out: unknown is None.",
            ) from error
        row[f"{name}_source"] = source
    return row
