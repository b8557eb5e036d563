"""The pictures to predict: files, folders of files, and the images of a dataset folder.

A picture is decoded as a dataset reads it (`codecs.decode_image`): gray is repeated, a palette
looked up, alpha dropped, and of 16 bits a channel the upper 8 are kept, so that 65535 is white.
Rotation tags of cameras are not applied: a prediction lies on the pixels as they are stored.
"""

import contextlib
import dataclasses
import functools
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from goldseam.dataset.codecs import (
    PICTURE_FORMATS,
    UNDECODABLE,
    Array,
    BadCell,
    decode_image,
    decode_picture,
    stored_picture,
)
from goldseam.dataset.reading import Dataset, open_dataset, open_shard
from goldseam.dataset.schema import DATASET_FILE
from goldseam.errors import GoldseamError, MissingInput

# Pillow's limit is one for the whole process, and a server decodes in threads
LIMIT = threading.Lock()
# bytes of a name, which a file system takes 255 of with suffixes and a number
LONGEST_NAME = 150
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
ROWS_AT_ONCE = 64


class InvalidImage(GoldseamError):
    """A picture cannot be decoded; names it."""

    def __init__(self, place: str, fault: BadCell) -> None:
        super().__init__(
            f"{place}: {fault}.",
            remedy=f"{fault.remedy} --skip-faulty leaves such pictures out and names them.",
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """One picture to predict.

    Attributes:
        name: file name of its predictions, without suffix; unique in a run.
        place: where it comes from, for people.
        read: gives the encoded bytes, or None where a dataset does not store the picture.
    """

    name: str
    place: str
    read: Callable[[], bytes | None]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """All pictures of a run; iterating gives each `Source` once, in order.

    Attributes:
        files: (file, name it should have) of pictures.
        datasets: opened datasets with the splits to take.
    """

    files: tuple[tuple[Path, str], ...]
    datasets: tuple[tuple[Dataset, tuple[str, ...]], ...]

    def __len__(self) -> int:
        rows = sum(dataset.info.rows(s) for dataset, splits in self.datasets for s in splits)
        return len(self.files) + rows

    def __iter__(self) -> Iterator[Source]:
        taken: set[str] = set()
        for file, name in self.files:
            yield Source(_unique(name, taken), str(file), functools.partial(_read_file, file))
        for dataset, splits in self.datasets:
            for split in splits:
                for image_id, where, content in _rows(dataset, split):
                    name = _unique(image_id, taken)
                    yield Source(name, where, _given(content))


def find_inputs(paths: Sequence[Path], *, split: str = "") -> Inputs:
    """Find the pictures that a user named.

    Args:
        paths: files, folders that hold pictures at any depth, and dataset folders.
        split: of dataset folders; empty takes all of their splits.

    Raises:
        MissingInput: a path is not there, or a folder holds no picture.
        InvalidDataset: a dataset folder has no such split.
    """
    files: list[tuple[Path, str]] = []
    datasets: list[tuple[Dataset, tuple[str, ...]]] = []
    for path in paths:
        if (path / DATASET_FILE).is_file():
            dataset = open_dataset(path, verify=False)
            splits = (split,) if split else dataset.info.splits
            for wanted in splits:
                dataset.shards(wanted)
            datasets.append((dataset, splits))
        elif path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not found:
                raise MissingInput(
                    path,
                    "is a folder without a picture",
                    "Name pictures (PNG, JPEG, TIFF), a folder of them, or a dataset folder.",
                )
            files += [(file, file.relative_to(path).with_suffix("").as_posix()) for file in found]
        elif path.exists():
            files.append((path, path.stem))
        else:
            raise MissingInput(path, "is not there", "Check the path.")
    return Inputs(tuple(files), tuple(datasets))


def _unique(name: str, taken: set[str]) -> str:
    """A legal file name that no other picture of the run has, also where case does not count."""
    legal = re.sub(r"[^\w.+-]", "_", name).lstrip(".")
    plain = legal.encode()[:LONGEST_NAME].decode(errors="ignore") or "image"
    chosen, number = plain, 1
    while chosen.lower() in taken:
        number += 1
        chosen = f"{plain}-{number}"
    taken.add(chosen.lower())
    return chosen


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MissingInput(file, f"cannot be read ({error.strerror})") from error


def _given(content: bytes | None) -> Callable[[], bytes | None]:
    return lambda: content


def _rows(dataset: Dataset, split: str) -> Iterator[tuple[str, str, bytes | None]]:
    """(image id, place, encoded picture) of every row of a split."""
    for shard in dataset.shards(split):
        with open_shard(dataset.path / shard.file) as parquet:
            batches = parquet.iter_batches(ROWS_AT_ONCE, columns=["image_id", "image"])
            for batch in batches:
                for row in batch.to_pylist():
                    place = f"{dataset.path / shard.file}, image '{row['image_id']}'"
                    yield row["image_id"], place, stored_picture(row["image"])


def read_image(source: Source, *, max_megapixels: int = 500) -> Array:
    """The pixels of a picture, `uint8 HW3`.

    Raises:
        InvalidImage: it cannot be decoded, is too large, or is not stored in its dataset.
        MissingInput: the file cannot be read.
    """
    content = source.read()
    try:
        if content is None:
            raise BadCell(
                "the dataset does not store this picture",
                "a stored picture",
                "Import the dataset again with --images.",
            )
        return decode_pixels(content, max_megapixels=max_megapixels)
    except BadCell as fault:
        raise InvalidImage(source.place, fault) from fault


def decode_pixels(content: bytes, *, max_megapixels: int = 500) -> Array:
    """An encoded PNG, JPEG or TIFF as `uint8 HW3`.

    Raises:
        BadCell: the bytes are no such picture, hold floating-point pixels, or are too many pixels.
    """
    with _largest(max_megapixels * 1_000_000):
        if _is_deep_gray(content):
            # colors of 16 bits are cut to their upper byte by Pillow itself
            gray_HW = (decode_picture(content) >> 8).astype(np.uint8)
            return np.repeat(gray_HW[:, :, None], 3, axis=2)
        return decode_image(content)


def _is_deep_gray(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            return picture.mode.startswith("I;16")
    except UNDECODABLE:
        return False  # the decoder after this one says what is wrong


@contextlib.contextmanager
def _largest(pixels: int) -> Iterator[None]:
    """Let Pillow unpack up to so many pixels; by itself it refuses a scan of 180 million."""
    with LIMIT, warnings.catch_warnings():
        before = Image.MAX_IMAGE_PIXELS
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # it warns above its limit and refuses above twice the limit
        Image.MAX_IMAGE_PIXELS = -(-pixels // 2)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
