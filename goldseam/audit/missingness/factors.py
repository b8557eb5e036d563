"""What being labeled should not depend on: metadata, image statistics, splits, other labels.

Legend: N images, C categories.
"""

import dataclasses
from collections.abc import Iterator
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import PRESENT, UNKNOWN, Array
from goldseam.results import FactorKind

MISSING, OTHER = "unknown", "other"
FEW_VALUES = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """A value of every image, in levels or as a number.

    Attributes:
        name: of the column, statistic or label.
        kind: where it comes from.
        value_N: position in `levels`, -1 where it does not apply; or numbers, NaN there.
        levels: names of the levels; empty for numbers.
        task: whose label it is; empty where it is none.
        category: of that label.
    """

    name: str
    kind: FactorKind
    value_N: Array
    levels: tuple[str, ...] = ()
    task: str = ""
    category: str = ""

    @property
    def applies(self) -> Array:
        """Bool N."""
        applies_N: Array = self.value_N >= 0 if self.levels else np.isfinite(self.value_N)
        return applies_N

    def take(self, row_M: Array) -> Self:
        """The same factor of some images, without levels that they do not have."""
        value_M = self.value_N[row_M]
        if not self.levels:
            return dataclasses.replace(self, value_N=value_M)
        used = np.unique(value_M[value_M >= 0])
        if len(used) == len(self.levels):
            return dataclasses.replace(self, value_N=value_M)
        position_L = np.full(len(self.levels) + 1, -1)
        position_L[used] = np.arange(len(used))
        levels = tuple(self.levels[number] for number in used.tolist())
        # `levels` tells levels from numbers, so it may not become empty
        return dataclasses.replace(self, value_N=position_L[value_M], levels=levels or (MISSING,))


def metadata_factors(labels: LabelSide, row_M: Array, most_levels: int) -> Iterator[Factor]:
    """A factor for every metadata column.

    Texts, and whole numbers of at most ten values, are levels; null is a level of its own. Other
    numbers and times stay numbers; where some are null, whether one is recorded is a second factor.

    Args:
        labels: the label side.
        row_M: the images wanted, by position.
        most_levels: of a column; the rarer ones are pooled.
    """
    for name, whole in labels.meta.items():
        column = whole.take(pa.array(row_M))
        if pa.types.is_string(column.type) or _few_whole_numbers(column):
            yield _leveled(name, column, most_levels)
            continue
        value_N = _numbers(column)
        yield Factor(name, "metadata", value_N)
        missing_N = ~np.isfinite(value_N)
        if missing_N.any() and not missing_N.all():
            levels = ("recorded", MISSING)
            yield Factor(f"{name} recorded", "metadata", missing_N.astype(np.int64), levels)


def _few_whole_numbers(column: pa.Array) -> bool:
    return bool(pa.types.is_integer(column.type)) and (
        int(pc.count_distinct(column).as_py()) <= FEW_VALUES
    )


def _numbers(column: pa.Array) -> Array:
    """float64 N, NaN for null; times in microseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    value_N: Array = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return value_N


def _leveled(name: str, column: pa.Array, most: int) -> Factor:
    """Levels by falling count, ties by name; beyond `most` they are pooled, and null is one."""
    coded = column.cast(pa.string()).dictionary_encode()
    names = coded.dictionary.to_pylist()
    code_N = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    count_L = np.bincount(code_N[code_N >= 0], minlength=len(names))
    order = sorted(range(len(names)), key=lambda number: (-count_L[number], names[number]))
    has_missing = bool((code_N < 0).any())
    room = most - has_missing
    kept = order if len(order) <= room else order[: max(room - 1, 1)]
    levels = [names[number] for number in kept]
    position_L = np.full(len(names) + 1, len(levels))
    position_L[kept] = np.arange(len(kept))
    if len(kept) < len(order):
        levels.append(_unused(OTHER, levels))
    if has_missing:
        position_L[-1] = len(levels)
        levels.append(_unused(MISSING, levels))
    return Factor(name, "metadata", position_L[code_N], tuple(levels))


def _unused(word: str, taken: list[str]) -> str:
    """The word, in brackets where a value of the column is called so."""
    return f"({word})" if word in taken else word


def picture_factors(labels: LabelSide, pictures: pa.Table | None, row_M: Array) -> Iterator[Factor]:
    """A factor for every float column of a table of image statistics, matched by `image_id`."""
    if pictures is None:
        return
    place = pc.index_in(labels.image_ids.take(pa.array(row_M)), pictures.column("image_id"))
    for field in pictures.schema:
        if pa.types.is_floating(field.type):
            column = pictures.column(field.name).combine_chunks()
            column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
            yield Factor(field.name, "image", _numbers(column.take(place)))


def split_factor(labels: LabelSide, row_M: Array) -> Factor:
    """The split of each image."""
    return Factor("split", "split", labels.split_N[row_M].astype(np.int64), labels.splits)


def label_factors(
    labels: LabelSide, states: dict[str, Array], row_M: Array, most: int
) -> Iterator[Factor]:
    """For each task, the presence of its categories, where it is known.

    Categories that are there on half of the images where they are known tell most: they come
    first, and at most `most` of each task do.
    """
    for task, whole_NC in states.items():
        state_MC = whole_NC[row_M]
        present_C = (state_MC == PRESENT).sum(axis=0)
        known_C = (state_MC != UNKNOWN).sum(axis=0)
        told_C = np.minimum(present_C, known_C - present_C)
        names = labels.info.tasks[task].categories
        for category in np.argsort(-told_C, kind="stable")[:most].tolist():
            if told_C[category] == 0:
                continue
            # states 1, 0 and -1 are positions in these levels, and what does not apply
            yield Factor(
                f"{task}.{names[category]}",
                "other_label",
                state_MC[:, category].astype(np.int64),
                ("absent", "present"),
                task=task,
                category=names[category],
            )
