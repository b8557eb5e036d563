"""Compares every pair of an image's labels that can be compared, one image at a time."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.consistency.checks import (
    Comparison,
    Region,
    compare_boxes,
    compare_outline,
    compare_tag,
    compare_value_edge,
    region_of,
)
from goldseam.audit.consistency.config import ConsistencyConfig
from goldseam.audit.measuring import Seen
from goldseam.dataset.codecs import UNKNOWN, Boxes
from goldseam.dataset.schema import DatasetInfo, Kind, Task

TABLE = "consistency"
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("check", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("other", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("stratum", pa.int16(), nullable=False),  # comparisons of objects of similar size
        pa.field("trials", pa.int32(), nullable=False),
        pa.field("failed", pa.int32()),  # outright contradictions; null where there is no such
        pa.field("agreement", pa.float32(), nullable=False),  # the lowest of the trials
        pa.field("size", pa.float32()),  # of that object, px
        pa.field("xmin", pa.float32()),  # where it is, px
        pa.field("ymin", pa.float32()),
        pa.field("xmax", pa.float32()),
        pa.field("ymax", pa.float32()),
    ]
)

Compare = Callable[[Task, Any, Task, Any, ConsistencyConfig], Iterator[Comparison]]


class ConsistencyMeasure:
    """What an image's labels say about each other.

    Pairs of tasks are compared where both labels of the image are known: masks, boxes and tags on
    the categories whose names are equal, masks with boundaries, regression with boundaries. A task
    and its noisy version are never compared here.

    Args:
        info: of the dataset.
        config: thresholds.
    """

    def __init__(self, info: DatasetInfo, config: ConsistencyConfig) -> None:
        self.info, self.config = info, config
        self.pairs = comparable_pairs(info)
        self._rows: list[tuple[Any, ...]] = []

    def update(self, seen: Seen) -> None:
        """Compare the labels of one image."""
        for name, other, compare in self.pairs:
            label, partner = seen.labels.get(name), seen.labels.get(other)
            if label is None or partner is None:
                continue
            found = compare(
                self.info.tasks[name], label, self.info.tasks[other], partner, self.config
            )
            for key, comparisons in _grouped(found):
                self._rows.append(_row(seen.image_id, name, other, key, comparisons))

    def tables(self) -> dict[str, pa.Table]:
        """The table `consistency`: a row for each image, check, pair of tasks, category and size.

        `failed` of `trials` comparisons are contradictions, and `agreement`, `size` and the region
        are those of the worst one.
        """
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(SCHEMA)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)
        ]
        return {TABLE: pa.table(arrays, schema=SCHEMA)}


Key = tuple[str, str | None, int]


def _grouped(comparisons: Iterator[Comparison]) -> Iterator[tuple[Key, list[Comparison]]]:
    groups: dict[Key, list[Comparison]] = {}
    for one in comparisons:
        groups.setdefault((one.check, one.category, one.stratum), []).append(one)
    yield from groups.items()


def _row(
    image_id: str, task: str, other: str, key: Key, comparisons: list[Comparison]
) -> tuple[Any, ...]:
    check, category, stratum = key
    worst = min(comparisons, key=lambda one: one.agreement)
    failed = None if worst.failed is None else sum(bool(one.failed) for one in comparisons)
    region: tuple[float | None, ...] = worst.region or (None,) * 4
    return (
        image_id,
        str(check),
        task,
        other,
        category,
        stratum,
        len(comparisons),
        failed,
        worst.agreement,
        None if math.isnan(worst.size) else worst.size,
        *region,
    )


def comparable_pairs(info: DatasetInfo) -> list[tuple[str, str, Compare]]:
    """(task, other, how they are compared) of every pair of kinds that can be."""
    pairs: list[tuple[str, str, Compare]] = []
    for name, other in itertools.permutations(info.tasks, 2):
        task, partner = info.tasks[name], info.tasks[other]
        compare = COMPARISONS.get((task.kind, partner.kind))
        if compare is None:
            continue
        by_category = Kind.BOUNDARY not in (task.kind, partner.kind)
        if not by_category or set(task.categories) & set(partner.categories):
            pairs.append((name, other, compare))
    return pairs


def _shared(task: Task, other: Task) -> Iterator[tuple[int, int, str]]:
    """Ids in both tasks, and the name, of the categories that both have."""
    for number, name in enumerate(task.categories):
        if name in other.categories:
            yield number, other.categories.index(name), name


def _boxes_and_mask(
    task: Task, boxes: Boxes, other: Task, mask_HW: Any, config: ConsistencyConfig
) -> Iterator[Comparison]:
    shown = set(np.unique(mask_HW).tolist())
    boxed = set(np.asarray(boxes.category_N).tolist())
    for box_id, mask_id, name in _shared(task, other):
        if mask_id in shown or box_id in boxed:
            yield from compare_boxes(
                mask_HW,
                mask_id,
                other.ignore,
                boxes,
                box_id,
                name=name,
                exhaustive=task.exhaustive,
                config=config,
            )


def _tags_and_mask(
    task: Task, state_C: Any, other: Task, mask_HW: Any, config: ConsistencyConfig
) -> Iterator[Comparison]:
    certain = not (mask_HW == other.ignore).any()
    for tag_id, mask_id, name in _shared(task, other):
        if state_C[tag_id] == UNKNOWN:
            continue
        shown_HW = mask_HW == mask_id
        yield from compare_tag(
            int(state_C[tag_id]),
            int(shown_HW.sum()),
            certain,
            region_of(shown_HW),
            name,
            config.smallest_px,
        )


def _tags_and_boxes(
    task: Task, state_C: Any, other: Task, boxes: Boxes, config: ConsistencyConfig
) -> Iterator[Comparison]:
    del config
    for tag_id, box_id, name in _shared(task, other):
        mine_N = np.asarray(boxes.category_N) == box_id
        corners_M4 = boxes.corners_N4[mine_N & ~boxes.ignore_N].astype(np.float64)
        hidden = bool((mine_N & boxes.ignore_N).any())
        area = np.prod(corners_M4[:, 2:] - corners_M4[:, :2], axis=1).sum()
        region: Region | None = None
        if len(corners_M4):
            left, top = corners_M4[:, :2].min(axis=0)
            right, bottom = corners_M4[:, 2:].max(axis=0)
            region = (float(left), float(top), float(right), float(bottom))
        certain = other.exhaustive and not hidden
        # a box that somebody drew is enough, however small
        least = 0 if len(corners_M4) else 1
        yield from compare_tag(int(state_C[tag_id]), float(area), certain, region, name, least)


def _boundary_and_mask(
    task: Task, boundary_HW: Any, other: Task, mask_HW: Any, config: ConsistencyConfig
) -> Iterator[Comparison]:
    found = compare_outline(mask_HW, other.ignore, boundary_HW, task.ignore, config)
    if found is not None:
        yield found


def _values_and_boundary(
    task: Task, value_HW: Any, other: Task, boundary_HW: Any, config: ConsistencyConfig
) -> Iterator[Comparison]:
    del task
    found = compare_value_edge(value_HW, boundary_HW, other.ignore, config)
    if found is not None:
        yield found


COMPARISONS: dict[tuple[Kind, Kind], Compare] = {
    (Kind.DETECTION, Kind.SEGMENTATION): _boxes_and_mask,
    (Kind.TAGS, Kind.SEGMENTATION): _tags_and_mask,
    (Kind.TAGS, Kind.DETECTION): _tags_and_boxes,
    (Kind.BOUNDARY, Kind.SEGMENTATION): _boundary_and_mask,
    (Kind.REGRESSION, Kind.BOUNDARY): _values_and_boundary,
}
