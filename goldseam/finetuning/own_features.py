"""Features that the user brings: a `.npy` file, or a Parquet file with a column of lists.

Legend: N images, D features.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.errors import InvalidArray, MissingInput, closest

BLOCK_ROWS = 4096


def read_features(
    path: Path,
    ids: Sequence[str] | None = None,
    *,
    column: str = "features",
    id_column: str = "image_id",
) -> npt.NDArray[Any]:
    """Features in the order of `ids`, checked.

    Args:
        path: `.npy` (two axes of floats, memory-mapped, never pickled objects), or `.parquet` with
            a fixed-size-list or list column of floats and a column of ids.
        ids: the images whose features are wanted, in this order. A `.npy` file has no ids: its rows
            have to be in this order already, and only their number can be checked. None takes a
            file's own order.
        column: the Parquet column of features.
        id_column: the Parquet column of ids.

    Returns:
        `N D`, of the type of the file.

    Raises:
        MissingInput: the file cannot be read, or is of neither kind.
        InvalidArray: shape, type, a value or an id is not what it should be.
    """
    path = Path(path)
    if path.suffix == ".npy":
        features_ND = _read_npy(path)
        if ids is not None and len(ids) != len(features_ND):
            raise InvalidArray(
                str(path),
                f"{len(features_ND):,} rows, expected {len(ids):,}, one an image",
                "Write one row an image in the order of the ids, or bring Parquet with ids.",
            )
    elif path.suffix == ".parquet":
        features_ND = _read_parquet(path, ids, column, id_column)
    else:
        raise MissingInput(path, "is neither .npy nor .parquet", "Write the features as one.")
    _check_finite(features_ND, str(path), ids)
    return features_ND


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        features_ND = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise MissingInput(path, f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InvalidArray(
            str(path), f"no plain array ({error})", "Save it by numpy.save."
        ) from error
    if features_ND.ndim != 2 or features_ND.dtype.kind != "f":
        raise InvalidArray(
            str(path),
            f"an array {features_ND.shape} of {features_ND.dtype}, expected two axes (images, "
            "features) of floats",
            "Flatten each image's features to one row of float16, float32 or float64.",
        )
    return np.asarray(features_ND) if features_ND.size == 0 else features_ND


def _read_parquet(
    path: Path, ids: Sequence[str] | None, column: str, id_column: str
) -> npt.NDArray[Any]:
    try:
        schema = pq.read_schema(path)
        for name in (column, id_column):
            if name not in schema.names:
                raise InvalidArray(
                    str(path), f"no column '{name}'", f"Closest: {closest(name, schema.names)}."
                )
        table = pq.read_table(path, columns=[column, id_column])
    except (OSError, pa.ArrowException) as error:
        raise MissingInput(path, f"cannot be read as Parquet ({error})") from error
    features_ND = _as_matrix(table.column(column), f"{path}, column '{column}'")
    return features_ND if ids is None else features_ND[_order(table.column(id_column), ids, path)]


def _as_matrix(cells: pa.ChunkedArray, where: str) -> npt.NDArray[Any]:
    kind = cells.type
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    if not (lists or pa.types.is_large_list(kind)) or not pa.types.is_floating(kind.value_type):
        raise InvalidArray(where, f"of type {kind}, expected lists of floats", "Write float lists.")
    lengths_N = pc.list_value_length(cells).to_numpy(zero_copy_only=False).astype(np.float64)
    width = lengths_N[0] if len(lengths_N) else 0
    wrong = np.flatnonzero(lengths_N != width)  # a null has NaN for a length
    if len(wrong) or (len(lengths_N) and not np.isfinite(width)):
        row = int(wrong[0]) if len(wrong) else 0
        found = "null" if np.isnan(lengths_N[row]) else f"{lengths_N[row]:.0f} numbers"
        raise InvalidArray(
            where,
            f"row {row}: {found}, expected {width:.0f} numbers as in row 0",
            "Give each image as many features; leave out images without.",
        )
    # flatten leaves nulls among the numbers, which become NaN here and are named later
    values = pc.list_flatten(cells).to_numpy()
    return np.asarray(values).reshape(len(cells), int(width))


def _order(cells: pa.ChunkedArray, ids: Sequence[str], path: Path) -> npt.NDArray[np.intp]:
    """The row of each id."""
    found = cells.cast(pa.string()).combine_chunks()
    twice = found.value_counts()
    twice = twice.filter(pc.greater(twice.field("counts"), 1))
    if len(twice):
        raise InvalidArray(
            str(path), f"id {twice.field('values')[0].as_py()!r} stands there more than once",
            "Leave one row an image.",
        )  # fmt: skip
    rows = pc.index_in(pa.array(ids, pa.string()), found)
    if rows.null_count:
        missing = pa.array(ids, pa.string()).filter(rows.is_null())
        raise InvalidArray(
            str(path),
            f"no row for {len(missing):,} of {len(ids):,} ids, such as {missing[0].as_py()!r}",
            "Compute the features of all images, or leave those out of the labels.",
        )
    return np.asarray(rows.to_numpy(), np.intp)


def _check_finite(features_ND: npt.NDArray[Any], where: str, ids: Sequence[str] | None) -> None:
    # block by block, so that a mapped file is never in memory as a whole
    for start in range(0, len(features_ND), BLOCK_ROWS):
        block_ND = np.asarray(features_ND[start : start + BLOCK_ROWS])
        wrong = np.argwhere(~np.isfinite(block_ND))
        if len(wrong):
            row, number = start + int(wrong[0, 0]), int(wrong[0, 1])
            image = "" if ids is None else f" (image {ids[row]!r})"
            raise InvalidArray(
                where,
                f"row {row}{image}, feature {number}: {block_ND[tuple(wrong[0])]}, expected a "
                "finite number",
                "Compute this image's features again, or leave the image out.",
            )
