"""A split as a map-style table: any row by its position, from memory-mapped Arrow.

Parquet is made for columns, not for single rows. The columns that a run needs are written once as
uncompressed Arrow, which every process and worker maps without a copy.
"""

import abc
import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.artifacts import digest_of
from goldseam.dataset.codecs import Array
from goldseam.dataset.order import BatchOrder
from goldseam.dataset.reading import Dataset, Record, decode_row, open_shard
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig, InvalidDataset, OutputExists
from goldseam.storage.atomic import atomic_folder

DECODED_LIMIT = 1 << 30  # bytes of decoded samples that are kept in memory
ARROW_FILE = "table.arrow"
BYTES_PER_PIXEL = {Kind.REGRESSION: 4, Kind.NORMALS: 12}  # decoded; other pictures have 1 or 2


def sample_columns(dataset: Dataset, tasks: Sequence[str]) -> list[str]:
    """The columns from which a sample with these labels is decoded.

    Raises:
        InvalidDataset: the dataset has no such task.
    """
    columns = ["image_id", "image", "width", "height", "group"]
    for task in tasks:
        dataset.info.task(task)
        columns += [task, f"{task}_source"]
    return columns


def map_columns(dataset: Dataset, split: str, columns: Sequence[str], cache: Path) -> Path:
    """Write columns of a split as an Arrow file below `cache`, unless it is there.

    The file's place names the dataset's content, so changed data is never taken for it. Several
    processes may ask at once: each writes under a name of its own, and the first to finish wins.

    Returns:
        The Arrow file.

    Raises:
        StorageFull: the disk filled up; nothing is left behind.
    """
    key = digest_of(
        {"dataset": dataset.info.digest, "split": split, "columns": list(columns), "layout": 1}
    )
    out = cache / f"{split}-{key.removeprefix('sha256:')[:16]}"
    if not out.exists():
        with _unless_another_was_first(), atomic_folder(out) as folder:
            _write_arrow(dataset, split, columns, folder / ARROW_FILE)
    return out / ARROW_FILE


@contextlib.contextmanager
def _unless_another_was_first() -> Iterator[None]:
    try:
        yield
    except OutputExists:
        pass
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _write_arrow(dataset: Dataset, split: str, columns: Sequence[str], path: Path) -> None:
    names = list(columns)
    writer = None
    for shard in dataset.shards(split):
        with open_shard(dataset.path / shard.file) as parquet:
            for number in range(parquet.num_row_groups):
                table = parquet.read_row_group(number, columns=names).select(names)
                writer = writer or pa.ipc.new_file(str(path), table.schema)
                writer.write_table(table)
    if writer is not None:
        writer.close()


class SampleTable(abc.ABC):
    """Samples by position, of which each carries labels of some tasks.

    Attributes:
        tasks: whose labels a sample may carry.
        known: task → bool N, True where the sample carries a label of it.
        keeps_decoded: whether a sample that was asked for once stays in memory.
    """

    tasks: dict[str, Task]
    known: dict[str, Array]
    keeps_decoded: bool = False

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, position: int) -> Record: ...

    def order(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        balance: bool = False,
    ) -> BatchOrder:
        """An order of batches over this table; `balance` gives each task an equal share."""
        pools = [np.flatnonzero(known_N) for known_N in self.known.values() if known_N.any()]
        return BatchOrder(
            len(self),
            batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            pools=pools if balance else None,
        )


class TrainingTable(SampleTable):
    """The samples of a split, by position.

    Safe to send to worker processes: each opens the data for itself.

    Args:
        dataset: an open dataset.
        split: one of its splits.
        tasks: whose labels a sample carries.
        rows: positions in the split; by default the rows where at least one of `tasks` is known,
            and all rows when `tasks` is empty.
        cache: folder for the memory-mapped copy of the columns; without one, each process holds the
            encoded columns in memory.
        unsure: whether tags tell unsure from unknown; see `codecs.decode_label`.
        decoded_limit: bytes; when all decoded samples fit, each is decoded once and kept.

    Raises:
        InvalidDataset: the dataset lacks the split or a task, or no row is left.
        InvalidConfig: a position in `rows` is not in the split.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        tasks: Sequence[str],
        *,
        rows: Sequence[int] | Array | None = None,
        cache: Path | None = None,
        unsure: bool = False,
        decoded_limit: int = DECODED_LIMIT,
    ) -> None:
        self.dataset = dataset
        self.unsure = unsure
        self.split = split
        self.decoded_limit = decoded_limit
        self.tasks: dict[str, Task] = {name: dataset.info.task(name) for name in tasks}
        self.cache = cache
        self._columns = sample_columns(dataset, tasks)
        dataset.shards(split)
        self._file = None if cache is None else map_columns(dataset, split, self._columns, cache)
        self._open()
        known = self._known_in_split()
        self.rows = self._select(known, rows)
        self.known: dict[str, Array] = {task: known_N[self.rows] for task, known_N in known.items()}
        self.decoded_bytes = self._decoded_bytes()
        self.keeps_decoded = self.decoded_bytes <= decoded_limit

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Record:
        """The decoded sample at a position of this table.

        Raises:
            InvalidDataset: a cell cannot be decoded; names image and column.
        """
        kept = self._decoded.get(position)
        if kept is not None:
            return kept
        row = int(self.rows[position])
        cells = self._cells(row)
        where = f"split '{self.split}', row {row}"
        record = decode_row(self.dataset.info, cells, list(self.tasks), where, unsure=self.unsure)
        if self.keeps_decoded:
            self._decoded[position] = record
        return record

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_batches", "_starts", "_decoded"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        self._decoded: dict[int, Record] = {}
        if self._file is None:
            table = self.dataset.table(self.split, self._columns)
        else:
            table = _map_arrow(self._file)
        self._batches = table.to_batches()
        counts = [batch.num_rows for batch in self._batches]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def _cells(self, row: int) -> dict[str, Any]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        batch = self._batches[number].slice(row - int(self._starts[number]), 1)
        cells: dict[str, Any] = batch.to_pylist()[0]
        return cells

    def _column(self, name: str) -> Any:
        return pa.chunked_array([batch.column(name) for batch in self._batches])

    def _known_in_split(self) -> dict[str, Array]:
        return {
            task: self._column(task).is_valid().to_numpy().astype(bool, copy=False)
            for task in self.tasks
        }

    def _select(self, known: dict[str, Array], rows: Sequence[int] | Array | None) -> Array:
        total = int(self._starts[-1])
        if rows is None and known:
            selected = np.flatnonzero(np.any(list(known.values()), axis=0))
        else:
            selected = np.arange(total) if rows is None else np.asarray(rows, np.int64)
        if len(selected) and not 0 <= selected.min() <= selected.max() < total:
            raise InvalidConfig(
                f"row {selected.max()} is asked for, split '{self.split}' has {total} rows.",
                remedy="Rows count from 0 in each split.",
            )
        if not len(selected):
            raise InvalidDataset(
                f"{self.dataset.path}: no image of split '{self.split}' is labeled for "
                f"{', '.join(self.tasks) or 'anything'}.",
                remedy="Choose tasks that are labeled there; 'goldseam dataset show' counts them.",
            )
        return selected

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each image, px; 0 where no picture is stored."""
        height_N, width_N = (self._lengths(name).tolist() for name in ("height", "width"))
        return list(zip(height_N, width_N, strict=True))

    def _lengths(self, name: str) -> Array:
        # a size is unknown only where there is no picture, and so nothing to decode
        lengths: Array = pc.fill_null(self._column(name), 0).to_numpy().astype(np.int64)[self.rows]
        return lengths

    def _decoded_bytes(self) -> int:
        pixels_N = self._lengths("width") * self._lengths("height")
        total = 3 * int(pixels_N.sum())
        for name, task in self.tasks.items():
            if task.kind.is_picture:
                wide = 2 if len(task.categories) > 256 else 1
                per_pixel = BYTES_PER_PIXEL.get(task.kind, wide)
                total += per_pixel * int(pixels_N[self.known[name]].sum())
        return total


class JoinedTable(SampleTable):
    """Several tables, one after the other: rows of more than one split.

    Args:
        parts: at least one, all with the same tasks.
        change: what is done to each sample before it is handed out, such as `resize_record`.
    """

    def __init__(
        self,
        parts: Sequence[TrainingTable],
        change: Callable[[Record, Mapping[str, Task]], Record] | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.tasks = parts[0].tasks
        self.known = {
            task: np.concatenate([part.known[task] for part in parts]) for task in self.tasks
        }
        self._change = change
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, position: int) -> Record:
        """The decoded sample at a position of this table; see `TrainingTable`."""
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        record = self.parts[number][position - int(self._starts[number])]
        return record if self._change is None else self._change(record, self.tasks)


def _map_arrow(path: Path) -> Any:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidDataset(
            f"{path}: the cached copy of the data cannot be read ({error}).",
            remedy=f"Remove the folder {path.parent}; it is made again.",
        ) from error
