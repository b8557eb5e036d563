"""Item photos from the files of Fashion-MNIST, such as Debian's package dataset-fashion-mnist.

The files are idx: a magic number, the lengths of the axes (big-endian), then bytes.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from goldseam.dataset.examples.closet.categories import CATEGORIES
from goldseam.dataset.examples.closet.photos import (
    ITEMS_EACH,
    PX,
    Array,
    Library,
    assemble,
    into_closets,
    read_library,
)
from goldseam.errors import MissingInput

PARTS = ("train", "t10k")
BYTES = 8  # the idx code of unsigned bytes
VALIDATION_SHARE = 0.1
INSTALL = (
    "Name the folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz; Debian's package "
    "dataset-fashion-mnist puts it at /usr/share/datasets/fashion-mnist."
)


def read_idx(path: Path, axes: int) -> Array:
    """Read a gzipped idx file of bytes.

    Args:
        path: of the file.
        axes: how many it should have.

    Returns:
        uint8 array of that many axes.

    Raises:
        MissingInput: the file is not there, is damaged, or holds something else.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except OSError as error:
        why = error.strerror or str(error)
        raise MissingInput(path, f"cannot be read ({why})", INSTALL) from error
    except (EOFError, zlib.error) as error:
        raise MissingInput(path, f"is damaged ({error})", INSTALL) from error
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, BYTES, axes]):
        raise MissingInput(path, f"is no idx file of bytes with {axes} axes", INSTALL)
    shape = tuple(np.frombuffer(content, ">u4", count=axes, offset=4).tolist())
    if len(content) - start != math.prod(shape):
        found = f"{len(content) - start:,} bytes instead of {math.prod(shape):,}"
        raise MissingInput(path, f"is damaged: {found} of content", INSTALL)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_part(folder: Path, part: str) -> tuple[Array, Array]:
    """Photos NHW and their categories N of one part, `train` or `t10k`.

    Raises:
        MissingInput: a file is not there, or the two do not belong together.
    """
    images, labels = (folder / f"{part}-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    photo_NHW, category_N = read_idx(images, 3), read_idx(labels, 1)
    if photo_NHW.shape != (len(category_N), PX, PX):
        found = " x ".join(map(str, photo_NHW.shape))
        expected = f"{len(category_N)} x {PX} x {PX}, a photo for each label"
        raise MissingInput(images, f"holds {found} pixels, expected {expected}", INSTALL)
    if category_N.max(initial=0) >= len(CATEGORIES):
        row = int(np.argmax(category_N >= len(CATEGORIES)))
        found = f"row {row} has the label {category_N[row]}"
        raise MissingInput(labels, f"{found}, expected 0 to {len(CATEGORIES) - 1}", INSTALL)
    return photo_NHW, category_N


def read_photos(folder: Path) -> Library:
    """All photos of a folder: t10k is for the test, a tenth of train for validation.

    Backgrounds are those that come with goldseam.

    Raises:
        MissingInput: a file is missing or damaged, or has too few photos of a category.
    """
    closets = {}
    for part, fewest in zip(PARTS, (2, 1), strict=True):
        closets[part] = into_closets(*read_part(folder, part))
        if len(closets[part]) < fewest:
            raise MissingInput(
                folder / f"{part}-images-idx3-ubyte.gz",
                f"has fewer than {fewest * ITEMS_EACH} usable photos of a category",
                INSTALL,
            )
    whole = closets["train"]
    first = len(whole) - max(1, round(VALIDATION_SHARE * len(whole)))
    shipped = read_library().wardrobes
    return assemble(
        {"train": whole[:first], "validation": whole[first:], "test": closets["t10k"]},
        [*shipped["train"].backgrounds, *shipped["test"].backgrounds],
    )
