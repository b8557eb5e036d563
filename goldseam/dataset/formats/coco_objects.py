"""What COCO annotations become: boxes by image, masks, presence in a federated file, captions.

N images, C categories, M boxes.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array, encode_png
from goldseam.dataset.formats.assembly import ROW
from goldseam.dataset.formats.coco_images import CocoImages
from goldseam.dataset.formats.coco_masks import (
    BadSegmentation,
    box_pixels,
    draw_mask,
    segmentation_pixels,
)
from goldseam.dataset.formats.coco_records import (
    SKIP,
    CocoBoxes,
    CocoFile,
    Faults,
    annotation_names,
    positions,
)
from goldseam.dataset.schema import BOX, PICTURE, Kind, Task
from goldseam.errors import InvalidDataset

FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")
BACKGROUND = "background"


@dataclasses.dataclass(frozen=True, eq=False)
class Objects:
    """The boxes of all files, by image.

    Attributes:
        row_M: ascending.
        category_M: positions.
        corners_M4: px.
        ignore_M: bool.
        segmentations: M, as they stand; None where there is none.
        names: M names of annotations, for messages.
        labeled_N: False where nobody looked.
        federated: whether the files say image by image what is absent.
    """

    row_M: Array
    category_M: Array
    corners_M4: Array
    ignore_M: Array
    segmentations: list[Any]
    names: list[str]
    labeled_N: Array
    federated: bool


def gather_objects(
    files: Sequence[CocoFile],
    boxes: Sequence[CocoBoxes],
    images: CocoImages,
    *,
    unlabeled_is_unknown: bool,
) -> Objects:
    """Put the boxes of all files in the order of their images."""
    row_M = np.concatenate([one.row_M for one in boxes])
    order_M = np.argsort(row_M, kind="stable")
    segmentations: list[Any] = []
    names: list[str] = []
    for file, one in zip(files, boxes, strict=True):
        of_file = annotation_names(file.annotations)
        for at in one.record_M.tolist():
            segmentations.append(file.annotations[at].get("segmentation") if at >= 0 else None)
            names.append(of_file[at] if at >= 0 else "")
    federated = any(key in record for record in images.records for key in FEDERATED)
    named_N = np.array([any(record.get(key) for key in FEDERATED) for record in images.records])
    boxed_N = np.bincount(row_M, minlength=len(images.records)) > 0
    # a record that is left out still says that somebody looked at its image
    for file, rows in zip(files, images.rows, strict=True):
        looked = positions([one.get("image_id") for one in file.annotations], rows)
        boxed_N[looked[looked >= 0]] = True
    everything_looked_at = not federated and not unlabeled_is_unknown
    return Objects(
        row_M=row_M[order_M],
        category_M=np.concatenate([one.category_M for one in boxes])[order_M],
        corners_M4=np.concatenate([one.corners_M4 for one in boxes])[order_M],
        ignore_M=np.concatenate([one.ignore_M for one in boxes])[order_M],
        segmentations=[segmentations[at] for at in order_M],
        names=[names[at] for at in order_M],
        labeled_N=boxed_N | named_N | everything_looked_at,
        federated=federated,
    )


def box_cells(objects: Objects) -> pa.ListArray:
    """The cells of a detection task; null where nobody looked."""
    corners = [pa.array(column) for column in objects.corners_M4.astype(np.float32).T]
    values = pa.StructArray.from_arrays(
        [pa.array(objects.category_M), *corners, pa.array(objects.ignore_M)], fields=list(BOX)
    )
    per_image = np.bincount(objects.row_M, minlength=len(objects.labeled_N))
    offsets = pa.array(np.concatenate([[0], per_image.cumsum()]).astype(np.int32))
    return pa.ListArray.from_arrays(
        offsets, values, pa.list_(BOX), mask=pa.array(~objects.labeled_N)
    )


def presence(
    images: CocoImages,
    objects: Objects,
    category_of: dict[Any, int],
    faults: Sequence[Faults],
) -> Array:
    """What a federated file says about each category: int8 NC.

    Present where a box shows it, absent where `neg_category_ids` names it, unknown otherwise.

    Raises:
        InvalidDataset: a category is named absent and has a box, or is not declared.
    """
    state_NC = np.full((len(images.records), len(set(category_of.values()))), UNKNOWN, np.int8)
    counted_M = ~objects.ignore_M
    state_NC[objects.row_M[counted_M], objects.category_M[counted_M]] = PRESENT
    for rows, fault in zip(images.rows, faults, strict=True):
        set_absent(state_NC, images, rows, category_of, fault)
    return state_NC


def set_absent(
    state_NC: Array,
    images: CocoImages,
    rows: dict[Any, int],
    category_of: dict[Any, int],
    fault: Faults,
) -> None:
    """Write what `neg_category_ids` of the images of one file names into `state_NC`.

    Raises:
        InvalidDataset: a category is named absent and is present, or is not declared.
    """
    pairs = [
        (row, one)
        for row in rows.values()
        for one in images.records[row].get("neg_category_ids") or ()
    ]
    row_K = np.array([row for row, _ in pairs], np.int64)
    category_K = positions([one for _, one in pairs], category_of)
    named = [f"image {images.records[row]['id']!r}" for row, _ in pairs]
    fault.refuse(
        category_K < 0,
        "no such category",
        named,
        lambda at: f"{pairs[at][1]!r} in neg_category_ids",
        "the id of a record in 'categories'",
    )
    known_K = category_K >= 0
    disputed_K = known_K & (state_NC[row_K, category_K] == PRESENT)
    fault.refuse(
        disputed_K,
        "absent, but boxed",
        named,
        lambda at: f"category {pairs[at][1]!r} in neg_category_ids, and a box of it",
        "one or the other",
    )
    state_NC[row_K[known_K], category_K[known_K]] = np.where(disputed_K, UNKNOWN, ABSENT)[known_K]


def mask_task(categories: Sequence[str]) -> Task:
    """The semantic masks of these categories; id 0 is what none of them covers."""
    rest = BACKGROUND if BACKGROUND not in categories else f"no {' or '.join(categories)}"
    names = (rest, *categories)
    return Task(
        kind=Kind.SEGMENTATION, categories=names, ignore=255 if len(names) <= 255 else 65535
    )


class MaskDrawer:
    """Draws the semantic masks of a row group when it is written.

    Args:
        name: of the task.
        task: as `mask_task` gives it.
        objects: of all images.
        size_N2: width and height of the images, px.
        source: who made the segmentations.
        faults: takes malformed segmentations.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        objects: Objects,
        size_N2: Array,
        source: str,
        faults: Faults,
    ) -> None:
        self.name = name
        self.task = task
        self.objects = objects
        self.size_N2 = size_N2
        self.source = source
        self.faults = faults
        self.first_N = np.searchsorted(objects.row_M, np.arange(len(size_N2) + 1))

    def attach(self, table: pa.Table) -> pa.Table:
        """Fill in the masks of a row group, and their source.

        Raises:
            InvalidDataset: a segmentation is malformed and faults are not skipped.
        """
        rows = table.column(ROW).to_pylist()
        labeled = [bool(self.objects.labeled_N[row]) for row in rows]
        cells = [
            {"bytes": self._encoded(row), "path": None} if known else None
            for row, known in zip(rows, labeled, strict=True)
        ]
        sources = [self.source if known else None for known in labeled]
        position = table.schema.get_field_index(self.name)
        table = table.set_column(position, self.name, pa.array(cells, PICTURE))
        column = f"{self.name}_source"
        position = table.schema.get_field_index(column)
        return table.set_column(position, column, pa.array(sources, pa.string()))

    def _encoded(self, row: int) -> bytes:
        width, height = self.size_N2[row].tolist()
        shapes = [
            self._shape(at, height, width)
            for at in range(int(self.first_N[row]), int(self.first_N[row + 1]))
        ]
        # where boxes are not exhaustive, nobody said that there is nothing outside of them
        rest = self.task.ignore if self.objects.federated else 0
        mask_HW = draw_mask(shapes, np.full((height, width), rest, np.int64), self.task.ignore)
        return encode_png(mask_HW.astype(np.uint8 if self.task.ignore == 255 else np.uint16))

    def _shape(self, at: int, height: int, width: int) -> tuple[int, Array]:
        """Id and pixels of a box's object; its box counts for nothing where it has no outline."""
        segmentation = self.objects.segmentations[at]
        if segmentation:
            try:
                pixels_HW = segmentation_pixels(segmentation, height, width)
            except BadSegmentation as error:
                if not self.faults.skip:
                    raise InvalidDataset(
                        f"{self.faults.file}, {self.objects.names[at]}: {error}, expected polygons "
                        f"or run lengths of {width} x {height} px.",
                        remedy=SKIP,
                    ) from error
                self.faults.counts["malformed segmentation"] += 1
            else:
                category = int(self.objects.category_M[at]) + 1
                return self.task.ignore if self.objects.ignore_M[at] else category, pixels_HW
        return self.task.ignore, box_pixels(self.objects.corners_M4[at], height, width)


def caption_cells(files: Sequence[CocoFile], images: CocoImages) -> pa.Array:
    """Captions by image, one a line; null where there is none."""
    said: list[list[str]] = [[] for _ in images.records]
    for file, rows in zip(files, images.rows, strict=True):
        row_M = positions([one.get("image_id") for one in file.annotations], rows)
        for record, row in zip(file.annotations, row_M.tolist(), strict=True):
            text = record.get("caption")
            if isinstance(text, str) and text.strip() and row >= 0:
                said[row].append(" ".join(text.split()))
    return pa.array(["\n".join(texts) or None for texts in said], pa.string())
