"""Predictions as the audit reads them: by the positions of a `LabelSide`, checked cell by cell.

Legend: N images of the dataset, C categories, H and W pixels, M boxes of one image.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.errors.boxes import PredictedBoxes
from goldseam.audit.label_side import LabelSide
from goldseam.audit.predictions.cells import Block, box_values, tag_values
from goldseam.audit.predictions.faults import InvalidPredictions, listed
from goldseam.audit.predictions.layout import (
    PROBABILITY_MAPS,
    PredictionNotes,
    decode_map,
    map_shape,
)
from goldseam.audit.predictions.tables import ID, PredictionTable
from goldseam.dataset.codecs import Array, BadCell
from goldseam.dataset.resizing import stretch
from goldseam.dataset.schema import DatasetInfo, Kind, Task


@dataclasses.dataclass(frozen=True)
class Matched:
    """How predictions and images fit each other.

    Attributes:
        predicted: images of the dataset that have a row.
        missing: images of the dataset without one.
        foreign: rows of images that are not in the dataset; they are left out.
    """

    predicted: int
    missing: int
    foreign: int


@dataclasses.dataclass(frozen=True, eq=False)
class PredictionSet:
    """Predictions of some tasks; `open_predictions` makes one.

    Attributes:
        path: folder or file.
        info: of the dataset.
        tasks: that are predicted, in the order of `dataset.yaml`.
        notes: what is said about them.
        tables: the files.
        order: task → for each category of the dataset, its place among the predicted ones.
    """

    path: Path
    info: DatasetInfo
    tasks: tuple[str, ...]
    notes: PredictionNotes
    tables: tuple[PredictionTable, ...]
    order: dict[str, Array]

    @property
    def out_of_fold(self) -> bool:
        """Whether no prediction came from a model that saw a label of the same image."""
        return self.notes.out_of_fold

    def match(self, labels: LabelSide) -> Matched:
        """Find each image's row.

        Raises:
            InvalidPredictions: no image of the dataset is predicted, or one is predicted twice.
        """
        position = np.concatenate([[], *self._positions(labels)]).astype(np.int64)
        found = int((position >= 0).sum())
        return Matched(found, len(labels) - found, len(position) - found)

    def probabilities(self, labels: LabelSide, task: str) -> Array:
        """Probabilities of "present" of a tags task, `float32 NC`; NaN rows where there is none.

        Raises:
            InvalidPredictions: the task is not predicted, or a cell breaks the format.
        """
        spec = self._require(task, Kind.TAGS)
        found_NC = np.full((len(labels), len(spec.categories)), np.nan, np.float32)
        for block in self._blocks(labels, task):
            rows, value_MC = tag_values(block, spec, task)
            keep = block.position[rows] >= 0
            ordered_MC = value_MC[:, self.order[task]] if task in self.order else value_MC
            found_NC[block.position[rows[keep]]] = ordered_MC[keep]
        return found_NC

    def dense(self, labels: LabelSide, task: str) -> Iterator[tuple[int, Array]]:
        """(position, map) of every image that has one, in the order of the files.

        Maps are float32: probabilities `C H W` (segmentation) or `H W` (boundary, saliency), values
        `H W` in the task's unit, unit normals `3 H W`.

        Raises:
            InvalidPredictions: the task is not predicted, or a cell breaks the format.
        """
        spec = self._require(task, *PROBABILITY_MAPS, Kind.REGRESSION, Kind.NORMALS)
        return self._dense(labels, task, spec)

    def _dense(self, labels: LabelSide, task: str, spec: Task) -> Iterator[tuple[int, Array]]:
        for block in self._blocks(labels, task):
            for row, position in enumerate(block.position.tolist()):
                cell = block.column[row].as_py() if position >= 0 else None
                if cell is None:
                    continue
                try:
                    found = self._map(spec, cell, _size(labels, position))
                except BadCell as error:
                    raise block.fault(row, task, str(error), error.remedy) from error
                yield position, found[self.order[task]] if task in self.order else found

    def _map(self, spec: Task, content: bytes, size: tuple[int, int] | None) -> Array:
        if not self.notes.stretched or size is None:
            return decode_map(spec, content, size)
        found = decode_map(spec, content, None)
        if found.shape == map_shape(spec, *size):
            return found
        channels = [
            stretch(channel_HW, size) for channel_HW in found.reshape(-1, *found.shape[-2:])
        ]
        stretched = np.stack(channels).reshape(map_shape(spec, *size))
        if spec.kind is Kind.NORMALS:
            stretched /= np.maximum(np.linalg.norm(stretched, axis=0), 1e-6)
        return stretched

    def boxes(self, labels: LabelSide, task: str) -> Iterator[tuple[int, PredictedBoxes]]:
        """(position, boxes) of every image that has a list of them, in the order of the files.

        Raises:
            InvalidPredictions: the task is not predicted, or a box breaks the format.
        """
        return self._boxes(labels, task, self._require(task, Kind.DETECTION))

    def _boxes(
        self, labels: LabelSide, task: str, spec: Task
    ) -> Iterator[tuple[int, PredictedBoxes]]:
        for block in self._blocks(labels, task):
            category_M, corners_M4, score_M = box_values(block, spec, task)
            if task in self.order:
                # an id names a place in the predicted order; ours is where that place is ours
                category_M = np.argsort(self.order[task])[category_M]
            length = pc.fill_null(pc.list_value_length(block.column), 0).to_numpy()
            ends = np.cumsum(length)
            valid = block.column.is_valid().to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(valid & (block.position >= 0)).tolist():
                inside = slice(ends[row] - length[row], ends[row])
                yield (
                    int(block.position[row]),
                    PredictedBoxes(corners_M4[inside], category_M[inside], score_M[inside]),
                )

    def _require(self, task: str, *kinds: Kind) -> Task:
        if task not in self.tasks:
            raise InvalidPredictions(
                f"{self.path} holds no predictions of task '{task}'.",
                remedy=f"It holds {listed(self.tasks)}; add a column of that name.",
            )
        spec = self.info.tasks[task]
        if spec.kind not in kinds:
            raise ValueError(f"task '{task}' is of kind {spec.kind}")
        return spec

    def _blocks(self, labels: LabelSide, task: str) -> Iterator[Block]:
        """The rows of a task, block by block, in every file that has a column of it."""
        found = False
        for table, position in zip(self.tables, self._positions(labels), strict=True):
            if task not in table.schema.names:
                continue
            for first, rows in table.blocks([ID, task]):
                column = rows.column(task)
                column = pa.concat_arrays(column.chunks) if column.num_chunks else column
                here = position[first : first + len(column)]
                valid = column.is_valid().to_numpy(zero_copy_only=False)
                found |= bool((valid & (here >= 0)).any())
                yield Block(table, first, rows.column(ID), column, here)
        if not found:
            raise InvalidPredictions(
                f"{self.path}: column '{task}' is null for every image of the dataset.",
                remedy=f"Leave the column out, or predict task '{task}'.",
            )

    def _positions(self, labels: LabelSide) -> list[Array]:
        """For each file, each row's image as a position in the dataset; -1 where foreign."""
        ids = [
            [chunk.cast(pa.string()) for _, rows in table.blocks([ID]) for chunk in _chunks(rows)]
            for table in self.tables
        ]
        whole = pa.chunked_array([chunk for chunks in ids for chunk in chunks], pa.string())
        position = labels.rows_of(whole)
        self._require_ids(labels, whole, position)
        ends = np.cumsum([sum(len(chunk) for chunk in chunks) for chunks in ids])
        return np.split(position, ends[:-1])

    def _require_ids(self, labels: LabelSide, ids: pa.ChunkedArray, position: Array) -> None:
        if ids.null_count:
            raise InvalidPredictions(
                f"{self.path}: {ids.null_count} rows have no {ID}.", remedy="Name each row's image."
            )
        if not len(ids):
            raise InvalidPredictions(
                f"{self.path} has no row.", remedy="Write a row for each image, or leave it out."
            )
        if not (position >= 0).any():
            mine = labels.image_ids[0] if len(labels) else "none"
            raise InvalidPredictions(
                f"{self.path}: none of its {len(ids)} image ids stands in dataset "
                f"'{self.info.name}' (the first is '{ids[0]}', "
                f"the dataset's is '{mine}').",
                remedy=f"Write the dataset's own {ID} in each row.",
            )
        twice = np.bincount(position[position >= 0], minlength=1) > 1
        if twice.any():
            raise InvalidPredictions(
                f"{self.path}: image '{labels.image_ids[int(twice.argmax())]}' is predicted in two "
                "rows.",
                remedy="Write one row an image; average several models' predictions first.",
            )


def _chunks(rows: pa.Table) -> list[pa.Array]:
    chunks: list[pa.Array] = rows.column(ID).chunks
    return chunks


def _size(labels: LabelSide, position: int) -> tuple[int, int] | None:
    """(height, width) of an image; None where the dataset does not say."""
    width, height = labels.size_N2[position].tolist()
    return (int(height), int(width)) if width > 0 and height > 0 else None
