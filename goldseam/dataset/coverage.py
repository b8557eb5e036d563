"""How much of each task and category is present, absent or unknown, by split and source.

Read column by column: only segmentation masks are decoded, since nothing else tells which category
a mask carries. N rows of a row group, C categories.
"""

import collections
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, UNSURE, Array, BadCell, decode_label
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import Kind, Shard, Task
from goldseam.errors import InvalidDataset
from goldseam.progress import Step, progress
from goldseam.results import CoverageRow


def coverage(
    dataset: Dataset,
    *,
    splits: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    decode_pictures: bool = True,
) -> list[CoverageRow]:
    """Count images where a task's label, and each of its categories, is present, absent or unknown.

    A category of one labeled image is

    - *present* where a pixel, a box that is not ignored, or the tags say so;
    - *absent* where the label could have shown it and does not: a mask without an ignored pixel, an
      exhaustive task's boxes, a tag in `absent`;
    - *unknown* otherwise: an ignored pixel or box may hide it, boxes of a task that is not
      exhaustive may be missing, a tag in neither list was not looked at.

    Args:
        dataset: an open dataset.
        splits: all by default.
        tasks: all by default.
        decode_pictures: False leaves out the categories of segmentation tasks, which need every
            mask decoded; tags and boxes are counted by category all the same.

    Returns:
        By task, then category (None, the whole task, first), split and source (None, all of them,
        first). Rows without a source run over all images of the split; those of a source over the
        images that this source labeled, so that present and absent add up over the sources.

    Raises:
        InvalidDataset: a label cannot be decoded or names a category that is not declared.
    """
    splits = dataset.info.splits if splits is None else tuple(splits)
    tasks = tuple(dataset.info.tasks) if tasks is None else tuple(tasks)
    total = len(tasks) * sum(dataset.info.rows(split) for split in splits)
    rows: list[CoverageRow] = []
    with progress("coverage", total) as step:
        for name in tasks:
            counts = _TaskCounts(name, dataset.info.task(name), decode_pictures=decode_pictures)
            for split in splits:
                for shard in dataset.shards(split):
                    counts.add(dataset.path, shard, step)
            rows += counts.rows(splits)
    return rows


class _TaskCounts:
    """Counts of one task while its shards pass by."""

    def __init__(self, name: str, task: Task, *, decode_pictures: bool) -> None:
        self.name = name
        self.task = task
        by_category = task.categories if decode_pictures or not task.kind.is_picture else ()
        self.categories: tuple[str, ...] = tuple(by_category)
        self.images: collections.Counter[str] = collections.Counter()
        # per (split, source): images labeled, and per category how many present and how many absent
        self.labeled: collections.Counter[tuple[str, str]] = collections.Counter()
        self.states: dict[tuple[str, str], Array] = {}

    def add(self, folder: Path, shard: Shard, step: Step) -> None:
        for sources, column in _row_groups(folder / shard.file, self.name, bool(self.categories)):
            self.images[shard.split] += len(sources)
            for source in sorted({source for source in sources if source is not None}):
                self.labeled[shard.split, source] += sources.count(source)
            if column is not None:
                state_NC = category_states(self.task, column, where=f"{shard.file}, '{self.name}'")
                self._add_states(shard.split, sources, state_NC)
            step(len(sources))

    def _add_states(self, split: str, sources: list[str | None], state_NC: Array) -> None:
        names = np.array(sources, object)
        for source in {source for source in sources if source is not None}:
            of_source_NC = state_NC[names == source]
            seen_2C = np.stack([(of_source_NC == s).sum(axis=0) for s in (PRESENT, ABSENT)])
            key = (split, source)
            self.states[key] = self.states.get(key, 0) + seen_2C

    def rows(self, splits: Sequence[str]) -> Iterator[CoverageRow]:
        for split in splits:
            labeled = {s: n for (of, s), n in sorted(self.labeled.items()) if of == split}
            known = sum(labeled.values())
            unknown = self.images[split] - known
            yield CoverageRow(self.name, None, split, None, known, 0, unknown)
            for source, count in labeled.items():
                yield CoverageRow(self.name, None, split, source, count, 0, 0)
        for category, category_name in enumerate(self.categories):
            for split in splits:
                yield from self._category_rows(category, category_name, split)

    def _category_rows(self, category: int, name: str, split: str) -> Iterator[CoverageRow]:
        by_source = {
            source: tuple(int(count) for count in seen_2C[:, category])
            for (of, source), seen_2C in sorted(self.states.items())
            if of == split
        }
        present = sum(counts[0] for counts in by_source.values())
        absent = sum(counts[1] for counts in by_source.values())
        unknown = self.images[split] - present - absent
        yield CoverageRow(self.name, name, split, None, present, absent, unknown)
        for source, (there, not_there) in by_source.items():
            rest = self.labeled[split, source] - there - not_there
            yield CoverageRow(self.name, name, split, source, there, not_there, rest)


def _row_groups(
    file: Path, task: str, with_labels: bool
) -> Iterator[tuple[list[str | None], pa.Array | None]]:
    """Sources and, where asked for, labels of a shard, one row group at a time."""
    columns = [f"{task}_source", *([task] if with_labels else [])]
    with open_shard(file) as parquet:
        for number in range(parquet.num_row_groups):
            table = parquet.read_row_group(number, columns=columns)
            column = table.column(task).combine_chunks() if with_labels else None
            yield table.column(f"{task}_source").to_pylist(), column


def category_states(task: Task, column: pa.Array, where: str, *, unsure: bool = False) -> Array:
    """State of each category in each row: `int8 NC` of PRESENT, ABSENT and UNKNOWN.

    Args:
        task: of kind segmentation, detection or tags.
        column: its cells; null is unknown in every category.
        where: file and column, for the message.
        unsure: whether tags of which somebody was unsure are UNSURE, and not UNKNOWN.

    Raises:
        InvalidDataset: a label cannot be decoded or names a category that is not declared.
    """
    state_NC = np.full((len(column), len(task.categories)), UNKNOWN, np.int8)
    try:
        if task.kind is Kind.SEGMENTATION:
            for row, content in enumerate(pc.struct_field(column, "bytes")):
                if content.is_valid:
                    state_NC[row] = _mask_states(task, content.as_py())
        elif task.kind is Kind.DETECTION:
            _set_box_states(task, column, state_NC)
        else:
            parts = [("present", PRESENT), ("absent", ABSENT)]
            if unsure and task.unsure:
                parts.append(("unsure", UNSURE))
            for part, state in parts:
                ids = pc.struct_field(column, part)
                row_M = pc.list_parent_indices(ids).to_numpy()
                state_NC[row_M, _checked(task, pc.list_flatten(ids).to_numpy())] = state
    except BadCell as error:
        raise InvalidDataset(
            f"{where}: {error}.",
            remedy="Run 'goldseam dataset check' for a list of every such row.",
        ) from error
    return state_NC


def _mask_states(task: Task, content: bytes) -> Array:
    target_HW = decode_label(task, {"bytes": content})
    ids, ignore = np.unique(target_HW), task.ignore
    # an ignored pixel may hide any category, so nothing is known to be absent beside one
    state_C = np.full(len(task.categories), UNKNOWN if ignore in ids else ABSENT, np.int8)
    state_C[_checked(task, ids[ids != ignore])] = PRESENT
    return state_C


def _set_box_states(task: Task, column: pa.Array, state_NC: Array) -> None:
    if task.exhaustive:
        state_NC[column.is_valid().to_numpy(zero_copy_only=False)] = ABSENT
    row_M = pc.list_parent_indices(column).to_numpy()
    boxes = pc.list_flatten(column)
    category_M = _checked(task, pc.struct_field(boxes, "category").to_numpy())
    ignore_M = pc.struct_field(boxes, "ignore").to_numpy(zero_copy_only=False).astype(bool)
    state_NC[row_M[ignore_M], category_M[ignore_M]] = UNKNOWN
    state_NC[row_M[~ignore_M], category_M[~ignore_M]] = PRESENT


def _checked(task: Task, ids: Array) -> Array:
    if not np.issubdtype(ids.dtype, np.integer):
        raise BadCell("a category id that is null", "an id of every entry")
    outside = (ids < 0) | (ids >= len(task.categories))
    if outside.any():
        last = len(task.categories) - 1
        raise BadCell(f"category id {ids[outside][0]}", f"ids of 0 to {last}")
    return ids
