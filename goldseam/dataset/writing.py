"""Writing a dataset whole or not at all."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import Array, BadCell, encode_image, encode_label, picture_size
from goldseam.dataset.faults import label_faults
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
    seen = _Seen()
    shards: list[Shard] = []
    with atomic_folder(out, replace=replace) as folder:
        for split in SPLITS:
            samples = seen.watch(split, splits.get(split, ()))
            written = [
                _write_shard(folder / f"{split}-{number:05d}.parquet", schema, info, chunk)
                for number, chunk in enumerate(_chunks(samples, rows_per_shard))
            ]
            for number, (path, rows) in enumerate(written):
                name = f"{split}-{number:05d}-of-{len(written):05d}.parquet"
                final = path.rename(folder / name)
                sha256 = digest_file(final).removeprefix("sha256:")
                shards.append(Shard(file=name, split=split, rows=rows, sha256=sha256))
        info = info.model_copy(update={"shards": tuple(shards)})
        info.write_yaml(folder)
    return info


class _Seen:
    """The image ids and groups that were written so far."""

    def __init__(self) -> None:
        self.images: set[str] = set()
        self.split_of: dict[str, str] = {}

    def watch(self, split: str, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            names: dict[str, Any] = {"image_id": sample.image_id, "group": sample.group}
            for what, name in names.items():
                if not isinstance(name, str) or not name:
                    raise InvalidDataset(
                        f"split '{split}', image '{sample.image_id}': {what} is {name!r}, "
                        "expected text.",
                        remedy=f"Give each image an {what}; where every image stands alone, its "
                        "image_id is its group.",
                    )
            if sample.image_id in self.images:
                raise InvalidDataset(
                    f"split '{split}': image_id '{sample.image_id}' stands there twice.",
                    remedy="Give each image an id of its own.",
                )
            first = self.split_of.setdefault(sample.group, split)
            if first != split:
                raise InvalidDataset(
                    f"image '{sample.image_id}': group '{sample.group}' is in the splits "
                    f"'{first}' and '{split}'.",
                    remedy="Put all images of a group into one split: what is alike must not "
                    "stand on both sides of a test.",
                )
            self.images.add(sample.image_id)
            yield sample


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
            writer.write_table(_table(block, schema))
            rows += len(block)
    return path, rows


def _table(block: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(block, schema=schema)
    except (pa.ArrowException, OverflowError) as error:
        first, last = block[0]["image_id"], block[-1]["image_id"]
        raise InvalidDataset(
            f"images '{first}' to '{last}': a value does not fit its column ({error}).",
            remedy="image_id, group and sources are strings; meta values have the declared type.",
        ) from error


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
        width, height = picture_size(image["bytes"])
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
