"""Which rows stand in which batch: a pure function of (seed, step, rank, number of ranks).

The rows of all ranks form one endless stream, epoch after epoch, each epoch a permutation of its
own. A batch is a stretch of that stream, so nothing has to be stored to go on from any step.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidConfig

ORDER_STREAM = 0  # first word after the seed: keeps generators for different purposes apart
AUGMENTATION_STREAM = 1
WINDOW_STREAM = 2


def generator(seed: int, *key: int) -> np.random.Generator:
    """The generator that belongs to a seed and a key; equal keys give equal numbers anywhere."""
    return np.random.Generator(np.random.PCG64([seed, *key]))


class Draw(NamedTuple):
    """One place in the stream of samples.

    Attributes:
        row: position in the table.
        slot: place in the stream, over all ranks; no two draws of a run share it.
    """

    row: int
    slot: int


class BatchOrder:
    """The batches of a run.

    Without `pools` every row comes once in each epoch, over all ranks together. With `pools`, which
    may overlap, every pool has an equal share of each batch (to within one sample), and every row
    of a pool comes once in each of that pool's own epochs: so 20 labeled images among a thousand
    are seen as often as their task deserves.

    Splitting a batch over ranks does not change the stream: 2 ranks with batches of 8 see what one
    rank with batches of 16 sees.

    Args:
        rows: number of rows of the table.
        batch_size: samples in a batch of one rank.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
        pools: groups of row positions that share each batch equally; all rows by default.

    Raises:
        InvalidConfig: a number is out of its range, or there is no row to draw.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pools: Sequence[Array] | None = None,
    ) -> None:
        require_shares(batch_size, seed, rank, world_size)
        sizes = [rows] if pools is None else [len(pool) for pool in pools]
        if not sizes or min(sizes) < 1:
            raise InvalidConfig(
                "there is no row to draw a batch from.",
                remedy="Choose tasks that some image of the split is labeled for.",
            )
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._pools = None if pools is None else [np.asarray(pool, np.int64) for pool in pools]
        self._sizes = sizes
        self._permutations: dict[int, tuple[int, Array]] = {}

    def draws(self, step: int) -> list[Draw]:
        """The samples of this rank's batch at `step` (from 0)."""
        if step < 0:
            raise InvalidConfig(f"step {step} is negative.", remedy="Steps count from 0.")
        first = (step * self.world_size + self.rank) * self.batch_size
        return [self._draw(slot) for slot in range(first, first + self.batch_size)]

    def batch(self, step: int) -> list[int]:
        """The rows of this rank's batch at `step` (from 0)."""
        return [draw.row for draw in self.draws(step)]

    def epoch(self, step: int) -> int:
        """Full passes over all rows before `step`; with pools, over the largest one."""
        slots = step * self.world_size * self.batch_size
        return slots // (max(self._sizes) * len(self._sizes))

    def _draw(self, slot: int) -> Draw:
        turn, pool = divmod(slot, len(self._sizes))
        epoch, position = divmod(turn, self._sizes[pool])
        index = int(self._permutation(pool, epoch)[position])
        return Draw(index if self._pools is None else int(self._pools[pool][index]), slot)

    def _permutation(self, pool: int, epoch: int) -> Array:
        kept = self._permutations.get(pool)
        if kept is None or kept[0] != epoch:
            random = generator(self.seed, ORDER_STREAM, pool, epoch)
            kept = self._permutations[pool] = (epoch, random.permutation(self._sizes[pool]))
        return kept[1]


def require_shares(batch_size: int, seed: int, rank: int, world_size: int) -> None:
    """Refuse numbers that describe no share of a run.

    Raises:
        InvalidConfig: names the number.
    """
    if batch_size < 1:
        raise InvalidConfig(f"batch_size is {batch_size}.", remedy="Give at least 1.")
    if seed < 0:
        raise InvalidConfig(f"seed is {seed}.", remedy="Give a seed of 0 or more.")
    if not 0 <= rank < world_size:
        raise InvalidConfig(
            f"rank {rank} of {world_size} processes.",
            remedy="Ranks count from 0 to world_size - 1.",
        )
