"""The tables that predictions stand in: Parquet files, or one CSV of tag probabilities.

Both are read in blocks, so that memory does not grow with the number of images.
"""

import contextlib
import csv
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.audit.predictions.faults import InvalidPredictions, listed
from goldseam.dataset.schema import DatasetInfo, Kind
from goldseam.errors import MissingInput, closest

ID = "image_id"


class PredictionTable(Protocol):
    """A file of predictions."""

    @property
    def path(self) -> Path:
        """Where it stands."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""

    def blocks(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Position of the first row, and the rows, block by block."""

    def row(self, position: int) -> str:
        """How a person finds a row: `row 3`, `line 5`."""


@dataclasses.dataclass(frozen=True)
class ParquetFile:
    """One Parquet file; a block is a row group."""

    path: Path
    schema: pa.Schema

    @classmethod
    def open(cls, path: Path) -> "ParquetFile":
        """Read the footer.

        Raises:
            InvalidPredictions: the file is no Parquet.
            MissingInput: it cannot be read.
        """
        with _readable(path), pq.ParquetFile(path) as parquet:
            return cls(path, parquet.schema_arrow)

    def blocks(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Row group by row group."""
        first = 0
        with _readable(self.path), pq.ParquetFile(self.path) as parquet:
            for number in range(parquet.num_row_groups):
                table = parquet.read_row_group(number, columns=list(columns))
                yield first, table.select(list(columns))
                first += table.num_rows

    def row(self, position: int) -> str:
        """`row 3`, from 0."""
        return f"row {position}"


@dataclasses.dataclass(frozen=True, eq=False)
class CsvFile:
    """One CSV of tag probabilities, in memory; it is one block."""

    path: Path
    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        return self.table.schema

    def blocks(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Everything at once."""
        yield 0, self.table.select(list(columns))

    def row(self, position: int) -> str:
        """`line 5`, where the header is line 1."""
        return f"line {position + 2}"


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong while a file is read says which file it was."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise MissingInput(path, f"cannot be read ({error.strerror})") from error
    except (OSError, pa.ArrowException) as error:
        raise InvalidPredictions(
            f"{path}: the file is damaged, or is no Parquet ({error}).",
            remedy="Write it again, whole.",
        ) from error


def read_csv(path: Path, info: DatasetInfo, task: str = "") -> tuple[str, CsvFile]:
    """Read `image_id` and one column of probabilities a category.

    Args:
        path: the file.
        info: of the dataset.
        task: which tags task the columns are for; needed where several have these categories.

    Returns:
        The task, and a table with `image_id` and a column of that name.

    Raises:
        InvalidPredictions: the columns are the categories of no tags task or of several, or a cell
            is no number.
        MissingInput: the file cannot be read.
    """
    names = _header(path)
    if names.count(ID) != 1:
        raise InvalidPredictions(
            f"{path}: the columns are {listed(names)}, expected one '{ID}'.",
            remedy=f"Name the column of image ids '{ID}'; closest: {closest(ID, names)}.",
        )
    given = [name for name in names if name != ID]
    task = _csv_task(path, info, given, task)
    own = info.tasks[task].categories
    values = _read_values(path, given)
    columns = [values.column(name).combine_chunks() for name in own]
    missing = [column.is_null() for column in columns]
    some, every = missing[0], missing[0]
    for one in missing[1:]:
        some, every = pc.or_(some, one), pc.and_(every, one)
    partly = pc.and_(some, pc.invert(every))
    if pc.any(partly).as_py():
        row = pc.index(partly, True).as_py()
        name = next(n for n, one in zip(own, missing, strict=True) if one[row].as_py())
        raise InvalidPredictions(
            f"{path}, line {row + 2}, image '{values.column(ID)[row]}', column '{name}': the cell "
            "is empty, others of the line are not.",
            remedy="Give a probability for each category, or leave all cells of the line empty.",
        )
    lists = _interleaved(columns, every)
    table = pa.table({ID: values.column(ID), task: lists})
    return task, CsvFile(path, table)


def _interleaved(columns: list[Any], missing: pa.Array) -> pa.Array:
    """Columns as one list a row; null where `missing`."""
    value_NC = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
    offset = np.arange(len(value_NC) + 1, dtype=np.int32) * value_NC.shape[1]
    return pa.ListArray.from_arrays(offset, pa.array(value_NC.reshape(-1)), mask=missing)


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return next(csv.reader(stream), [])
    except OSError as error:
        raise MissingInput(path, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidPredictions(f"{path} is no CSV ({error}).", remedy="Save it as UTF-8.") from (
            error
        )


def _csv_task(path: Path, info: DatasetInfo, given: list[str], task: str) -> str:
    """The tags task whose categories the columns are."""
    tags = {name: spec for name, spec in info.tasks.items() if spec.kind is Kind.TAGS}
    if task and task not in tags:
        raise InvalidPredictions(
            f"{path}: the dataset has no tags task '{task}'.",
            remedy=f"Closest: {closest(task, tags)}. A CSV holds tags; other kinds need Parquet.",
        )
    candidates = {task: tags[task]} if task else tags
    if not candidates:
        raise InvalidPredictions(
            f"{path}: the dataset has no tags task, and a CSV holds tags.",
            remedy="Give a folder of Parquet files; docs/audit.md describes them.",
        )
    fitting = [
        name
        for name, spec in candidates.items()
        if set(spec.categories) == set(given) and len(given) == len(spec.categories)
    ]
    if len(fitting) > 1:
        raise InvalidPredictions(
            f"{path}: the columns are the categories of several tasks: {listed(fitting)}.",
            remedy="Say which one is predicted, or give a Parquet file with a column a task.",
        )
    if fitting:
        return fitting[0]
    nearest = max(candidates, key=lambda name: len({*candidates[name].categories} & {*given}))
    own = candidates[nearest].categories
    foreign = [name for name in given if name not in own]
    missing = [name for name in own if name not in given]
    hint = f" Closest to '{foreign[0]}': {closest(foreign[0], own)}." if foreign else ""
    raise InvalidPredictions(
        f"{path}: the columns are not the categories of task '{nearest}': {listed(missing)} are "
        f"missing, {listed(foreign)} are not the dataset's.",
        remedy=f"Give one column a category: {listed(own, 40)}.{hint}",
    )


def _read_values(path: Path, given: list[str]) -> pa.Table:
    import pyarrow.csv as pc_csv

    types = {ID: pa.string(), **dict.fromkeys(given, pa.float32())}
    # "nan" must not pass for an empty cell
    options = pc_csv.ConvertOptions(
        column_types=types,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        return pc_csv.read_csv(path, convert_options=options)
    except OSError as error:
        raise MissingInput(path, f"cannot be read ({error.strerror})") from error
    except pa.ArrowException as error:
        place = _first_wrong_cell(path, given)
        raise InvalidPredictions(
            f"{path}{place or f': {error}'}.",
            remedy="Give a probability from 0 to 1 in each cell, with a decimal point.",
        ) from error


def _first_wrong_cell(path: Path, given: list[str]) -> str:
    """Line and column of the first cell that is no number; empty when the lines do not parse."""
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
        for line, cells in enumerate(csv.DictReader(stream), start=2):
            for name in given:
                cell = cells.get(name)
                if cell is None or None in cells:
                    return f", line {line}: {len([v for v in cells.values() if v])} cells"
                try:
                    float(cell or 0)
                except ValueError:
                    return (
                        f", line {line}, image '{cells[ID]}', column '{name}': '{cell:.40}', "
                        "expected a number"
                    )
    return ""
