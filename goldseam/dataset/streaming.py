"""A split as a stream of batches, for data that neither fits into memory nor should be copied.

Each epoch permutes the row groups of the Parquet shards and deals them to the ranks. A rank reads
windows of a few row groups, shuffles the rows of each window, and takes its batches from a few
windows in turn (the lanes). All that is known from the shards' footers, so the batch of any step is
found without reading what comes before it, and is the same in any number of workers.
"""

import collections
import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from torch.utils.data import IterableDataset, get_worker_info

from goldseam.artifacts import digest_of
from goldseam.dataset.augmentation import Augmentation
from goldseam.dataset.batch import Batch, collate
from goldseam.dataset.codecs import Array
from goldseam.dataset.loading import load_batches
from goldseam.dataset.memory import sample_columns
from goldseam.dataset.order import WINDOW_STREAM, generator, require_shares
from goldseam.dataset.reading import Dataset, Record, decode_row, open_shard
from goldseam.dataset.schema import Task
from goldseam.dataset.stream_plan import EpochPlan, plan_epoch
from goldseam.errors import InvalidConfig, InvalidDataset


@dataclasses.dataclass(frozen=True)
class RowGroup:
    """A row group of a shard.

    Attributes:
        shard: file name.
        number: in the shard.
        start: position of its first row in the shard.
        first: position of its first row in the split.
        rows_N: positions in the group of the rows that are wanted.
    """

    shard: str
    number: int
    start: int
    first: int
    rows_N: Array


class StreamingTable(IterableDataset[Batch]):
    """The batches of a split, epoch after epoch without end.

    Over all ranks an epoch holds each row exactly once; ranks may differ by a few batches, and the
    last batch of a rank's epoch may be smaller. `batch(step)` is a pure function. Iterating gives
    each worker of a loader its part, and iterators keep `state_dict` and `load_state_dict`, so
    torchdata's `StatefulDataLoader` (with `batch_size=None`) resumes from any batch.

    Args:
        dataset: an open dataset.
        split: one of its splits.
        tasks: whose labels the batches carry.
        batch_size: samples in a batch.
        seed: of order and augmentation.
        rank: of this process.
        world_size: number of processes that train together.
        rows: positions in the split; by default the rows where at least one of `tasks` is known,
            and all rows when `tasks` is empty.
        window: row groups whose rows are shuffled together; they are in memory together.
        lanes: windows from which batches are taken in turn. A number of workers that divides it
            reads each window once; others read some again.
        augmentation: random changes of each sample.

    Raises:
        InvalidDataset: the dataset lacks the split or a task, or no row is left.
        InvalidConfig: an option is out of range, or there are fewer row groups than ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        tasks: Sequence[str],
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        rows: Sequence[int] | Array | None = None,
        window: int = 2,
        lanes: int = 4,
        augmentation: Augmentation | None = None,
    ) -> None:
        require_shares(batch_size, seed, rank, world_size)
        if window < 1 or lanes < 1:
            raise InvalidConfig(
                f"window is {window} and lanes is {lanes}.", remedy="Give at least 1 each."
            )
        self.dataset = dataset
        self.split = split
        self.tasks: dict[str, Task] = {name: dataset.info.task(name) for name in tasks}
        if augmentation is not None:
            augmentation.require_tasks(self.tasks)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.window = window
        self.lanes = lanes
        self.augmentation = augmentation
        self.windows_read = 0
        self._columns = sample_columns(dataset, tasks)
        wanted_N = _wanted(dataset, split, list(tasks), rows)
        self._groups = _row_groups(dataset, split, wanted_N)
        if len(self._groups) < world_size:
            raise InvalidConfig(
                f"split '{split}' has {len(self._groups)} row groups with wanted rows, for "
                f"{world_size} processes.",
                remedy="Train with fewer processes, or load with 'batches' instead of streaming.",
            )
        self.digest = digest_of(  # of all that decides which rows stand in which batch
            {
                "dataset": dataset.info.digest,
                "split": split,
                "rows": hashlib.sha256(np.packbits(wanted_N).tobytes()).hexdigest(),
                "options": [batch_size, seed, rank, world_size, window, lanes],
            }
        )
        self._ends: list[int] = []  # first step after each epoch, as far as they were asked for
        self._plan_of: tuple[int, EpochPlan] | None = None
        self._read: collections.OrderedDict[tuple[int, int], _Window] = collections.OrderedDict()

    def epoch(self, step: int) -> int:
        """The epoch that the batch of a step belongs to."""
        if step < 0:
            raise InvalidConfig(f"step {step} is negative.", remedy="Steps count from 0.")
        while not self._ends or self._ends[-1] <= step:
            begin = self._ends[-1] if self._ends else 0
            self._ends.append(begin + len(self.plan(len(self._ends)).batches))
        return int(np.searchsorted(self._ends, step, side="right"))

    def plan(self, epoch: int) -> EpochPlan:
        """What this rank does in an epoch."""
        if self._plan_of is None or self._plan_of[0] != epoch:
            order = generator(self.seed, WINDOW_STREAM, epoch, 0).permutation(len(self._groups))
            mine = {
                group: len(self._groups[group].rows_N)
                for group in order[self.rank :: self.world_size].tolist()
            }
            self._plan_of = (epoch, plan_epoch(mine, self.window, self.lanes, self.batch_size))
        return self._plan_of[1]

    def batch(self, step: int) -> Batch:
        """The batch of this rank at a step (from 0).

        Raises:
            InvalidDataset: a cell cannot be decoded, or image sizes differ.
        """
        epoch = self.epoch(step)
        number = step - (self._ends[epoch - 1] if epoch else 0)
        records = [
            self._record(epoch, window, place) for window, place in self._places(epoch, number)
        ]
        return collate(records, self.tasks)

    def _places(self, epoch: int, number: int) -> Iterator[tuple["_Window", int]]:
        for stretch in self.plan(epoch).batches[number]:
            window = self._window(epoch, stretch.window)
            for place in range(stretch.start, stretch.stop):
                yield window, place

    def _record(self, epoch: int, window: "_Window", place: int) -> Record:
        cells, where, row = window.cells(place)
        record = decode_row(self.dataset.info, cells, list(self.tasks), where=where)
        if self.augmentation is None:
            return record
        return self.augmentation(record, self.tasks, self.seed, epoch, row)

    def _window(self, epoch: int, number: int) -> "_Window":
        key = (epoch, number)
        if key in self._read:
            self._read.move_to_end(key)
            return self._read[key]
        groups = [self._groups[group] for group in self.plan(epoch).windows[number]]
        first = self.plan(epoch).windows[number][0]
        shuffle = generator(self.seed, WINDOW_STREAM, epoch, 1 + first)
        tables = [_read_group(self.dataset, group, self._columns) for group in groups]
        self.windows_read += 1
        self._read[key] = _Window(groups, tables, shuffle)
        while len(self._read) > self._lanes_here() + 1:
            self._read.popitem(last=False)
        return self._read[key]

    def _lanes_here(self) -> int:
        """From how many lanes this worker takes its batches."""
        worker = get_worker_info()
        return self.lanes // math.gcd(self.lanes, 1 if worker is None else worker.num_workers)

    def __iter__(self) -> "StreamIterator":
        return StreamIterator(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_read": collections.OrderedDict()}


class StreamIterator(Iterator[Batch]):
    """The batches of one worker, of all when there is none; goes on from a kept state."""

    def __init__(self, table: StreamingTable) -> None:
        worker = get_worker_info()
        self.table = table
        self.step = 0 if worker is None else worker.id
        self.stride = 1 if worker is None else worker.num_workers

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        batch = self.table.batch(self.step)
        self.step += self.stride
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The place in the stream; plain numbers and text."""
        return {"step": self.step, "stride": self.stride, "stream": self.table.digest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place.

        Raises:
            InvalidConfig: the place belongs to other data, other options or another number of
                workers.
        """
        if (state["stride"], state["stream"]) != (self.stride, self.table.digest):
            raise InvalidConfig(
                "the state of the data stream was made from other data, options or workers.",
                remedy="Resume with the same dataset, seed, batch size, ranks and workers; "
                "'stream_batches' with start_step resumes with any number of workers.",
            )
        self.step = state["step"]


def stream_batches(
    table: StreamingTable,
    *,
    start_step: int = 0,
    steps: int | None = None,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """The batches of a stream from a step on, the same in any number of workers.

    Args:
        table: the stream.
        start_step: the first step; a resumed run gives the step it stopped at.
        steps: how many; without end by default.
        workers: processes that read and decode; best a divisor of `table.lanes`.
        pin_memory: whether tensors are put into page-locked memory.
    """
    numbers = (
        itertools.count(start_step) if steps is None else range(start_step, start_step + steps)
    )
    return load_batches(table, numbers, workers, pin_memory=pin_memory)


class _Window:
    """Row groups in memory, with their wanted rows in shuffled order."""

    def __init__(
        self, groups: Sequence[RowGroup], tables: Sequence[pa.Table], shuffle: np.random.Generator
    ) -> None:
        self.groups = groups
        self.tables = tables
        where = [(group, row) for group, g in enumerate(groups) for row in g.rows_N.tolist()]
        self.order = shuffle.permutation(np.array(where, np.int64))

    def cells(self, place: int) -> tuple[dict[str, Any], str, int]:
        """The cells of a row, where it stands for people, and its position in the split."""
        number, row = self.order[place].tolist()
        group = self.groups[number]
        cells = self.tables[number].slice(row, 1).to_pylist()[0]
        return cells, f"{group.shard}, row {group.start + row}", group.first + row


def _read_group(dataset: Dataset, group: RowGroup, columns: Sequence[str]) -> pa.Table:
    with open_shard(dataset.path / group.shard) as parquet:
        return parquet.read_row_group(group.number, columns=list(columns))


def _wanted(
    dataset: Dataset, split: str, tasks: Sequence[str], rows: Sequence[int] | Array | None
) -> Array:
    """Bool N: which rows of the split are wanted. Reads no picture."""
    total = dataset.info.rows(split)
    wanted_N = np.zeros(total, bool)
    if rows is not None:
        chosen = np.asarray(rows, np.int64)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < total:
            raise InvalidConfig(
                f"row {chosen.max()} is asked for, split '{split}' has {total} rows.",
                remedy="Rows count from 0 in each split.",
            )
        wanted_N[chosen] = True
    elif tasks:
        sources = dataset.table(split, [f"{task}_source" for task in tasks])
        for column in sources.columns:
            wanted_N |= column.is_valid().to_numpy()
    else:
        wanted_N[:] = True
    if not wanted_N.any():
        raise InvalidDataset(
            f"{dataset.path}: no image of split '{split}' is labeled for {', '.join(tasks)}.",
            remedy="Choose tasks that are labeled there; 'goldseam dataset show' counts them.",
        )
    return wanted_N


def _row_groups(dataset: Dataset, split: str, wanted_N: Array) -> list[RowGroup]:
    """The row groups with a wanted row, from the shards' footers."""
    groups = []
    first = 0
    for shard in dataset.shards(split):
        with open_shard(dataset.path / shard.file) as parquet:
            metadata = parquet.metadata
        start = 0
        for number in range(metadata.num_row_groups):
            count = metadata.row_group(number).num_rows
            rows_N = np.flatnonzero(wanted_N[first : first + count])
            if len(rows_N):
                groups.append(RowGroup(shard.file, number, start, first, rows_N))
            start += count
            first += count
    return groups
