"""Digests of labels that are pictures or texts, so that two images' labels compare without them.

A label side holds tags and boxes whole; of a mask it knows no pixel. Two masks agree or contradict
each other only where both know, so besides the digest of the whole label there is one of each of
4 x 4 cells, and none of a cell with an unknown pixel. H and W pixels.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.measuring import Seen
from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Kind, Task

GRID = 4
CELLS = GRID * GRID
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        # SHA-256; what stands where a pixel is unknown does not enter, where it is unknown does
        pa.field("digest", pa.binary(32), nullable=False),
        # 64 bits of a digest for each cell, row by row; 0 where a pixel of it is unknown
        pa.field("cells", pa.list_(pa.uint64(), CELLS), nullable=False),
    ]
)
TABLE = "label_digests"


class LabelDigests:
    """Digests the labels of tasks whose labels are pictures or captions; unknown gives no row.

    Args:
        tasks: what `dataset.yaml` declares.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        digested = {n: t for n, t in tasks.items() if t.kind not in (Kind.TAGS, Kind.DETECTION)}
        self._tasks = digested
        self._names: list[tuple[str, str]] = []
        self._digests: list[bytes] = []
        self._cells: list[Array] = []

    def update(self, seen: Seen) -> None:
        """Take in one image."""
        for name, task in self._tasks.items():
            if (label := seen.labels.get(name)) is not None:
                digest, cells = label_digest(task, label)
                self._names.append((seen.image_id, name))
                self._digests.append(digest)
                self._cells.append(cells)

    def tables(self) -> dict[str, pa.Table]:
        """`label_digests`, with the columns of `SCHEMA`."""
        flat = np.concatenate(self._cells) if self._cells else np.zeros(0, np.uint64)
        columns = [
            pa.array([image for image, _ in self._names], pa.string()),
            pa.array([task for _, task in self._names], pa.string()),
            pa.array(self._digests, pa.binary(32)),
            pa.FixedSizeListArray.from_arrays(pa.array(flat), CELLS),
        ]
        return {TABLE: pa.table(columns, schema=SCHEMA)}


def label_digest(task: Task, label: Any) -> tuple[bytes, Array]:
    """Digest of a label, and of its cells.

    Args:
        task: of a kind whose labels are pictures or captions.
        label: decoded (see `goldseam.dataset.codecs`).

    Returns:
        SHA-256, and uint64 [16]: 0 for a cell that is not known throughout (a caption has none).
    """
    if task.kind is Kind.CAPTION:
        return hashlib.sha256(label.encode()).digest(), np.zeros(CELLS, np.uint64)
    value, known_HW = _canonical(task, label)
    whole = hashlib.sha256(np.array(value.shape, "<i8").tobytes())
    whole.update(value.tobytes())
    whole.update(np.packbits(known_HW).tobytes())
    cells = np.zeros(CELLS, np.uint64)
    row, column = (np.linspace(0, side, GRID + 1).astype(int) for side in known_HW.shape)
    for number in range(CELLS):
        i, j = divmod(number, GRID)
        rows, columns = slice(row[i], row[i + 1]), slice(column[j], column[j + 1])
        if known_HW[rows, columns].size and known_HW[rows, columns].all():
            part = value[..., rows, columns].tobytes()
            digest = hashlib.blake2b(part, digest_size=8).digest()
            # 0 means unknown; a digest that is 0 by chance counts as 1
            cells[number] = max(int.from_bytes(digest, "little"), 1)
    return whole.digest(), cells


def _canonical(task: Task, label: Array) -> tuple[Array, Array]:
    """The label with 0 wherever it is unknown, and where it is known: equal for equal labels."""
    if task.kind in (Kind.REGRESSION, Kind.NORMALS):
        known_CHW = np.isfinite(label).reshape(-1, *label.shape[-2:])
        known_HW = np.asarray(known_CHW.all(axis=0))
        # adding 0 turns -0 into 0, which is the same value in other bytes
        return np.where(known_HW, label, 0).astype("<f4") + np.float32(0), known_HW
    known_HW = np.asarray(label != task.ignore)
    return np.where(known_HW, label, 0).astype("<u2"), known_HW


def cell_matrix(digests: pa.Table) -> Array:
    """The cells of a table `label_digests`: uint64 [rows, 16]."""
    column = digests.column("cells").combine_chunks()
    whole = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(whole.flatten().to_numpy(zero_copy_only=False)).reshape(-1, CELLS)
