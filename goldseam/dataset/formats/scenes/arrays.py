"""Arrays of published files, and what their pixels mean as labels.

Shapes: H, W pixels; the published files put channels last (HW3), the dataset first (3HW).
"""

from pathlib import Path
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array, BadCell, decode_image, decode_picture
from goldseam.dataset.formats.scenes.layout import NOTHING_KNOWN, FaultyFile, Unknown
from goldseam.errors import MissingInput

IGNORE = 255
# between these lengths a vector is a direction that was rounded or resampled; others are none
SHORTEST, LONGEST = 0.5, 1.5
# images were resampled before they were stored: values may miss [0, 1] by rounding
SLACK = 1e-3


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        MissingInput: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingInput(
            path,
            f"cannot be read ({error.strerror})",
            "Name the folder in which the published archive was unpacked.",
        ) from error


def read_npy(path: Path) -> Array:
    """The array of an `.npy`; one that needs pickle is refused.

    Raises:
        FaultyFile: it holds no array of numbers, or is cut off.
    """
    try:
        found: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, OverflowError, MemoryError, OSError) as error:
        raise FaultyFile(
            path, f"no array can be read ({error})", "what numpy.save writes"
        ) from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
        kind = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
        raise FaultyFile(path, f"it holds {kind}", "an array of numbers")
    return found


def read_png(path: Path) -> Array:
    """The stored pixels of a PNG; a palette gives its indices.

    Raises:
        FaultyFile: it is no picture.
    """
    try:
        return decode_picture(read_bytes(path))
    except BadCell as error:
        raise FaultyFile(path, error.found, error.expected) from error


def read_photo(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The bytes of an encoded image, and its width and height.

    Raises:
        MissingInput: it is not there.
        FaultyFile: it cannot be decoded.
    """
    content = read_bytes(path)
    try:
        # the header alone would let a picture pass that was cut off
        height, width = decode_image(content).shape[:2]
    except BadCell as error:
        raise FaultyFile(path, error.found, error.expected) from error
    return content, (width, height)


def image_of_floats(path: Path, value_HW3: Array) -> Array:
    """An image with values of 0 to 1 as `uint8 HW3`; one of 8 bits passes as it is.

    Raises:
        FaultyFile: another shape or range.
    """
    if value_HW3.ndim != 3 or value_HW3.shape[2] != 3 or not value_HW3.size:
        raise FaultyFile(path, f"an array of shape {value_HW3.shape}", "height x width x 3")
    if value_HW3.dtype == np.uint8:
        return value_HW3
    low, high = float(value_HW3.min()), float(value_HW3.max())
    # NaN compares false
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise FaultyFile(path, f"values of {low:g} to {high:g}", "an image with values of 0 to 1")
    image_HW3: Array = np.rint(value_HW3.clip(0, 1) * 255).astype(np.uint8)
    return image_HW3


def plane(path: Path, array: Array, size: tuple[int, int]) -> Array:
    """An array `HW` or `HW1` as `HW`.

    Raises:
        FaultyFile: it is not of the image's size.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.shape != size[::-1]:
        raise FaultyFile(
            path,
            f"an array of shape {array.shape}",
            f"{size[1]} x {size[0]} (height x width), as its image",
        )
    return array


def category_ids(path: Path, value_HW: Array, count: int) -> Array | Unknown:
    """Category ids as `uint8 HW`; -1 and 255 are ignored pixels.

    Raises:
        FaultyFile: a value is no id.
    """
    ignored_HW = (value_HW == -1) | (value_HW == IGNORE)
    # what is ignored may be anything; NaN compares false
    valid_HW = (value_HW >= 0) & (value_HW < count) & (value_HW == np.floor(value_HW))
    wrong_HW = ~(valid_HW | ignored_HW)
    if wrong_HW.any():
        found = ", ".join(f"{value:g}" for value in np.unique(value_HW[wrong_HW])[:5])
        raise FaultyFile(
            path,
            f"pixels of value {found} ({wrong_HW.sum():,} of {value_HW.size:,})",
            f"ids of 0 to {count - 1}, or -1 or {IGNORE} for ignored",
        )
    if ignored_HW.all():
        return Unknown(NOTHING_KNOWN)
    return np.where(ignored_HW, IGNORE, value_HW).astype(np.uint8)


def distances(path: Path, value_HW: Array, largest: float) -> Array | Unknown:
    """Depth as `float32 HW`, NaN where there is none; 0 and NaN mean none in the file.

    Args:
        path: for messages.
        value_HW: as stored.
        largest: that the dataset's encoding can hold.

    Raises:
        FaultyFile: a negative, infinite or too large value.
    """
    value_HW = value_HW.astype(np.float32)
    none_HW = np.isnan(value_HW) | (value_HW == 0)
    wrong_HW = ~none_HW & ~((value_HW > 0) & (value_HW <= largest))
    if wrong_HW.any():
        found = f"{float(value_HW[wrong_HW][0]):g}"
        raise FaultyFile(
            path,
            f"pixels of value {found} ({wrong_HW.sum():,} of {value_HW.size:,})",
            f"values of 0 (unknown) to {largest:g}",
        )
    if none_HW.all():
        return Unknown(NOTHING_KNOWN)
    value_HW[none_HW] = np.nan
    return value_HW


def directions(path: Path, vector_HW3: Array, size: tuple[int, int]) -> Array | Unknown:
    """Surface normals as unit vectors `float32 3HW`, NaN where there is none.

    The zero vector means none in the file. Files were rounded and resampled, so a vector of length
    0.5 to 1.5 is taken for the direction it points in, and any other is none.

    Raises:
        FaultyFile: another shape, or most vectors are of another length.
    """
    if vector_HW3.shape != (*size[::-1], 3):
        raise FaultyFile(
            path,
            f"an array of shape {vector_HW3.shape}",
            f"{size[1]} x {size[0]} x 3 (height x width x 3), as its image",
        )
    vector_3HW = np.moveaxis(vector_HW3.astype(np.float32), 2, 0)
    # vectors far outside of float32's range are none anyway
    with np.errstate(over="ignore", invalid="ignore"):
        length_HW = np.sqrt((vector_3HW**2).sum(axis=0))
        valid_HW = (length_HW >= SHORTEST) & (length_HW <= LONGEST)
        long_HW = ~np.isnan(length_HW) & (length_HW > LONGEST)
        if long_HW.sum() > valid_HW.sum():
            raise FaultyFile(
                path,
                f"vectors of length {float(length_HW[long_HW][0]):g} ({long_HW.sum():,} of "
                f"{long_HW.size:,})",
                "unit vectors, or zero where there is none",
            )
        if not valid_HW.any():
            return Unknown(NOTHING_KNOWN)
        normal_3HW: Array = np.where(valid_HW, vector_3HW / length_HW, np.nan).astype(np.float32)
    return normal_3HW


def fitted(path: Path, array: Array, size: tuple[int, int]) -> Array:
    """A label map resampled to its image by the nearest pixel, where both have the same shape.

    Args:
        path: for messages.
        array: `HW` or `HW3`.
        size: width and height of the image, px.

    Raises:
        FaultyFile: the map's sides are not in the image's proportion: it belongs to another one.
    """
    height, width = array.shape[:2]
    if (width, height) == size:
        return array
    if abs(width * size[1] - height * size[0]) > 0.01 * width * size[1]:
        raise FaultyFile(
            path, f"a map of {width} x {height} px", f"{size[0]} x {size[1]} px, as its image"
        )
    rows_H = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(np.int64)
    columns_W = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(np.int64)
    resampled: Array = array[rows_H[:, None], columns_W[None, :]]
    return resampled
