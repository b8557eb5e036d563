"""Opening predictions: what a folder or a CSV holds, and whether it fits the dataset at all."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.predictions.faults import SEE_FORMAT, InvalidPredictions, listed
from goldseam.audit.predictions.layout import PredictionNotes, category_order, column_type
from goldseam.audit.predictions.reading import PredictionSet
from goldseam.audit.predictions.tables import ID, ParquetFile, read_csv
from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import MissingInput, closest


def open_predictions(path: Path, info: DatasetInfo, *, task: str = "") -> PredictionSet:
    """Open a folder of Parquet files, or a CSV of one tags task; see `layout` for the format.

    Only headers are read here; cells are checked when they are read.

    Args:
        path: folder, or a file that ends in `.csv`.
        info: of the dataset that the predictions are for.
        task: for a CSV, which tags task it predicts; needed where several have its columns.

    Raises:
        MissingInput: there is no such folder or file.
        InvalidPredictions: a column names no task, a task has other categories, a column has
            another type, or nothing is predicted at all.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        task, csv = read_csv(path, info, task)
        return PredictionSet(path, info, (task,), PredictionNotes(), (csv,), {})
    if not path.is_dir():
        raise MissingInput(path, "is no folder of predictions and no .csv", SEE_FORMAT)
    notes = PredictionNotes.read(path)
    tables = tuple(ParquetFile.open(file) for file in sorted(path.glob("*.parquet")))
    columns = collections.Counter(
        name for table in tables for name in _columns(table.path, table.schema, info)
    )
    tasks = tuple(name for name in info.tasks if columns[name])
    if not tasks:
        raise InvalidPredictions(
            f"{path} holds no predictions of any task of dataset '{info.name}'.",
            remedy=f"Write Parquet files with '{ID}' and a column a task: {listed(info.tasks)}.",
        )
    order = {}
    for name, categories in notes.categories.items():
        if name not in info.tasks:
            raise InvalidPredictions(
                f"{path}: categories are given for '{name}', which is no task of the dataset.",
                remedy=f"Closest: {closest(name, info.tasks)}.",
            )
        places = category_order(info, name, categories, path)
        if (places != np.arange(len(places))).any():
            order[name] = places
    return PredictionSet(path, info, tasks, notes, tables, order)


def _columns(path: Path, schema: pa.Schema, info: DatasetInfo) -> list[str]:
    """The tasks that a file has columns of."""
    if ID not in schema.names or not _is_text(schema.field(ID).type):
        raise InvalidPredictions(
            f"{path}: the columns are {listed(schema.names)}, expected '{ID}' (string).",
            remedy=f"Add it; closest: {closest(ID, schema.names)}.",
        )
    found = [name for name in schema.names if name != ID]
    for name in found:
        if name not in info.tasks:
            raise InvalidPredictions(
                f"{path}: column '{name}' is no task of dataset '{info.name}'.",
                remedy=f"Closest: {closest(name, info.tasks)}.",
            )
        expected, kind = column_type(info.tasks[name].kind), schema.field(name).type
        if expected is None:
            raise InvalidPredictions(
                f"{path}, column '{name}': a {info.tasks[name].kind} task cannot be predicted.",
                remedy="Leave the column out.",
            )
        if not _fits(kind, expected):
            raise InvalidPredictions(
                f"{path}, column '{name}': the type is {kind}, expected {expected}.",
                remedy=SEE_FORMAT,
            )
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fits(kind: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a column of this type can be read as the expected one."""
    if pa.types.is_binary(expected):
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or _is_fixed(kind)):
        return False
    of, wanted = kind.value_type, expected.value_type
    if not pa.types.is_struct(wanted):
        return bool(pa.types.is_floating(of) or pa.types.is_integer(of))
    return pa.types.is_struct(of) and {f.name for f in wanted} <= {
        f.name for f in of if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)
    }


def _is_fixed(kind: Any) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))
