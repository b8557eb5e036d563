"""Writing predictions, image by image, whole or not at all.

Dense maps are kept small: probabilities as 255 p in uint8, values as float16.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.audit.errors.boxes import PredictedBoxes
from goldseam.audit.predictions.faults import InvalidPredictions, listed
from goldseam.audit.predictions.layout import (
    PredictionNotes,
    column_type,
    encode_map,
    require_values,
)
from goldseam.audit.predictions.tables import ID
from goldseam.dataset.codecs import BadCell
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.storage.atomic import atomic_folder

ROWS_PER_GROUP = 256
BYTES_PER_GROUP = 32 << 20


class PredictionWriter:
    """Takes predictions of one image after another; `write_predictions` makes one."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, info: DatasetInfo) -> None:
        self._writer = writer
        self._schema = schema
        self._info = info
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, image_id: str, predictions: Mapping[str, Any]) -> None:
        """Add an image.

        Args:
            image_id: of the dataset.
            predictions: task → probabilities `C` (tags), map (see `layout`) or `PredictedBoxes`;
                None, or no entry, is no prediction.

        Raises:
            InvalidPredictions: a task is not among those of the file, or a value is out of range.
        """
        row: dict[str, Any] = {ID: image_id}
        for task, predicted in predictions.items():
            if task not in self._schema.names:
                raise InvalidPredictions(
                    f"image '{image_id}': a prediction of task '{task}'.",
                    remedy=f"The file was opened for {listed(self._schema.names[1:])}.",
                )
            try:
                row[task] = _cell(self._info.tasks[task], predicted)
            except BadCell as error:
                raise InvalidPredictions(
                    f"image '{image_id}', task '{task}': {error}.", remedy=error.remedy
                ) from error
            if isinstance(row[task], bytes):
                self._bytes += len(row[task])
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP or self._bytes >= BYTES_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what was added since the last row group."""
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows, self._bytes = [], 0


def _cell(task: Task, predicted: Any) -> Any:
    if predicted is None:
        return None
    if task.kind is Kind.DETECTION:
        return _boxes(predicted)
    if task.kind is not Kind.TAGS:
        return encode_map(task, predicted)
    probability_C = np.asarray(predicted, np.float32)
    if probability_C.shape != (len(task.categories),):
        raise BadCell(f"an array of shape {probability_C.shape}", f"({len(task.categories)},)")
    require_values(task, probability_C)
    return probability_C


def _boxes(boxes: PredictedBoxes) -> list[dict[str, Any]]:
    return [
        {
            "category": int(category),
            "score": float(score),
            "xmin": float(corners[0]),
            "ymin": float(corners[1]),
            "xmax": float(corners[2]),
            "ymax": float(corners[3]),
        }
        for category, score, corners in zip(
            boxes.category_M, boxes.score_M, boxes.corners_M4, strict=True
        )
    ]


@contextlib.contextmanager
def write_file(path: Path, info: DatasetInfo, tasks: Sequence[str]) -> Iterator[PredictionWriter]:
    """One Parquet file, which is whole when the block has ended without an error."""
    fields = [pa.field(ID, pa.string(), nullable=False)]
    for name in tasks:
        kind = column_type(info.task(name).kind)
        if kind is None:
            raise InvalidPredictions(
                f"a {info.tasks[name].kind} task ('{name}') cannot be predicted.",
                remedy="Leave it out.",
            )
        fields.append(pa.field(name, kind))
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="zstd") as stream:
        writer = PredictionWriter(stream, schema, info)
        yield writer
        writer.flush()


@contextlib.contextmanager
def write_predictions(
    out: Path, info: DatasetInfo, tasks: Sequence[str], notes: PredictionNotes | None = None
) -> Iterator[PredictionWriter]:
    """A folder of predictions; it appears when the block ends without an error.

    Args:
        out: folder to make.
        info: of the dataset.
        tasks: that are predicted.
        notes: what is said about them, such as whether they are out of fold.

    Raises:
        OutputExists: `out` is there.
    """
    notes = notes or PredictionNotes()
    with atomic_folder(out) as folder:
        notes.write(folder)
        with write_file(folder / "predictions.parquet", info, tasks) as writer:
            yield writer
