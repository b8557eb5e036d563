"""The images a student learns from: every one of the split, labeled or not."""

from collections.abc import Sequence

import numpy as np

from goldseam.dataset.derivation import DerivedTable
from goldseam.dataset.memory import SampleTable, TrainingTable
from goldseam.dataset.order import BatchOrder
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Derivation


class EveryImage(SampleTable):
    """All rows of a table's split, each as often as any other.

    The teacher has something to say of every image, so none is drawn for its labels' sake.

    Args:
        table: of the split; its own rows do not matter.
        derivations: by which labels of some tasks also stand for unknown labels of others.
    """

    def __init__(self, table: TrainingTable, derivations: Sequence[Derivation] = ()) -> None:
        rows_N = np.arange(table.dataset.info.rows(table.split))
        every = TrainingTable(
            table.dataset,
            table.split,
            list(table.tasks),
            rows=rows_N,
            cache=table.cache,
            unsure=table.unsure,
        )
        self.table: SampleTable = (
            DerivedTable.over(every, derivations, rows=rows_N) if derivations else every
        )
        self.tasks = self.table.tasks
        self.known = self.table.known

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, position: int) -> Record:
        return self.table[position]

    def order(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        balance: bool = False,  # noqa: ARG002 (no task is given a share)
    ) -> BatchOrder:
        """Every row once in each epoch, whatever is known of it."""
        return super().order(batch_size, seed=seed, rank=rank, world_size=world_size, balance=False)
