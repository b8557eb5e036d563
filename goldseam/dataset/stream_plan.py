"""Which rows of which windows make the batches of an epoch, from nothing but the windows' sizes."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Rows `start` to `stop` of a shuffled window."""

    window: int
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class EpochPlan:
    """What a rank does in an epoch.

    Attributes:
        windows: each a tuple of row groups, by their place in the split.
        batches: each made of stretches of one window or more.
    """

    windows: tuple[tuple[int, ...], ...]
    batches: tuple[tuple[Stretch, ...], ...]


def plan_epoch(groups: Mapping[int, int], window: int, lanes: int, batch_size: int) -> EpochPlan:
    """Plan the epoch of one rank.

    Args:
        groups: row group → number of its rows, in the order in which they are read.
        window: row groups whose rows are shuffled together.
        lanes: windows from which batches are taken in turn.
        batch_size: rows in a batch; the last one of the epoch may have fewer.
    """
    order = list(groups)
    windows = [tuple(order[start : start + window]) for start in range(0, len(order), window)]
    sizes = [sum(groups[group] for group in members) for members in windows]
    return EpochPlan(tuple(windows), tuple(_cut(sizes, lanes, batch_size)))


def _cut(sizes: Sequence[int], lanes: int, batch_size: int) -> Iterator[tuple[Stretch, ...]]:
    """Batches from windows of these sizes: lanes in turn, and at the end what they leave over.

    Window w stands in lane w mod `lanes`. A batch may end one window and begin
    the next of its lane.
    """
    whole = [Stretch(window, 0, size) for window, size in enumerate(sizes)]
    queues = [_fill(whole[lane::lanes], batch_size) for lane in range(lanes)]
    left: list[Stretch] = []
    while queues:
        going_on = []
        for queue in queues:
            batch = next(queue)
            if _rows(batch) == batch_size:
                yield tuple(batch)
                going_on.append(queue)
            else:
                left += batch
        queues = going_on
    for batch in _fill(left, batch_size):
        if batch:
            yield tuple(batch)


def _fill(stretches: Sequence[Stretch], batch_size: int) -> Iterator[list[Stretch]]:
    """Full batches in order, and last what is left over, which may be nothing."""
    batch: list[Stretch] = []
    for stretch in stretches:
        start = stretch.start
        while start < stretch.stop:
            stop = min(stretch.stop, start + batch_size - _rows(batch))
            batch.append(Stretch(stretch.window, start, stop))
            start = stop
            if _rows(batch) == batch_size:
                yield batch
                batch = []
    yield batch


def _rows(batch: Sequence[Stretch]) -> int:
    return sum(stretch.stop - stretch.start for stretch in batch)
