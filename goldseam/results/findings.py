"""Findings: one row a suspicious label, as a table that grows without a Python object a row.

The audit and fine-tuning both point at labels; their tables have the same columns, and the same
label has the same id in both, so that they can be joined. N findings.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Array = npt.NDArray[Any]

FINDINGS_FILE = "findings.parquet"


class Issue(StrEnum):
    """What is wrong with a label, or seems to be."""

    WRONG_TAG = "wrong_tag"
    WRONG_MASK = "wrong_mask"
    MISSING_BOX = "missing_box"
    SPURIOUS_BOX = "spurious_box"
    MISPLACED_BOX = "misplaced_box"
    WRONG_CATEGORY = "wrong_category"
    OUTLYING_VALUES = "outlying_values"
    WRONG_UNIT = "wrong_unit"
    INVERTED_VALUES = "inverted_values"
    CONTRADICTION = "contradiction"
    DUPLICATE = "duplicate"
    LEAK = "leak"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"


class Action(StrEnum):
    """What an annotator should do."""

    REVIEW = "review"
    RELABEL = "relabel"
    ADD = "add"
    REMOVE = "remove"
    REDRAW = "redraw"
    CONVERT = "convert"
    KEEP_ONE = "keep_one"


SCHEMA = pa.schema(
    [
        pa.field("finding", pa.string(), nullable=False),  # the same label gives the same id
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("issue", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),  # 0 to 1; the higher, the likelier wrong
        pa.field("evidence", pa.string(), nullable=False),  # one sentence
        pa.field("given", pa.string()),  # what the label says
        pa.field("suggested", pa.string()),  # what it should say
        pa.field("action", pa.string(), nullable=False),
        pa.field("source", pa.string()),  # who made the label
        pa.field("xmin", pa.float32()),  # where in the image, px
        pa.field("ymin", pa.float32()),
        pa.field("xmax", pa.float32()),
        pa.field("ymax", pa.float32()),
    ]
)
IDENTITY = ("image_id", "task", "category", "issue", "xmin", "ymin", "xmax", "ymax")


def make_findings(
    *,
    image_id: Sequence[str] | Array | pa.Array,
    split: Sequence[str] | Array | pa.Array | str,
    group: Sequence[str] | Array | pa.Array,
    task: str,
    issue: Issue,
    action: Action,
    score: Array | Sequence[float],
    evidence: Sequence[str] | pa.Array,
    **more: Any,
) -> pa.Table:
    """A table of findings; a single text stands for every row.

    Args:
        image_id: N.
        split: N, or one.
        group: N.
        task: one.
        issue: one.
        action: one.
        score: N, 0 to 1.
        evidence: N sentences.
        more: `category`, `given`, `suggested`, `source`, `xmin`, `ymin`, `xmax`, `ymax`: N or one.
    """
    count = len(image_id)
    given = {
        "image_id": image_id,
        "split": split,
        "group": group,
        "task": task,
        "issue": str(issue),
        "action": str(action),
        "score": np.clip(np.asarray(score, np.float32), 0, 1),
        "evidence": evidence,
        **more,
    }
    columns = {
        field.name: _column(given.get(field.name), count, field.type)
        for field in SCHEMA
        if field.name != "finding"
    }
    columns["finding"] = _identities(columns, count)
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def _column(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    if value is None or isinstance(value, str | int | float):
        return pa.repeat(pa.scalar(value, kind), count)
    if isinstance(value, pa.ChunkedArray):
        value = value.combine_chunks()
    return pa.array(value, kind) if not isinstance(value, pa.Array) else value.cast(kind)


def _identities(columns: dict[str, pa.Array], count: int) -> pa.Array:
    """Twelve hexadecimal digits for each row: the same label has the same in every audit."""
    parts = [pc.fill_null(columns[name].cast(pa.string()), "") for name in IDENTITY]
    joined = pc.binary_join_element_wise(*parts, "\x1f") if count else pa.array([], pa.string())
    digests = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in joined.to_pylist()]
    return pa.array(digests, pa.string())
