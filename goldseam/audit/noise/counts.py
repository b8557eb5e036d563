"""Integer counts in long form: the counts of two shards, one under the other, are those of both.

Counts are kept by bundle of groups (see `intervals`), so that an interval can draw groups.
C categories of a noisy task and its clean version.
"""

from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import Array

ROWS_AT_ONCE = 1 << 18
NO_CATEGORY = -1


class Counted(StrEnum):
    """What a count is of, and which of `clean` and `noisy` name its category."""

    IMAGES = "images"  # on which both labels are known: neither
    INTERIOR = "interior"  # pixels away from a boundary of the clean label: both
    BOUNDARY = "boundary"  # pixels near one: both
    CLEAN_OBJECTS = "clean_objects"  # regions of the clean label: clean
    OMITTED = "omitted"  # those of which the noisy label shows nothing: clean
    NOISY_OBJECTS = "noisy_objects"  # regions of the noisy label: noisy
    INVENTED = "invented"  # those of which the clean label shows nothing: noisy


KEYS = ("noisy_task", "split", "bundle", "counted", "clean", "noisy")
COUNTS_SCHEMA = pa.schema(
    [
        pa.field("noisy_task", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("bundle", pa.int32(), nullable=False),
        pa.field("counted", pa.string(), nullable=False),
        pa.field("clean", pa.int32(), nullable=False),
        pa.field("noisy", pa.int32(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)


class CountTable:
    """Counts by key, summed up now and then, so that memory follows the keys and not the images."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(
        self,
        of: tuple[str, str, int],
        counted: Counted,
        count_M: Array,
        clean_M: Array | None = None,
        noisy_M: Array | None = None,
    ) -> None:
        """Add some counts of one kind; those of 0 leave no row.

        Args:
            of: noisy task, split and bundle.
            counted: what is counted.
            count_M: how many.
            clean_M: category ids in the clean label.
            noisy_M: category ids in the noisy label.
        """
        some_M = count_M > 0
        rows = int(some_M.sum())
        if not rows:
            return
        named = [
            np.full(rows, NO_CATEGORY) if category_M is None else category_M[some_M]
            for category_M in (clean_M, noisy_M)
        ]
        constant = [*of, str(counted)]
        columns = [
            pa.repeat(pa.scalar(value, COUNTS_SCHEMA.field(name).type), rows)
            for name, value in zip(KEYS, constant, strict=False)
        ]
        columns += [pa.array(category_M.astype(np.int32)) for category_M in named]
        columns.append(pa.array(count_M[some_M].astype(np.int64)))
        self._tables.append(pa.table(columns, schema=COUNTS_SCHEMA))
        self._rows += rows
        if self._rows > ROWS_AT_ONCE:
            self._tables = [self.table()]
            # grows with the keys, so that they are not summed up again at every row
            self._rows = -len(self._tables[0])

    def table(self) -> pa.Table:
        """One row a key."""
        return added_up(pa.concat_tables([*self._tables, COUNTS_SCHEMA.empty_table()]))


def added_up(table: pa.Table) -> pa.Table:
    """The same counts with one row a key, in the order of the keys."""
    summed = table.group_by(list(KEYS)).aggregate([("count", "sum")])
    summed = summed.rename_columns([*KEYS, "count"]).select(COUNTS_SCHEMA.names)
    return summed.sort_by([(key, "ascending") for key in KEYS]).cast(COUNTS_SCHEMA)


def counts_of(table: pa.Table, noisy_task: str, *counted: Counted) -> pa.Table:
    """The counts of one noisy task and some kinds."""
    kinds = pa.array([str(kind) for kind in counted])
    chosen = pc.and_(
        pc.equal(table.column("noisy_task"), noisy_task),
        pc.is_in(table.column("counted"), value_set=kinds),
    )
    return table.filter(chosen)


def column(table: pa.Table, name: str) -> Array:
    """A column of numbers."""
    array: Array = table.column(name).combine_chunks().to_numpy(zero_copy_only=False)
    return array
