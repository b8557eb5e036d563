"""Opening a dataset: label tables without a picture decoded, and single samples with all of it."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import Array, BadCell, decode_image, decode_label, stored_picture
from goldseam.dataset.faults import label_faults
from goldseam.dataset.schema import DATASET_FILE, DatasetInfo, Shard
from goldseam.errors import DigestMismatch, InvalidDataset, MissingInput

SIZES = ("width", "height")


@dataclasses.dataclass(frozen=True)
class Record:
    """One decoded row.

    Attributes:
        image_HWC: uint8.
        labels: task → array (see `codecs`); None where unknown.
        sources: task → source; None where unknown.
    """

    image_id: str
    group: str
    image_HWC: Array
    labels: dict[str, Any]
    sources: dict[str, str | None]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset on disk; `open_dataset` makes one.

    Attributes:
        path: its folder.
        info: what `dataset.yaml` declares.
    """

    path: Path
    info: DatasetInfo

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split.

        Raises:
            InvalidDataset: the split has none.
        """
        shards = tuple(shard for shard in self.info.shards if shard.split == split)
        if not shards:
            raise InvalidDataset(
                f"{self.path}: dataset '{self.info.name}' has no split '{split}'.",
                remedy=f"It has {', '.join(self.info.splits) or 'none'}.",
            )
        return shards

    def table(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of a split; Parquet reads only those that are named.

        Args:
            split: one split.
            columns: names; a part of a struct is named with a dot, such as `tags.present`.
        """
        names = list(columns) if columns is not None else None
        tables = []
        for shard in self.shards(split):
            with open_shard(self.path / shard.file) as parquet:
                tables.append(parquet.read(columns=names))
        return pa.concat_tables(tables)

    def known(self, split: str) -> dict[str, Array]:
        """Task → bool N: True where the image carries a label of the task.

        The `*_source` columns tell it, so no picture is read.
        """
        columns = [f"{task}_source" for task in self.info.tasks]
        table = self.table(split, columns)
        return {
            task: table.column(f"{task}_source").is_valid().to_numpy(zero_copy_only=False)
            for task in self.info.tasks
        }

    def records(
        self, split: str, tasks: Sequence[str] | None = None, rows: Sequence[int] | None = None
    ) -> Iterator[Record]:
        """Decoded rows of a split, in order.

        Args:
            split: one split.
            tasks: which labels to decode; all by default.
            rows: positions in the split, ascending; all by default.

        Raises:
            InvalidDataset: a shard or a cell cannot be decoded, or a label does not fit its image
                or vocabulary; names file, row and column.
        """
        tasks = list(self.info.tasks) if tasks is None else list(tasks)
        columns = ["image_id", "image", "group"]
        for task in tasks:
            self.info.task(task)
            columns += [task, f"{task}_source"]
        wanted = None if rows is None else np.asarray(rows, np.int64)
        if wanted is not None and (np.diff(wanted, prepend=0) < 0).any():
            raise ValueError("rows must be ascending positions")
        before = 0
        for shard in self.shards(split):
            with open_shard(self.path / shard.file) as parquet:
                first = 0
                for number in range(parquet.num_row_groups):
                    count = parquet.metadata.row_group(number).num_rows
                    take = _within(wanted, before + first, count)
                    if len(take):
                        rows_ = parquet.read_row_group(number, columns=columns).take(take)
                        for position, row in zip(take.tolist(), rows_.to_pylist(), strict=True):
                            where = f"{shard.file}, row {first + position}"
                            yield decode_row(self.info, row, tasks, where)
                    first += count
                before += first

    def without_picture(self, split: str | None = None) -> int:
        """Images whose picture the dataset does not store, of one split or of all.

        The footers of the files count them, so no picture is read.
        """
        shards = [shard for shard in self.info.shards if split in (None, shard.split)]
        return sum(_without_picture(self.path / shard.file) for shard in shards)


def _without_picture(file: Path) -> int:
    missing = 0
    with open_shard(file) as parquet:
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            columns = [group.column(position) for position in range(group.num_columns)]
            (content,) = [column for column in columns if column.path_in_schema == "image.bytes"]
            if content.statistics is not None and content.statistics.has_null_count:
                missing += content.statistics.null_count
            else:
                cells = parquet.read_row_group(number, columns=["image.bytes"]).column("image")
                missing += pc.struct_field(cells.combine_chunks(), "bytes").null_count
    return missing


def _within(wanted: Array | None, start: int, count: int) -> Array:
    if wanted is None:
        return np.arange(count)
    return wanted[(wanted >= start) & (wanted < start + count)] - start


@contextlib.contextmanager
def open_shard(file: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what goes wrong while it is read says which file it was.

    Raises:
        MissingInput: the file is not there or cannot be opened.
        InvalidDataset: it is no Parquet, is damaged, or lacks a column.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            yield parquet
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise MissingInput(file, f"the shard cannot be read ({error.strerror})") from error
    except (OSError, pa.ArrowException) as error:
        raise InvalidDataset(
            f"{file}: the Parquet file is damaged ({error}).",
            remedy="Fetch the dataset again ('dvc pull'), or build it anew.",
        ) from error


def schema_faults(expected: pa.Schema, found: pa.Schema) -> Iterator[tuple[str, str, str]]:
    """(column, found, expected) wherever a shard's columns are not those of dataset.yaml."""
    for name in expected.names:
        if name not in found.names:
            yield name, "no such column", str(expected.field(name).type)
        elif name in SIZES and found.field(name).type == expected.field(name).type:
            continue  # the size of a picture that is not stored may be unknown
        elif found.field(name) != expected.field(name):
            yield name, _typed(found.field(name)), _typed(expected.field(name))
    for name in found.names:
        if name not in expected.names:
            yield name, "a column that is not declared", "the columns of dataset.yaml"
    key = b"huggingface"
    if (found.metadata or {}).get(key) != expected.metadata[key]:
        yield "", "other names of categories or kinds of columns in the metadata", "those declared"


def _typed(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ', never null'}"


def decode_row(
    info: DatasetInfo,
    row: dict[str, Any],
    tasks: Sequence[str],
    where: str,
    *,
    unsure: bool = False,
) -> Record:
    """Decode one row of the table; for `unsure` see `codecs.decode_label`.

    Raises:
        InvalidDataset: a cell cannot be decoded, or the picture is not stored; says where.
    """
    column = "image"
    content = stored_picture(row["image"])
    if content is None:
        raise InvalidDataset(
            f"{where}, image '{row['image_id']}', column 'image': the picture is not stored.",
            remedy="Audits of labels need none; for anything that looks at pictures, import the "
            "dataset again with --images.",
        )
    try:
        image_HWC = decode_image(content)
        labels = {}
        for column in tasks:
            task = info.tasks[column]
            labels[column] = decode_label(task, row[column], unsure=unsure)
            for fault in label_faults(task, labels[column], *image_HWC.shape[:2]):
                raise fault
    except BadCell as error:
        raise InvalidDataset(
            f"{where}, image '{row['image_id']}', column '{column}': {error}.",
            remedy=f"{error.remedy} 'goldseam dataset check' lists every such row.",
        ) from error
    sources = {task: row[f"{task}_source"] for task in tasks}
    return Record(row["image_id"], row["group"], image_HWC, labels, sources)


def open_dataset(path: Path | str, *, verify: bool = True) -> Dataset:
    """Open a dataset folder.

    Args:
        path: a folder with `dataset.yaml`.
        verify: whether SHA-256, row count and columns of each shard are compared with
            `dataset.yaml`.

    Raises:
        MissingInput: the folder, its `dataset.yaml` or a shard is missing or cannot be read.
        DigestMismatch: a shard differs from what `dataset.yaml` promises.
        InvalidDataset: `dataset.yaml` breaks the format.
    """
    path = Path(path)
    dataset = Dataset(path, DatasetInfo.read_yaml(path))
    for shard in dataset.info.shards:
        file = path / shard.file
        if not file.is_file():
            raise MissingInput(
                file,
                f"the shard is listed in {DATASET_FILE} but is not there",
                "Fetch the dataset again ('dvc pull'), or build it anew.",
            )
        if verify:
            found = digest_file(file).removeprefix("sha256:")
            if found != shard.sha256:
                raise DigestMismatch(
                    file,
                    shard.sha256,
                    found,
                    "The file was changed or cut off: fetch the dataset again ('dvc pull'), "
                    "or build it anew.",
                )
            _verify_columns(dataset.info, file, shard)
    return dataset


def _verify_columns(info: DatasetInfo, file: Path, shard: Shard) -> None:
    with open_shard(file) as parquet:
        rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
    if rows != shard.rows:
        raise InvalidDataset(
            f"{file} has {rows} rows, {DATASET_FILE} lists {shard.rows}.",
            remedy="Build the dataset anew.",
        )
    for column, found, expected in schema_faults(info.arrow_schema(), schema):
        raise InvalidDataset(
            f"{file}, column '{column}': {found}, expected {expected}.",
            remedy="Declare in dataset.yaml what the shards hold, or build the dataset anew.",
        )
