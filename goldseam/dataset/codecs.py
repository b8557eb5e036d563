"""Labels between their cell in a Parquet row and the array a program works with.

Arrays: segmentation, boundary, saliency `uint8 | uint16 HW`; regression `float32 HW`, NaN where
invalid; normals `float32 3HW`, NaN where invalid; detection `Boxes`; tags `int8 C` with
1 present, 0 absent, -1 unknown, and -2 unsure for those who ask; caption `str`. A cell of None is
an unknown label and stays None.
"""

import contextlib
import dataclasses
import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from goldseam.dataset.schema import Kind, Task

Array = npt.NDArray[Any]
PRESENT, ABSENT, UNKNOWN = 1, 0, -1
# somebody looked and was not sure: unknown to all that do not ask for it
UNSURE = -2
# what the lists of a cell of tags say of the categories in them
STATE_OF = {"present": PRESENT, "absent": ABSENT, "unsure": UNSURE}
# Pillow opens far more than the format allows, some of it by starting other programs
PICTURE_FORMATS = ("PNG", "JPEG", "TIFF")
MEND_PICTURE = "Encode the picture again from its source."
UNDECODABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
)


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
    """A cell that does not hold what its task declares; the reader adds file, row and column.

    Attributes:
        found: what stands there.
        expected: what should.
        remedy: what to do.
    """

    def __init__(
        self,
        found: str,
        expected: str,
        remedy: str = "Mend the label, or leave it out: unknown is null.",
    ) -> None:
        super().__init__(f"{found}, expected {expected}")
        self.found = found
        self.expected = expected
        self.remedy = remedy


def encode_png(array: Array) -> bytes:
    """An array `HW` (uint8, uint16) or `HW3` (uint8) as PNG; equal arrays give equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=6, optimize=False)
    return stream.getvalue()


@contextlib.contextmanager
def _opened(
    content: bytes | None, formats: tuple[str, ...] = PICTURE_FORMATS
) -> Iterator[Image.Image]:
    if not content:
        raise BadCell("no bytes", "a whole PNG, JPEG or TIFF", MEND_PICTURE)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as picture:
            yield picture
    except BadCell:
        raise
    except UNDECODABLE as error:
        # the message of an unidentified picture only names a place in memory
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise BadCell(
            f"bytes that cannot be decoded{why}", "a whole PNG, JPEG or TIFF", MEND_PICTURE
        ) from error


def decode_picture(content: bytes | None) -> Array:
    """The pixels of an encoded picture as they are stored (a palette PNG gives its indices).

    Raises:
        BadCell: the bytes are missing, truncated or no picture.
    """
    with _opened(content) as picture:
        picture.load()
        return np.asarray(picture)


def decode_image(content: bytes | None) -> Array:
    """An encoded image as `uint8 HW3`; gray is repeated, a palette looked up, alpha dropped.

    Raises:
        BadCell: the bytes are missing, truncated, no picture, or of more than 8 bits a channel.
    """
    with _opened(content) as picture:
        if picture.mode.startswith(("I", "F")):
            raise BadCell(f"an image of mode {picture.mode}", "8 bits a channel", MEND_PICTURE)
        picture.load()
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def picture_size(content: bytes | None) -> tuple[int, int]:
    """(width, height) in px from the header alone.

    Raises:
        BadCell: the bytes are missing or no picture.
    """
    with _opened(content) as picture:
        return picture.size


def encode_image(image: Array | bytes | None) -> dict[str, Any] | None:
    """The `image` cell: encoded bytes pass as they are, an array `HW3` uint8 becomes PNG.

    None, a picture that is not stored, stays None.
    """
    if image is None:
        return None
    if not isinstance(image, bytes):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            found = f"an array of {image.dtype} and shape {image.shape}"
            raise BadCell(found, "uint8 HW3", "Give 8-bit RGB, or the bytes of an encoded picture.")
        image = encode_png(image)
    return {"bytes": image, "path": None}


def stored_picture(cell: dict[str, Any] | None) -> bytes | None:
    """The encoded picture of an `image` cell; None where the dataset does not store it."""
    content: bytes | None = None if cell is None else cell["bytes"]
    return content


def encode_label(task: Task, label: Any) -> Any:
    """The cell of a label; None, the unknown label, stays None.

    Raises:
        BadCell: the label has no cell in this task's encoding. Whether it fits its image and
            vocabulary is asked by `faults.label_faults`.
    """
    if label is None:
        return None
    if task.kind is Kind.CAPTION:
        return str(label)
    if task.kind is Kind.TAGS:
        state_C = np.asarray(label)
        return {
            part.name: np.flatnonzero(state_C == STATE_OF[part.name]).tolist()
            for part in task.column
        }
    if task.kind is Kind.DETECTION:
        return _box_cells(label)
    if task.kind is Kind.REGRESSION:
        content = _encode_regression(task, np.asarray(label, np.float32))
    elif task.kind is Kind.NORMALS:
        content = _encode_normals(np.asarray(label, np.float32))
    else:
        content = _encode_ids(task, np.asarray(label))
    return {"bytes": content, "path": None}


def encode_tags(task: Task, state_NC: Array) -> pa.StructArray:
    """The cells of many images' tags at once; an image of which no tag is known has null.

    Args:
        task: of tags; an image of which somebody was only unsure is not null where it says so.
        state_NC: 1 present, 0 absent, -1 unknown, -2 unsure.
    """
    lists = []
    parts = list(task.column)
    for part in parts:
        state = STATE_OF[part.name]
        here_NC = state_NC == state
        offsets = np.concatenate([[0], here_NC.sum(axis=1).cumsum()]).astype(np.int32)
        lists.append(pa.ListArray.from_arrays(offsets, np.nonzero(here_NC)[1].astype(np.int64)))
    listed = [STATE_OF[part.name] for part in parts]
    unknown_N = ~np.isin(state_NC, listed).any(axis=1)
    return pa.StructArray.from_arrays(lists, fields=parts, mask=pa.array(unknown_N))


def _box_cells(boxes: Boxes) -> list[dict[str, Any]]:
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
            boxes.category_N, boxes.corners_N4, boxes.ignore_N, strict=True
        )
    ]


def _encode_ids(task: Task, ids_HW: Array) -> bytes:
    if ids_HW.dtype.kind not in "bui":
        raise BadCell(f"an array of {ids_HW.dtype}", "integer ids")
    largest = max(task.ignore, len(task.categories) - 1)
    dtype = np.uint16 if largest > 255 else np.uint8
    # a larger or negative id would turn into another one
    if ids_HW.size and (ids_HW.min() < 0 or ids_HW.max() > np.iinfo(dtype).max):
        raise BadCell(f"ids {ids_HW.min()} to {ids_HW.max()}", f"ids of 0 to {np.iinfo(dtype).max}")
    return encode_png(ids_HW.astype(dtype))


def _encode_regression(task: Task, value_HW: Array) -> bytes:
    if np.isinf(value_HW).any():
        raise BadCell("an infinite value", "a number, or NaN where there is none")
    known_HW = ~np.isnan(value_HW)
    if task.encoding == "tiff32":
        if (value_HW[known_HW] == np.float32(task.invalid)).any():
            raise BadCell(
                f"the value {task.invalid} {task.unit}", "any but the task's invalid value"
            )
        stream = io.BytesIO()
        stored = np.where(known_HW, value_HW, np.float32(task.invalid)).astype(np.float32)
        Image.fromarray(stored).save(stream, format="TIFF")
        return stream.getvalue()
    code_HW = np.rint((np.where(known_HW, value_HW, task.offset) - task.offset) / task.scale)
    outside = known_HW & ((code_HW < 0) | (code_HW > 65535) | (code_HW == task.invalid))
    if outside.any():
        raise BadCell(
            f"the value {float(value_HW[outside][0])} {task.unit}",
            f"a value that has a code with scale {task.scale}, offset {task.offset} "
            f"and invalid code {task.invalid:g}",
        )
    return encode_png(np.where(known_HW, code_HW, task.invalid).astype(np.uint16))


def _encode_normals(normal_3HW: Array) -> bytes:
    import cv2  # Pillow has no 16-bit color

    known_HW = np.isfinite(normal_3HW).all(axis=0)
    code_3HW = np.rint(np.where(known_HW, normal_3HW, 0) * 32767 + 32768)
    code_3HW = np.where(known_HW, code_3HW, 0).clip(0, 65535).astype(np.uint16)
    bgr_HW3 = np.ascontiguousarray(np.moveaxis(code_3HW, 0, 2)[:, :, ::-1])
    return bytes(cv2.imencode(".png", bgr_HW3)[1].tobytes())


def decode_label(task: Task, cell: Any, *, unsure: bool = False) -> Any:
    """The array of a cell; None, the unknown label, stays None.

    Args:
        task: whose it is.
        cell: as Arrow gives it.
        unsure: whether tags of which somebody was unsure are -2, and not -1 as all that is unknown.

    Raises:
        BadCell: the cell does not hold what the task declares. Whether the label fits its image
            and vocabulary is asked by `faults.label_faults`.
    """
    if cell is None:
        return None
    if task.kind is Kind.CAPTION:
        return cell
    if task.kind is Kind.TAGS:
        return _decode_tags(task, cell, unsure=unsure)
    if task.kind is Kind.DETECTION:
        return _decode_boxes(cell)
    if task.kind is Kind.NORMALS:
        return _decode_normals(cell["bytes"])
    array = decode_picture(cell["bytes"])
    if array.ndim != 2:
        raise BadCell(f"a picture of {array.shape[2]} channels", "1 channel")
    if task.kind is Kind.REGRESSION:
        return _decode_regression(task, array)
    if array.dtype.kind == "f":
        raise BadCell(f"pixels of {array.dtype}", "integer ids")
    return array.astype(np.uint16 if array.dtype.itemsize > 1 else np.uint8, copy=False)


def _decode_tags(task: Task, cell: dict[str, Any], *, unsure: bool) -> Array:
    count = len(task.categories)
    state_C = np.full(count, UNKNOWN, np.int8)
    parts = [part.name for part in task.column]
    for part in parts:
        ids = cell[part]
        if ids is None:
            raise BadCell(f"null in '{part}'", "a list of category ids")
        if outside := [i for i in ids if i is None or not 0 <= i < count]:
            raise BadCell(f"category ids {outside} in '{part}'", f"ids of 0 to {count - 1}")
        for other in parts[: parts.index(part)]:
            if both := [i for i in ids if state_C[i] == STATE_OF[other]]:
                names = ", ".join(task.categories[i] for i in both)
                raise BadCell(
                    f"{names} both {other} and {part}", "each category in one list at most"
                )
        state_C[ids] = STATE_OF[part]
    if not unsure:
        state_C[state_C == UNSURE] = UNKNOWN
    return state_C


def _decode_boxes(cell: list[Any]) -> Boxes:
    if not cell:
        return Boxes.empty()
    if any(box is None or None in box.values() for box in cell):
        raise BadCell("a null inside a box", "category, corners and ignore of every box")
    corners = ("xmin", "ymin", "xmax", "ymax")
    category_N = np.array([box["category"] for box in cell], np.int64)
    return Boxes(
        # an id beyond int32 stays outside every vocabulary instead of turning into another one
        category_N.clip(-1, np.iinfo(np.int32).max).astype(np.int32),
        np.array([[box[corner] for corner in corners] for box in cell], np.float32),
        np.array([box["ignore"] for box in cell], bool),
    )


def _decode_regression(task: Task, stored_HW: Array) -> Array:
    if (stored_HW.dtype.kind == "f") != (task.encoding == "tiff32"):
        raise BadCell(f"pixels of {stored_HW.dtype}", f"the encoding {task.encoding}")
    value_HW = stored_HW.astype(np.float32)
    if task.encoding == "png16":
        invalid_HW = stored_HW == task.invalid
        value_HW = value_HW * np.float32(task.scale) + np.float32(task.offset)
    else:
        invalid_HW = value_HW == np.float32(task.invalid)
        if np.isnan(task.invalid):
            invalid_HW = np.isnan(value_HW)
        if not np.isfinite(value_HW[~invalid_HW]).all():
            raise BadCell(
                "a value that is NaN or infinite",
                f"numbers, and {task.invalid:g} where there is none",
            )
    value_HW[invalid_HW] = np.nan
    return value_HW


def _decode_normals(content: bytes) -> Array:
    import cv2

    with _opened(content, formats=("PNG",)) as picture:
        # cv2 fills up a truncated picture and says nothing: ask for every chunk's checksum first
        picture.verify()
    try:
        bgr_HW3: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        bgr_HW3 = None
    if bgr_HW3 is None or bgr_HW3.ndim != 3 or bgr_HW3.shape[2] != 3 or bgr_HW3.dtype != np.uint16:
        raise BadCell("a picture of another layout", "a PNG of 3 channels and 16 bits")
    code_3HW = np.moveaxis(bgr_HW3[:, :, ::-1], 2, 0)
    normal_3HW: Array = (code_3HW.astype(np.float32) - 32768) / 32767
    normal_3HW[:, (code_3HW == 0).all(axis=0)] = np.nan
    return normal_3HW
