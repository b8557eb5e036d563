"""Writing a dataset whole or not at all."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import Array, BadCell, encode_image, encode_label, picture_size
from goldseam.dataset.faults import label_faults
from goldseam.dataset.identity import SeenSamples, SeenTables
from goldseam.dataset.schema import SPLITS, DatasetInfo, Shard
from goldseam.errors import InvalidDataset
from goldseam.storage.atomic import atomic_folder

ROWS_PER_SHARD = 4096
ROWS_PER_GROUP = 256
# labels without pictures are a thousandth of the size
LABELS_PER_SHARD = 131072
LABELS_PER_GROUP = 16384


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with what is known about it.

    Attributes:
        image_id: unique in the dataset.
        image: `uint8 HW3`, or an encoded PNG, JPEG or TIFF; None where the dataset is to hold the
            labels alone.
        group: unit of leakage; a group never crosses splits.
        labels: task → array (see `codecs`); a task that is missing or None is unknown.
        sources: task → who made the label; needed exactly where the label is known.
        meta: `meta_*` columns.
        size: width and height in px; needed exactly where there is no picture to tell it.
    """

    image_id: str
    image: Array | bytes | None
    group: str
    labels: Mapping[str, Any]
    sources: Mapping[str, str]
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: tuple[int, int] | None = None


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
    seen = SeenSamples()
    shards = {
        split: (
            _encoded(info, chunk) for chunk in _chunks(seen.watch(split, samples), rows_per_shard)
        )
        for split, samples in splits.items()
    }
    return _write(out, info, info.arrow_schema(), shards, replace=replace)


def write_tables(
    out: Path,
    info: DatasetInfo,
    splits: Mapping[str, Iterable[Iterable[pa.Table]]],
    *,
    sizes_known: bool = True,
    replace: bool = False,
) -> DatasetInfo:
    """Write tables that are encoded already as Parquet shards with `dataset.yaml`.

    For a million labels: no Python object is made for a row. Identity, groups and sources are
    checked; that the cells of labels are well formed is the caller's business.

    Args:
        out: the folder to make.
        info: what the dataset declares; its `shards` are filled in.
        splits: split → shards → tables with the columns of `info.arrow_schema()`, which may be made
            one by one; each table is a row group, or several where it is long.
        sizes_known: False lets `width` and `height` be null; that is for images that nobody stored
            and whose labels have no place in them (tags, captions).
        replace: whether a folder that is there is replaced.

    Returns:
        `info` with its shards.

    Raises:
        InvalidDataset: a table breaks the format; nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    schema = info.arrow_schema()
    for name in () if sizes_known else ("width", "height"):
        position = schema.get_field_index(name)
        schema = schema.set(position, schema.field(position).with_nullable(True))
    seen = SeenTables(info)
    shards = {split: seen.watch(split, of_split, schema) for split, of_split in splits.items()}
    return _write(out, info, schema, shards, replace=replace, complete=seen.require_unique)


def _write(
    out: Path,
    info: DatasetInfo,
    schema: pa.Schema,
    splits: Mapping[str, Iterable[Iterable[pa.Table]]],
    *,
    replace: bool,
    complete: Callable[[], None] = lambda: None,
) -> DatasetInfo:
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise InvalidDataset(f"no such split: {sorted(unknown)}.", remedy=f"Splits are {SPLITS}.")
    shards: list[Shard] = []
    with atomic_folder(out, replace=replace) as folder:
        for split in SPLITS:
            written = [
                _write_shard(folder / f"{split}-{number:05d}.parquet", schema, tables)
                for number, tables in enumerate(splits.get(split, ()))
            ]
            for number, (path, rows) in enumerate(written):
                name = f"{split}-{number:05d}-of-{len(written):05d}.parquet"
                final = path.rename(folder / name)
                sha256 = digest_file(final).removeprefix("sha256:")
                shards.append(Shard(file=name, split=split, rows=rows, sha256=sha256))
        complete()
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


def _write_shard(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> tuple[Path, int]:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=True) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=LABELS_PER_GROUP)
            rows += table.num_rows
    return path, rows


def _encoded(info: DatasetInfo, samples: Iterator[Sample]) -> Iterator[pa.Table]:
    schema = info.arrow_schema()
    while block := [encode_row(info, sample) for sample in islice(samples, ROWS_PER_GROUP)]:
        yield _table(block, schema)


def _table(block: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(block, schema=schema)
    except (pa.ArrowException, OverflowError) as error:
        first, last = block[0]["image_id"], block[-1]["image_id"]
        raise InvalidDataset(
            f"images '{first}' to '{last}': a value does not fit its column ({error}).",
            remedy="image_id, group and sources are strings; meta values have the declared type.",
        ) from error


def _size(sample: Sample, image: dict[str, Any] | None) -> tuple[int, int]:
    size = None if image is None else picture_size(image["bytes"])
    if size is None and (sample.size is None or min(sample.size) < 1):
        raise BadCell(
            f"no picture and the size {sample.size}",
            "a picture, or width and height in px",
            "Give the picture, or the image's size where its picture is not to be stored.",
        )
    if None not in (size, sample.size) and size != sample.size:
        raise BadCell(
            f"a picture of {size} px and the size {sample.size}",
            "one size",
            "Leave `size` out: the picture tells it.",
        )
    found = size or sample.size
    assert found is not None
    return found


def encode_row(info: DatasetInfo, sample: Sample) -> dict[str, Any]:
    """One row of the table.

    Raises:
        InvalidDataset: the image cannot be read, a label does not fit its task or image, or label
            and source disagree on being known.
    """
    undeclared = [
        *(f"label of task '{name}'" for name in {*sample.labels, *sample.sources} - {*info.tasks}),
        *(f"metadata '{name}'" for name in set(sample.meta) - set(info.meta)),
    ]
    for what in sorted(undeclared):
        raise InvalidDataset(
            f"image '{sample.image_id}': {what}, which is not declared.",
            remedy="Declare it in DatasetInfo.tasks or DatasetInfo.meta.",
        )
    column = "image"
    try:
        image = encode_image(sample.image)
        width, height = _size(sample, image)
        cells: dict[str, Any] = {}
        for column, task in info.tasks.items():
            label, source = sample.labels.get(column), sample.sources.get(column)
            if (label is None) != (not source):
                raise BadCell(
                    f"{'no' if label is None else 'a'} label and the source {source!r}",
                    "both or none",
                    "Give a source ('human', 'map', 'model', 'generated') with each label.",
                )
            for fault in label_faults(task, label, height, width):
                raise fault
            cells[column] = encode_label(task, label)
            cells[f"{column}_source"] = source or None
    except BadCell as error:
        raise InvalidDataset(
            f"image '{sample.image_id}', column '{column}': {error}.", remedy=error.remedy
        ) from error
    return {
        "image_id": sample.image_id,
        "image": image,
        "width": width,
        "height": height,
        "group": sample.group,
        **{name: sample.meta.get(name) for name in info.meta},
        **cells,
    }
