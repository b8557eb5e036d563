"""Predictions as the pixels of a map: what a program reads that wants labels, not probabilities.

C categories, h rows, W pixels. A map is stored like a label of the same task in a dataset, except
that boundary and saliency keep their probability: 255 is 1. Values of a `tiff32` task stay float32
in a `.npy` file.
"""

import dataclasses
import io
from typing import BinaryIO

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Kind, Task
from goldseam.prediction.png import PngWriter

LARGEST = 65535


@dataclasses.dataclass(frozen=True)
class MapFormat:
    """How a task's map is stored.

    Attributes:
        suffix: of its file.
        depth: bits a channel of a PNG.
        color: whether the PNG has three channels.
        meaning: how to read a pixel, in words.
    """

    suffix: str
    depth: int
    color: bool
    meaning: str


def map_format(task: Task) -> MapFormat:
    """The format of a dense task's map."""
    if task.kind is Kind.SEGMENTATION:
        largest = max(task.ignore, len(task.categories) - 1)
        return MapFormat(".png", 16 if largest > 255 else 8, False, "category id")
    if task.kind is Kind.NORMALS:
        return MapFormat(".png", 16, True, "component = (code - 32768) / 32767")
    if task.kind is Kind.REGRESSION:
        if task.encoding == "tiff32":
            return MapFormat(".npy", 32, False, f"value in {task.unit}")
        return MapFormat(
            ".png", 16, False, f"value in {task.unit} = code * {task.scale:g} + {task.offset:g}"
        )
    return MapFormat(".png", 8, False, "probability = code / 255")


def map_rows(task: Task, rows: Array) -> Array:
    """Predictions of some rows as pixels of the task's map.

    Args:
        task: what they mean.
        rows: as `predictor.Strip.dense` holds them.

    Returns:
        `h W`, or `h W 3` of normals. A value beyond the codes of a `png16` task takes the nearest
        code that is a value.
    """
    if task.kind is Kind.SEGMENTATION:
        ids_hW: Array = rows.argmax(axis=0)
        return ids_hW.astype(np.uint16 if map_format(task).depth == 16 else np.uint8)
    if task.kind is Kind.NORMALS:
        code_hW3: Array = np.rint(np.moveaxis(rows, 0, 2) * 32767 + 32768)
        return code_hW3.clip(1, LARGEST).astype(np.uint16)
    if task.kind is Kind.REGRESSION:
        if task.encoding == "tiff32":
            return rows.astype(np.float32)
        return _codes(task, rows)
    gray_hW: Array = np.rint(rows.clip(0, 1) * 255)
    return gray_hW.astype(np.uint8)


def _codes(task: Task, value_hW: Array) -> Array:
    """The code of each value, never the one that says that there is none."""
    exact_hW = (value_hW.astype(np.float64) - task.offset) / task.scale
    code_hW = np.rint(exact_hW).clip(0, LARGEST)
    reserved_hW = code_hW == task.invalid
    step_hW = np.where(exact_hW >= code_hW, 1, -1)
    step_hW = np.where(task.invalid == 0, 1, np.where(task.invalid == LARGEST, -1, step_hW))
    return np.where(reserved_hW, code_hW + step_hW, code_hW).astype(np.uint16)


class MapWriter:
    """Writes one map from strips, from top to bottom.

    Args:
        stream: to write to; is not closed.
        task: what is predicted.
        size: (height, width) px.
    """

    def __init__(self, stream: BinaryIO, task: Task, size: tuple[int, int]) -> None:
        form = map_format(task)
        self._stream, self._task = stream, task
        self._png: PngWriter | None = None
        if form.suffix == ".npy":
            np.lib.format.write_array_header_1_0(
                stream, {"descr": "<f4", "fortran_order": False, "shape": size}
            )
        else:
            self._png = PngWriter(stream, size[1], size[0], depth=form.depth, color=form.color)

    def write(self, rows: Array) -> None:
        """Append predictions of the next rows."""
        pixels = map_rows(self._task, rows)
        if self._png is not None:
            self._png.write(pixels)
        else:
            self._stream.write(np.ascontiguousarray(pixels, "<f4").tobytes())

    def close(self) -> None:
        """End the map; all rows must have been written."""
        if self._png is not None:
            self._png.close()


def encode_map(task: Task, prediction: Array) -> bytes:
    """A whole prediction as the bytes of its map.

    Args:
        task: what it means.
        prediction: as `predictor.Strip.dense` holds it.
    """
    stream = io.BytesIO()
    writer = MapWriter(stream, task, (prediction.shape[-2], prediction.shape[-1]))
    writer.write(prediction)
    writer.close()
    return stream.getvalue()
