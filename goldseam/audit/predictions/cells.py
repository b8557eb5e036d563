"""Cells of predictions as arrays, checked: every fault says where it stands.

Legend: M rows or boxes, C categories.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.predictions.faults import SEE_FORMAT, InvalidPredictions, listed
from goldseam.audit.predictions.layout import ROUNDING
from goldseam.audit.predictions.tables import PredictionTable
from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Task

SIGMOID = "These look like scores: apply a sigmoid."


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Some rows of one file.

    Attributes:
        table: the file.
        first: position in it of the first row.
        ids: image ids.
        column: cells of one task.
        position: of each row's image in the dataset; -1 where foreign.
    """

    table: PredictionTable
    first: int
    ids: pa.ChunkedArray
    column: pa.Array
    position: Array

    def fault(self, row: int, column: str, what: str, remedy: str) -> InvalidPredictions:
        """An error that says where it stands."""
        return InvalidPredictions(
            f"{self.table.path}, {self.table.row(self.first + row)}, image '{self.ids[row]}', "
            f"column '{column}': {what}.",
            remedy=remedy,
        )


def tag_values(block: Block, spec: Task, task: str) -> tuple[Array, Array]:
    """Rows of a block that have tags, and their probabilities `MC`, checked."""
    count = len(spec.categories)
    rows = np.flatnonzero(block.column.is_valid().to_numpy(zero_copy_only=False))
    cells = block.column.cast(pa.list_(pa.float32())).take(pa.array(rows))
    length = pc.list_value_length(cells).to_numpy()
    if (length != count).any():
        at = int((length != count).argmax())
        raise block.fault(
            int(rows[at]),
            task,
            f"{length[at]} probabilities, expected {count}",
            f"Give one a category, in this order: {listed(spec.categories, 40)}; or name another "
            "order in predictions.json.",
        )
    value_M = pc.list_flatten(cells)
    value_MC = value_M.to_numpy(zero_copy_only=False).reshape(-1, count)
    wrong_MC = ~((value_MC >= -ROUNDING) & (value_MC <= 1 + ROUNDING))
    if wrong_MC.any():
        at, category = np.argwhere(wrong_MC)[0].tolist()
        value = value_MC[at, category]
        null = value_M[at * count + category].as_py() is None
        raise block.fault(
            int(rows[at]),
            task,
            f"{'null' if null else f'{value:g}'} for category '{spec.categories[category]}', "
            "expected a probability from 0 to 1",
            SIGMOID
            if np.isfinite(value)
            else "Write null for the whole list where an image has no prediction.",
        )
    return rows, value_MC.clip(0, 1)


def box_values(block: Block, spec: Task, task: str) -> tuple[Array, Array, Array]:
    """Category ids, corners `M4` and scores of all boxes of a block, checked."""
    boxes = pc.list_flatten(block.column)
    row_M = pc.list_parent_indices(block.column).to_numpy()
    names = ("category", "score", "xmin", "ymin", "xmax", "ymax")
    parts = {name: pc.struct_field(boxes, name) for name in names}
    for name, part in parts.items():
        if part.null_count:
            at = int(part.is_null().to_numpy(zero_copy_only=False).argmax())
            raise block.fault(int(row_M[at]), task, f"a box without '{name}'", SEE_FORMAT)
    value = {name: part.to_numpy(zero_copy_only=False) for name, part in parts.items()}
    corners_M4 = np.stack([value[name] for name in names[2:]], axis=1).astype(np.float32)
    category_M, score_M = value["category"].astype(np.int64), value["score"].astype(np.float32)
    checks: dict[str, tuple[Array, Callable[[int], str], str]] = {
        "category": (
            (category_M >= 0) & (category_M < len(spec.categories)),
            lambda at: f"category {category_M[at]}, expected 0 to {len(spec.categories) - 1}",
            f"Ids are places in: {listed(spec.categories, 40)}.",
        ),
        "score": (
            (score_M >= -ROUNDING) & (score_M <= 1 + ROUNDING),
            lambda at: f"score {score_M[at]:g}, expected 0 to 1",
            SIGMOID,
        ),
        "corners": (
            np.isfinite(corners_M4).all(axis=1)
            & (corners_M4[:, 2] > corners_M4[:, 0])
            & (corners_M4[:, 3] > corners_M4[:, 1]),
            lambda at: "a box at " + ", ".join(f"{c:g}" for c in corners_M4[at]),
            "Give xmin < xmax and ymin < ymax, in px of the image.",
        ),
    }
    for right_M, what, remedy in checks.values():
        if not right_M.all():
            at = int((~right_M).argmax())
            raise block.fault(int(row_M[at]), task, what(at), remedy)
    return category_M.astype(np.int32), corners_M4, score_M.clip(0, 1)
