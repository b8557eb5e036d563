"""Labels between their cell in a Parquet row and the array a program works with.

Arrays: segmentation, boundary, saliency `uint8 | uint16 HW`; regression `float32 HW`, NaN where
invalid; normals `float32 3HW`, NaN where invalid; detection `Boxes`; tags `int8 C` with
1 present, 0 absent, -1 unknown; caption `str`. A cell of None is an unknown label and stays None.
"""

import dataclasses
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from goldseam.dataset.schema import Kind, Task

Array = npt.NDArray[Any]
PRESENT, ABSENT, UNKNOWN = 1, 0, -1


@dataclasses.dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one image.

    Attributes:
        category_N: int32 ids.
        corners_N4: float32 (xmin, ymin, xmax, ymax) in px; pixel i covers [i, i + 1).
        ignore_N: bool; True for boxes that count for nothing (cut by the edge, crowd).
    """

    category_N: Array
    corners_N4: Array
    ignore_N: Array

    def __len__(self) -> int:
        return len(self.category_N)

    @classmethod
    def empty(cls) -> "Boxes":
        """Somebody looked and found none."""
        return cls(np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros(0, bool))


class BadCell(ValueError):
    """A cell that does not hold what its task declares; the reader adds file, row and column."""


def encode_png(array: Array) -> bytes:
    """An array `HW` (uint8, uint16) or `HW3` (uint8) as PNG with fixed settings: equal bytes each time."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=6, optimize=False)
    return stream.getvalue()


def decode_picture(content: bytes) -> Array:
    """The pixels of an encoded picture.

    Raises:
        BadCell: the bytes are truncated or no picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadCell(f"the picture cannot be decoded ({error})") from error


def picture_size(content: bytes) -> tuple[int, int]:
    """(width, height) in px from the header alone."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadCell(f"the picture cannot be read ({error})") from error


def encode_image(image: Array | bytes) -> dict[str, Any]:
    """The `image` cell: encoded bytes pass as they are, an array `HW3` uint8 becomes PNG."""
    content = image if isinstance(image, bytes) else encode_png(image)
    return {"bytes": content, "path": None}


def encode_label(task: Task, label: Any) -> Any:
    """The cell of a label; None, the unknown label, stays None."""
    if label is None:
        return None
    if task.kind is Kind.CAPTION:
        return str(label)
    if task.kind is Kind.TAGS:
        state_C = np.asarray(label)
        return {
            "present": np.flatnonzero(state_C == PRESENT).tolist(),
            "absent": np.flatnonzero(state_C == ABSENT).tolist(),
        }
    if task.kind is Kind.DETECTION:
        return [
            {
                "category": int(category),
                "xmin": float(x0),
                "ymin": float(y0),
                "xmax": float(x1),
                "ymax": float(y1),
                "ignore": bool(ignore),
            }
            for category, (x0, y0, x1, y1), ignore in zip(
                label.category_N, label.corners_N4, label.ignore_N, strict=True
            )
        ]
    if task.kind is Kind.REGRESSION:
        return {"bytes": _encode_regression(task, np.asarray(label, np.float32)), "path": None}
    if task.kind is Kind.NORMALS:
        return {"bytes": _encode_normals(np.asarray(label, np.float32)), "path": None}
    return {"bytes": encode_png(np.asarray(label)), "path": None}


def _encode_regression(task: Task, value_HW: Array) -> bytes:
    known_HW = np.isfinite(value_HW)
    if task.encoding == "tiff32":
        stream = io.BytesIO()
        stored = np.where(known_HW, value_HW, np.float32(task.invalid)).astype(np.float32)
        Image.fromarray(stored).save(stream, format="TIFF")
        return stream.getvalue()
    code_HW = np.rint((np.where(known_HW, value_HW, task.offset) - task.offset) / task.scale)
    outside = known_HW & ((code_HW < 0) | (code_HW > 65535) | (code_HW == task.invalid))
    if outside.any():
        value = float(value_HW[outside][0])
        raise BadCell(f"value {value} {task.unit} has no code with scale {task.scale} and offset {task.offset}")
    return encode_png(np.where(known_HW, code_HW, task.invalid).astype(np.uint16))


def _encode_normals(normal_3HW: Array) -> bytes:
    import cv2  # Pillow has no 16-bit color

    known_HW = np.isfinite(normal_3HW).all(axis=0)
    code_3HW = np.rint(np.where(known_HW, normal_3HW, 0) * 32767 + 32768)
    code_3HW = np.where(known_HW, code_3HW, 0).astype(np.uint16)
    bgr_HW3 = np.ascontiguousarray(np.moveaxis(code_3HW, 0, 2)[:, :, ::-1])
    return bytes(cv2.imencode(".png", bgr_HW3)[1].tobytes())


def decode_label(task: Task, cell: Any) -> Any:
    """The array of a cell; None, the unknown label, stays None.

    Raises:
        BadCell: the cell does not hold what the task declares.
    """
    if cell is None:
        return None
    if task.kind is Kind.CAPTION:
        return cell
    if task.kind is Kind.TAGS:
        state_C = np.full(len(task.categories), UNKNOWN, np.int8)
        state_C[cell["present"]] = PRESENT
        state_C[cell["absent"]] = ABSENT
        return state_C
    if task.kind is Kind.DETECTION:
        if not cell:
            return Boxes.empty()
        return Boxes(
            np.array([box["category"] for box in cell], np.int32),
            np.array([[box[k] for k in ("xmin", "ymin", "xmax", "ymax")] for box in cell], np.float32),
            np.array([box["ignore"] for box in cell], bool),
        )
    if task.kind is Kind.NORMALS:
        return _decode_normals(cell["bytes"])
    array = decode_picture(cell["bytes"])
    if array.ndim != 2:
        raise BadCell(f"the label has {array.shape[2]} channels, expected 1")
    if task.kind is Kind.REGRESSION:
        return _decode_regression(task, array)
    return array.astype(np.uint16 if array.dtype.itemsize > 1 else np.uint8, copy=False)


def _decode_regression(task: Task, stored_HW: Array) -> Array:
    value_HW = stored_HW.astype(np.float32)
    invalid_HW = stored_HW == task.invalid
    if task.encoding == "png16":
        value_HW = value_HW * np.float32(task.scale) + np.float32(task.offset)
    elif not np.isfinite(value_HW[~invalid_HW]).all():
        raise BadCell("a value is NaN or infinite, and the task's invalid value is another")
    value_HW[invalid_HW] = np.nan
    return value_HW


def _decode_normals(content: bytes) -> Array:
    import cv2

    bgr_HW3 = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr_HW3 is None:
        raise BadCell("the picture cannot be decoded")
    if bgr_HW3.ndim != 3 or bgr_HW3.dtype != np.uint16:
        raise BadCell("normals need a 3-channel 16-bit PNG")
    code_3HW = np.moveaxis(bgr_HW3[:, :, ::-1], 2, 0)
    normal_3HW = (code_3HW.astype(np.float32) - 32768) / 32767
    normal_3HW[:, (code_3HW == 0).all(axis=0)] = np.nan
    return normal_3HW
