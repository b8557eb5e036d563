"""Boxes of Open Images: corners as shares of the image become px when its picture is read.

N images, M boxes.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.assembly import ROW
from goldseam.dataset.formats.csv_blocks import CODED, TEXT, csv_blocks, csv_head
from goldseam.dataset.formats.options import OpenImagesImport
from goldseam.dataset.formats.tag_sets.open_images_classes import Classes
from goldseam.dataset.formats.tag_sets.open_images_rows import (
    IMAGE,
    LABEL,
    LabelRows,
    declared_categories,
    require_names,
)
from goldseam.dataset.schema import BOX, Split
from goldseam.errors import InvalidDataset, closest

CORNERS = ("XMin", "YMin", "XMax", "YMax")
GROUP = "IsGroupOf"


@dataclasses.dataclass(frozen=True, eq=False)
class ShareBoxes:
    """Boxes of all images, in the order of their images.

    Attributes:
        name: of the task.
        source: who drew them.
        categories: names of those that any box shows.
        first_N: position of each image's first box, and the number of boxes at the end: N + 1.
        category_M: positions in `categories`.
        corners_M4: xmin, ymin, xmax, ymax as shares of width and height, 0 to 1.
        group_M: bool; a box around several.
    """

    name: str
    source: str
    categories: tuple[str, ...]
    first_N: Array
    category_M: Array
    corners_M4: Array
    group_M: Array

    def attach(self, table: pa.Table) -> pa.Table:
        """Fill in the boxes of a row group, whose sizes are known by now, and their source.

        An image without a box has null: nobody says that boxes are exhaustive.
        """
        row_R = table.column(ROW).to_numpy()
        many_R = self.first_N[row_R + 1] - self.first_N[row_R]
        offsets = np.concatenate([[0], many_R.cumsum()])
        # positions of all boxes of these rows, one row after the other
        at_B = np.arange(offsets[-1]) + np.repeat(self.first_N[row_R] - offsets[:-1], many_R)
        sides = [table.column(name).to_numpy() for name in ("width", "height")]
        size_B4 = np.repeat(np.stack([*sides, *sides], axis=1), many_R, axis=0)
        corners_B4 = (self.corners_M4[at_B] * size_B4).astype(np.float32)
        values = pa.StructArray.from_arrays(
            [
                pa.array(self.category_M[at_B].astype(np.int64)),
                *(pa.array(corners_B4[:, side]) for side in range(4)),
                pa.array(self.group_M[at_B]),
            ],
            fields=list(BOX),
        )
        none_R = many_R == 0
        cells = pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), values, pa.list_(BOX), mask=pa.array(none_R)
        )
        sources = pc.if_else(pa.array(none_R), pa.scalar(None, TEXT), pa.scalar(self.source))
        for name, column in ((self.name, cells), (f"{self.name}_source", sources)):
            table = table.set_column(table.schema.get_field_index(name), name, column)
        return table


def read_box_files(
    files: Mapping[Split, Path], rows: LabelRows, declared: Classes, config: OpenImagesImport
) -> tuple[ShareBoxes, Counter[str]]:
    """Read the boxes of all files.

    Args:
        files: the file of each split.
        rows: names the images.
        declared: names the categories; where it has none, the codes of `rows` do.
        config: the options.

    Returns:
        The boxes, and how many were left out by what is wrong with them.

    Raises:
        MissingInput: a file cannot be read.
        InvalidDataset: a box lies outside its image, has no area, or names an image or category
            that is not declared, and faults are not skipped; names file, row and value.
    """
    if not declared.names:
        named = tuple(rows.label_names)
        position_of = {code: at for at, code in enumerate(named)}
        declared = Classes(named, position_of, frozenset(named))
    faults = BoxFaults(skip=config.skip_faulty)
    parts = [_read_file(file, rows.image_ids, declared, faults) for file in files.values()]
    image_M, category_M, corners_M4, group_M = (
        np.concatenate([part[at] for part in parts]) for at in range(4)
    )
    if not len(image_M):
        raise InvalidDataset(
            f"{', '.join(str(file) for file in files.values())}: no box.",
            remedy="Give a file with boxes of the images and categories of the labels.",
        )
    order_M = np.argsort(image_M, kind="stable")
    shown, category_M = np.unique(category_M, return_inverse=True)
    per_image = np.bincount(image_M, minlength=len(rows.image_ids))
    boxes = ShareBoxes(
        name=config.boxes_task,
        source=config.source,
        categories=tuple(declared.names[at] for at in shown.tolist()),
        first_N=np.concatenate([[0], per_image.cumsum()]),
        category_M=category_M[order_M].astype(np.int32),
        corners_M4=corners_M4[order_M],
        group_M=group_M[order_M],
    )
    return boxes, faults.counts


def _types(file: Path) -> dict[str, pa.DataType]:
    header = csv_head(file)[0]
    for name in (IMAGE, LABEL, *CORNERS):
        if name not in header:
            raise InvalidDataset(
                f"{file} has no column '{name}', expected boxes of Open Images.",
                remedy=f"Closest: {closest(name, header)}.",
            )
    types = {IMAGE: CODED, LABEL: CODED, **dict.fromkeys(CORNERS, pa.float64())}
    return types | ({GROUP: CODED} if GROUP in header else {})


class BoxFaults:
    """Faulty boxes: the first is refused, or all are counted and left out.

    Args:
        skip: whether they are left out.
    """

    def __init__(self, *, skip: bool) -> None:
        self.skip = skip
        self.counts: Counter[str] = Counter()

    def refuse(self, file: Path, what: str, bad_M: Array, row_M: Array, corners_M4: Array) -> None:
        """Raise InvalidDataset for the first, or count them."""
        many = int(bad_M.sum())
        if many and not self.skip:
            at = int(np.flatnonzero(bad_M)[0])
            found = ", ".join(
                f"{name} {value:g}" for name, value in zip(CORNERS, corners_M4[at], strict=True)
            )
            raise InvalidDataset(
                f"{file}, row {row_M[at]}: {what} ({found}); so are {many:,} in all.",
                remedy="Mend the file, or leave such boxes out with --skip-faulty.",
            )
        if many:
            self.counts[what] += many


def _read_file(
    file: Path, image_ids: pa.Array, declared: Classes, faults: BoxFaults
) -> tuple[Array, ...]:
    """(image, category, corners, group) of the sound boxes of a file."""
    blocks = [
        _block(file, row, batch, declared, faults) for row, batch in csv_blocks(file, _types(file))
    ]
    if not blocks:
        raise InvalidDataset(f"{file} has no row.", remedy="Give a file with boxes.")
    # looked up once a file: the index over millions of images takes a second to make
    named = pa.chunked_array([block[0] for block in blocks]).unify_dictionaries()
    found = pc.index_in(named.chunk(0).dictionary, image_ids)
    image_D = pc.fill_null(found, -1).to_numpy()
    image_M = image_D[np.concatenate([chunk.indices.to_numpy() for chunk in named.chunks])]
    row_M, category_M, corners_M4, group_M = (
        np.concatenate([block[at] for block in blocks]) for at in range(1, 5)
    )
    strange_M = image_M < 0
    faults.refuse(file, "a box of an image without labels", strange_M, row_M, corners_M4)
    kept_M = ~strange_M
    return image_M[kept_M], category_M[kept_M], corners_M4[kept_M], group_M[kept_M]


def _block(
    file: Path, row: int, batch: pa.RecordBatch, declared: Classes, faults: BoxFaults
) -> tuple[Any, ...]:
    """(image, row, category, corners, group) of the boxes of a block that lie in an image."""
    for name in (IMAGE, LABEL):
        require_names(file, row, batch, name)
    category_M = declared_categories(file, row, batch.column(LABEL), declared)
    corners_M4 = np.stack(
        [batch.column(name).to_numpy(zero_copy_only=False) for name in CORNERS], axis=1
    ).astype(np.float32)
    wanted_M = category_M >= 0
    row_M = np.arange(row, row + len(batch))
    inside_M = ((corners_M4 >= 0) & (corners_M4 <= 1)).all(axis=1)
    area_M = (corners_M4[:, 2:] > corners_M4[:, :2]).all(axis=1)
    faults.refuse(file, "a box outside its image", wanted_M & ~inside_M, row_M, corners_M4)
    faults.refuse(file, "a box without area", wanted_M & inside_M & ~area_M, row_M, corners_M4)
    kept_M = wanted_M & inside_M & area_M
    group_M = np.zeros(len(batch), bool)
    if GROUP in batch.schema.names:
        groups = batch.column(GROUP)
        group_D = np.array([text.strip() == "1" for text in groups.dictionary.to_pylist()], bool)
        group_M = group_D[groups.indices.to_numpy()]
    return (
        batch.column(IMAGE).filter(pa.array(kept_M)),
        row_M[kept_M],
        category_M[kept_M],
        corners_M4[kept_M],
        group_M[kept_M],
    )
