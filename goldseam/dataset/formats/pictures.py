"""Pictures beside imported labels: copied into the dataset, named by their path, or left out.

A label table becomes row groups here, so that only one group's pictures are in memory at a time.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from goldseam.dataset.codecs import BadCell, picture_size
from goldseam.dataset.schema import PICTURE
from goldseam.dataset.writing import (
    LABELS_PER_GROUP,
    LABELS_PER_SHARD,
    ROWS_PER_GROUP,
    ROWS_PER_SHARD,
)
from goldseam.errors import InvalidDataset, MissingInput

# takes a row group and gives it with more columns filled in
Attach = Callable[[pa.Table], pa.Table]
FILE = "file"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
REMEDY = (
    "Name the folder below which the pictures stand with --images. --skip-missing leaves out "
    "images whose picture is not there."
)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures that belong to imported labels.

    Attributes:
        root: the folder below which their files stand.
        copy: whether their bytes are stored; otherwise only their paths are, from the name of
            `root` on.
    """

    root: Path
    copy: bool

    def attach(self, table: pa.Table) -> pa.Table:
        """Fill in `image`, `width` and `height` from the files that the column `file` names.

        Raises:
            MissingInput: a picture is not there.
            InvalidDataset: a file is no picture, leads out of the folder, or is not of the size
                that the labels were made for.
        """
        cells, sizes = [], []
        names = table.select(["image_id", FILE, "width", "height"]).to_pylist()
        for row in names:
            content = self._read(row["image_id"], row[FILE])
            size = _size(row, content)
            path = PurePosixPath(self.root.resolve().name, row[FILE]).as_posix()
            cells.append({"bytes": content if self.copy else None, "path": path})
            sizes.append(size)
        if self.copy:
            cells = [{**cell, "path": None} for cell in cells]
        table = _set(table, "image", pa.array(cells, PICTURE))
        table = _set(table, "width", pa.array([size[0] for size in sizes], pa.int32()))
        return _set(table, "height", pa.array([size[1] for size in sizes], pa.int32()))

    def holds(self, image_id: str, name: str) -> bool:
        """Whether there is such a file.

        Raises:
            InvalidDataset: it would lead out of the folder.
        """
        return self._file(image_id, name).is_file()

    def _read(self, image_id: str, name: str) -> bytes:
        file = self._file(image_id, name)
        try:
            return file.read_bytes()
        except OSError as error:
            what = f"the picture of image '{image_id}' cannot be read ({error.strerror})"
            raise MissingInput(file, what, REMEDY) from error

    def _file(self, image_id: str, name: str) -> Path:
        path = PurePosixPath(name)
        # labels that somebody sends must not make us read his choice of our files
        if path.is_absolute() or ".." in path.parts:
            raise InvalidDataset(
                f"image '{image_id}': the file '{name}' is not below the folder of the pictures.",
                remedy="Write paths relative to --images, without '..'.",
            )
        file = self.root / path
        if not path.suffix and not file.exists():
            # ids often leave out how their pictures are encoded
            candidates = [file.with_name(file.name + suffix) for suffix in SUFFIXES]
            file = next((candidate for candidate in candidates if candidate.exists()), file)
        return file


def _size(row: dict[str, Any], content: bytes) -> tuple[int, int]:
    try:
        size = picture_size(content)
    except BadCell as error:
        raise InvalidDataset(
            f"image '{row['image_id']}', file '{row[FILE]}': {error}.", remedy=error.remedy
        ) from error
    declared = (row["width"], row["height"])
    if None not in declared and declared != size:
        raise InvalidDataset(
            f"image '{row['image_id']}', file '{row[FILE]}': the picture is of {size[0]} x "
            f"{size[1]} px, its labels were made for {declared[0]} x {declared[1]} px.",
            remedy="Give the pictures that the labels were made on.",
        )
    return size


def _set(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def row_groups(
    table: pa.Table, attachments: list[Attach], *, pictures: bool
) -> Iterator[Iterator[pa.Table]]:
    """A label table as shards of row groups, as `writing.write_tables` takes them.

    Args:
        table: a row an image.
        attachments: applied to each row group when it is written.
        pictures: whether rows hold pictures, of which fewer go into a file.
    """
    per_shard = ROWS_PER_SHARD if pictures else LABELS_PER_SHARD
    per_group = ROWS_PER_GROUP if pictures else LABELS_PER_GROUP

    def groups(first: int) -> Iterator[pa.Table]:
        shard = table.slice(first, per_shard)
        for start in range(0, shard.num_rows, per_group):
            group = shard.slice(start, per_group)
            for attach in attachments:
                group = attach(group)
            yield group

    for first in range(0, table.num_rows, per_shard):
        yield groups(first)
