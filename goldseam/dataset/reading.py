"""Opening a dataset: label tables without a picture decoded, and single samples with all of it."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import Array, BadCell, decode_label, decode_picture
from goldseam.dataset.schema import DATASET_FILE, DatasetInfo, Shard
from goldseam.errors import DigestMismatch, InvalidDataset, MissingInput


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
        tables = [pq.read_table(self.path / s.file, columns=names) for s in self.shards(split)]
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
        """
        tasks = list(self.info.tasks) if tasks is None else list(tasks)
        columns = ["image_id", "image", "group"]
        for task in tasks:
            self.info.task(task)
            columns += [task, f"{task}_source"]
        wanted = None if rows is None else np.asarray(rows, np.int64)
        start = 0
        for shard in self.shards(split):
            parquet = pq.ParquetFile(self.path / shard.file)
            for number in range(parquet.num_row_groups):
                count = parquet.metadata.row_group(number).num_rows
                take = _within(wanted, start, count)
                if take is None or len(take):
                    table = parquet.read_row_group(number, columns=columns)
                    table = table if take is None else table.take(take)
                    for row in table.to_pylist():
                        yield decode_row(self.info, row, tasks, where=f"{shard.file}, row {start}")
                start += count


def _within(wanted: Array | None, start: int, count: int) -> Array | None:
    if wanted is None:
        return None
    return wanted[(wanted >= start) & (wanted < start + count)] - start


def decode_row(info: DatasetInfo, row: dict[str, Any], tasks: Sequence[str], where: str) -> Record:
    """Decode one row of the table.

    Raises:
        InvalidDataset: a cell cannot be decoded; says where it stands.
    """
    column = "image"
    try:
        image = decode_picture(row["image"]["bytes"])
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, axis=2)
        labels = {}
        for column in tasks:
            labels[column] = decode_label(info.tasks[column], row[column])
    except (BadCell, IndexError) as error:
        raise InvalidDataset(
            f"{where}, image '{row['image_id']}', column '{column}': {error}.",
            remedy="Run 'goldseam dataset check' for a list of every such row.",
        ) from error
    sources = {task: row[f"{task}_source"] for task in tasks}
    return Record(row["image_id"], row["group"], image, labels, sources)


def open_dataset(path: Path | str, *, verify: bool = True) -> Dataset:
    """Open a dataset folder.

    Args:
        path: a folder with `dataset.yaml`.
        verify: whether each shard's SHA-256 and row count are compared with `dataset.yaml`.

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
            rows = pq.ParquetFile(file).metadata.num_rows
            if rows != shard.rows:
                raise InvalidDataset(
                    f"{file} has {rows} rows, {DATASET_FILE} lists {shard.rows}.",
                    remedy="Build the dataset anew.",
                )
    return dataset
