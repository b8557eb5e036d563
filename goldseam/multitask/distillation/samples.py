"""The images a student learns from: every one of the split, labeled or not."""

import numpy as np

from goldseam.dataset.memory import SampleTable, TrainingTable
from goldseam.dataset.order import BatchOrder
from goldseam.dataset.reading import Record


class EveryImage(SampleTable):
    """All rows of a table's split, each as often as any other.

    The teacher has something to say of every image, so none is drawn for its labels' sake.
    """

    def __init__(self, table: TrainingTable) -> None:
        rows_N = np.arange(table.dataset.info.rows(table.split))
        self.table = TrainingTable(
            table.dataset, table.split, list(table.tasks), rows=rows_N, cache=table.cache
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
