"""Batches for training and evaluation, the same in any number of worker processes.

The batch at a step is a pure function of the table, the order and the step; so resuming is asking
for a later step, and workers have no state to keep.
"""

import dataclasses
import itertools
import multiprocessing
import multiprocessing.context
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from goldseam.dataset.augmentation import Augmentation
from goldseam.dataset.batch import Batch, BoxTarget, collate
from goldseam.dataset.codecs import Array
from goldseam.dataset.memory import DECODED_LIMIT, JoinedTable, SampleTable, TrainingTable
from goldseam.dataset.order import BatchOrder
from goldseam.dataset.reading import Dataset
from goldseam.errors import GoldseamError

__all__ = [
    "Augmentation",
    "Batch",
    "BatchOrder",
    "BoxTarget",
    "JoinedTable",
    "TrainingTable",
    "batches",
    "draw_batches",
    "evaluation_batches",
]


def batches(
    dataset: Dataset,
    split: str,
    tasks: Sequence[str],
    *,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    steps: int | None = None,
    balance: bool = False,
    rank: int = 0,
    world_size: int = 1,
    augmentation: Augmentation | None = None,
    rows: Sequence[int] | Array | None = None,
    workers: int = 0,
    cache: Path | None = None,
    decoded_limit: int = DECODED_LIMIT,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """The training batches of steps `start_step` … `start_step + steps - 1`.

    Args:
        dataset: an open dataset.
        split: one of its splits.
        tasks: whose labels the batches carry.
        batch_size: samples in a batch of one process.
        seed: of order and augmentation.
        start_step: the first step; a resumed run gives the step it stopped at.
        steps: how many; without end by default.
        balance: whether each task has an equal share of each batch, however rare its labels.
        rank: of this process.
        world_size: number of processes that train together.
        augmentation: random changes of each sample.
        rows: positions in the split; by default those where at least one of `tasks` is known.
        workers: processes that decode; 0 decodes in this one.
        cache: folder for a memory-mapped copy of the columns; see `TrainingTable`.
        decoded_limit: bytes of decoded samples that may be kept in memory, over all workers.
        pin_memory: whether tensors are put into page-locked memory.

    Raises:
        InvalidDataset: the dataset lacks split or task, no row is labeled, a cell cannot be decoded
            or image sizes differ.
        InvalidConfig: an option is out of range, or the augmentation does not fit the tasks.
    """
    table = TrainingTable(
        dataset,
        split,
        tasks,
        rows=rows,
        cache=cache,
        decoded_limit=decoded_limit // max(workers, 1),
    )
    order = table.order(batch_size, seed=seed, rank=rank, world_size=world_size, balance=balance)
    return draw_batches(
        table,
        order,
        start_step=start_step,
        steps=steps,
        augmentation=augmentation,
        workers=workers,
        pin_memory=pin_memory,
    )


def draw_batches(
    table: SampleTable,
    order: BatchOrder,
    *,
    start_step: int = 0,
    steps: int | None = None,
    augmentation: Augmentation | None = None,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Like `batches`, from a table that is open and an order."""
    if augmentation is not None:
        augmentation.require_tasks(table.tasks)
    source = _Steps(table, order, augmentation)
    numbers = (
        itertools.count(start_step) if steps is None else range(start_step, start_step + steps)
    )
    return load_batches(source, numbers, workers, pin_memory=pin_memory)


def evaluation_batches(
    dataset: Dataset,
    split: str,
    tasks: Sequence[str],
    batch_size: int,
    *,
    rows: Sequence[int] | None = None,
    workers: int = 0,
    cache: Path | None = None,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Every row of a split once, unchanged, `batch_size` rows after another; the last are fewer.

    Where these rows differ in size, they come as one batch for each size, in the order in which
    the sizes first appear. They are not padded: normalization and pooled features look at all
    pixels, so that an image's score would depend on its neighbors.

    Args:
        dataset: an open dataset.
        split: one of its splits.
        tasks: whose labels the batches carry; none for images alone.
        batch_size: samples in a batch, at most.
        rows: positions in the split, ascending; all by default, labeled or not.
        workers: processes that decode; 0 decodes in this one, reading one row group at a time.
        cache: folder for a memory-mapped copy of the columns, used by workers.
        pin_memory: whether tensors are put into page-locked memory.

    Raises:
        InvalidDataset: the dataset lacks split or task, or a cell cannot be decoded.
    """
    kinds = {name: dataset.info.task(name) for name in tasks}
    dataset.shards(split)
    if workers == 0:
        records = dataset.records(split, list(kinds), rows)
        made = (
            collate([block[position] for position in alike], kinds)
            for block in iter(lambda: list(itertools.islice(records, batch_size)), [])
            for alike in _by_size([record.image_HWC.shape[:2] for record in block])
        )
        return (batch.pin_memory() for batch in made) if pin_memory else made
    every = range(dataset.info.rows(split)) if rows is None else rows
    table = TrainingTable(dataset, split, list(kinds), rows=every, cache=cache, decoded_limit=0)
    source = _Stretches(table, batch_size)
    return load_batches(source, range(len(source)), workers, pin_memory=pin_memory)


class BatchSource(Protocol):
    """What makes the batch of any step on demand; it is sent to the workers."""

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        ...


def load_batches(
    source: BatchSource, steps: Iterable[int], workers: int, *, pin_memory: bool = False
) -> Iterator[Batch]:
    """The batches of some steps, in order, made here or by workers.

    Worker i makes every `workers`-th batch. A `GoldseamError` in a worker is raised here as it is.

    Args:
        source: what makes them.
        steps: which.
        workers: number of processes; 0 makes them in this one.
        pin_memory: whether tensors are put into page-locked memory.
    """
    made: Any = (source.batch(step) for step in steps)
    if workers:
        made = DataLoader(
            _InWorker(source),
            sampler=steps,
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers,
            multiprocessing_context=_worker_context(),
            # the loader draws a seed for its workers: not from the generator that training uses
            generator=torch.Generator(),
        )
    for batch in made:
        if isinstance(batch, _Failure):
            raise batch.error()
        yield batch.pin_memory() if pin_memory else batch


class _Steps:
    """Training batches by step."""

    def __init__(
        self, table: SampleTable, order: BatchOrder, augmentation: Augmentation | None
    ) -> None:
        self.table = table
        self.order = order
        self.augmentation = augmentation

    def batch(self, step: int) -> Batch:
        tasks, change = self.table.tasks, self.augmentation
        records = []
        for draw in self.order.draws(step):
            record = self.table[draw.row]
            if change is not None:
                record = change(record, tasks, self.order.seed, draw.slot)
            records.append(record)
        return collate(records, tasks)


class _Stretches:
    """Evaluation batches by number."""

    def __init__(self, table: TrainingTable, batch_size: int) -> None:
        self.table = table
        sizes = table.sizes
        self.positions = [
            [start + position for position in alike]
            for start in range(0, len(sizes), batch_size)
            for alike in _by_size(sizes[start : start + batch_size])
        ]

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, step: int) -> Batch:
        records = [self.table[position] for position in self.positions[step]]
        return collate(records, self.table.tasks)


def _by_size(sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Positions of equal sizes, in the order in which the sizes first appear."""
    positions: dict[tuple[int, ...], list[int]] = {}
    for position, size in enumerate(sizes):
        positions.setdefault(size, []).append(position)
    return list(positions.values())


@dataclasses.dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker; exceptions with keyword arguments do not survive it."""

    kind: type[GoldseamError]
    message: str
    remedy: str

    def error(self) -> GoldseamError:
        """The error as it was raised in the worker."""
        again = self.kind.__new__(self.kind)
        GoldseamError.__init__(again, self.message, remedy=self.remedy)
        return again


class _InWorker(TorchDataset[Batch | _Failure]):
    """A source as the map-style dataset that a loader asks for."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __getitem__(self, step: int) -> Batch | _Failure:
        try:
            return self.source.batch(step)
        except GoldseamError as error:
            return _Failure(type(error), error.message, error.remedy)


def _worker_context() -> multiprocessing.context.BaseContext:
    """Workers are forked from a server that has imported what they need, and nothing else.

    Forking this process would copy its CUDA state and locks that its threads hold.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # once the server runs, this changes nothing
    return context


def _unchanged(batch: Any) -> Any:
    """What a loader does with a batch that is complete; a lambda cannot be sent to a worker."""
    return batch
