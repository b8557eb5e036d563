"""COCO json as arrays, with every faulty record named or counted.

M annotations. A row is an image's position in the dataset, a category its position among the sorted
category ids.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidDataset, MissingInput

# moving a corner by less is rounding, not clipping
ROUNDING_PX = 0.01
SKIP = (
    "Mend the file, or leave such records out: 'goldseam dataset import coco' with --skip-faulty."
)


@dataclasses.dataclass(frozen=True)
class CocoFile:
    """One file as it stands.

    Attributes:
        name: for messages.
        body: all of it; `info` and `licenses` are read there.
    """

    name: str
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    body: dict[str, Any]


def read_coco(file: Path) -> CocoFile:
    """Read a COCO json.

    Raises:
        MissingInput: it cannot be read.
        InvalidDataset: it is no JSON, or its `images`, `annotations` or `categories` are no lists
            of records.
    """
    try:
        body = json.loads(file.read_bytes())
    except OSError as error:
        raise MissingInput(file, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidDataset(f"{file} is no JSON ({error}).", remedy="Mend the file.") from error
    if not isinstance(body, dict) or "images" not in body:
        raise InvalidDataset(
            f"{file} has no 'images', expected a COCO file: images, annotations, categories.",
            remedy="Name the file with the annotations.",
        )
    parts: list[list[dict[str, Any]]] = []
    for key in ("images", "annotations", "categories"):
        records = body.get(key) or []
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            raise InvalidDataset(f"{file}: '{key}' is no list of records.", remedy="Mend the file.")
        parts.append(records)
    images, annotations, categories = parts
    return CocoFile(str(file), images, annotations, categories, body)


class Faults:
    """Faulty annotations: the first is refused, or all are counted and left out.

    Args:
        file: for messages.
        skip: whether they are left out.
    """

    def __init__(self, file: str, *, skip: bool) -> None:
        self.file = file
        self.skip = skip
        self.counts: Counter[str] = Counter()

    def refuse(
        self,
        bad_M: Array,
        what: str,
        names: Sequence[str],
        found: Callable[[int], str] | str,
        expected: str,
    ) -> None:
        """Raise InvalidDataset for the first, or count them.

        Args:
            bad_M: where the fault is.
            what: the fault in two words or three, for the count.
            names: M names of records, such as `annotation 17`.
            found: what stands there, or what stands at a position.
            expected: what should.
        """
        many = int(bad_M.sum())
        if not many:
            return
        if not self.skip:
            first = int(np.flatnonzero(bad_M)[0])
            what = found if isinstance(found, str) else found(first)
            more = f" ({many} such records)" if many > 1 else ""
            raise InvalidDataset(
                f"{self.file}, {names[first]}: {what}, expected {expected}{more}.",
                remedy=SKIP,
            )
        self.counts[what] += many


@dataclasses.dataclass(frozen=True, eq=False)
class CocoBoxes:
    """The boxes of one file.

    Attributes:
        row_M: image.
        category_M: category.
        corners_M4: xmin, ymin, xmax, ymax in px, inside the image.
        ignore_M: crowds, and boxes that stand for a fault.
        record_M: position among the file's annotations; -1 for a box that stands for a fault.
        clipped: how many reached out of their image.
    """

    row_M: Array
    category_M: Array
    corners_M4: Array
    ignore_M: Array
    record_M: Array
    clipped: int


def repeated(ids: Sequence[object]) -> Array:
    """Bool M: True where an id stood before; ids that are None never do."""
    seen: set[str] = set()
    twice = []
    for one in ids:
        key = repr(one)
        twice.append(one is not None and key in seen)
        seen.add(key)
    return np.array(twice, bool)


def annotation_names(records: Sequence[dict[str, Any]]) -> list[str]:
    """`annotation 17`, by its id, or by its position where it has none."""
    return [
        f"annotation {one['id']}" if one.get("id") is not None else f"annotation at position {at}"
        for at, one in enumerate(records)
    ]


def positions(keys: Sequence[object], known: dict[Any, int]) -> Array:
    """Position of each key; -1 where it is not known or cannot be a key."""
    return np.array(
        [known.get(key, -1) if isinstance(key, int | str) else -1 for key in keys], np.int64
    )


def read_boxes(
    file: CocoFile,
    rows: dict[Any, int],
    categories: dict[Any, int],
    size_N2: Array,
    faults: Faults,
) -> CocoBoxes:
    """Corners of all boxes of a file, clipped to their images.

    Where a faulty box of a known image and category is left out, a box over the whole image that is
    marked ignore takes its place: what it showed is unknown, and not absent.

    Args:
        file: as read.
        rows: image id → row.
        categories: category id → position.
        size_N2: width and height of the images, px.
        faults: takes what is wrong.

    Raises:
        InvalidDataset: a record is faulty and faults are not skipped.
    """
    records = file.annotations
    names = annotation_names(records)
    row_M = positions([one.get("image_id") for one in records], rows)
    category_M = positions([one.get("category_id") for one in records], categories)
    twice_M = repeated([one.get("id") for one in records])
    faults.refuse(twice_M, "repeated id", names, "the id was used before", "an id of its own")
    faults.refuse(
        row_M < 0,
        "no such image",
        names,
        lambda at: f"image_id {records[at].get('image_id')!r}",
        "the id of a record in 'images'",
    )
    faults.refuse(
        category_M < 0,
        "no such category",
        names,
        lambda at: f"category_id {records[at].get('category_id')!r}",
        "the id of a record in 'categories'",
    )
    placed_M = (row_M >= 0) & (category_M >= 0)
    box_M4 = _numbers([one.get("bbox") for one in records])
    corners_M4 = np.concatenate([box_M4[:, :2], box_M4[:, :2] + box_M4[:, 2:]], axis=1)
    edge_M4 = np.tile(size_N2, 2)[np.maximum(row_M, 0)]
    inside_M4 = np.clip(corners_M4, 0, edge_M4)
    sound_M = placed_M & ~twice_M
    bad_M = twice_M | _refuse_boxes(sound_M, box_M4, inside_M4, records, names, faults)
    kept_M = placed_M & ~bad_M
    moved_M = (abs(inside_M4 - corners_M4) > ROUNDING_PX).any(axis=1)
    crowd_M = np.array([bool(one.get("iscrowd")) for one in records], bool)
    whole_M4 = np.concatenate([np.zeros_like(edge_M4[:, :2]), edge_M4[:, :2]], axis=1)
    return CocoBoxes(
        row_M=row_M[placed_M],
        category_M=category_M[placed_M],
        corners_M4=np.where(bad_M[:, None], whole_M4, inside_M4)[placed_M].astype(np.float32),
        ignore_M=(crowd_M | bad_M)[placed_M],
        record_M=np.where(bad_M, -1, np.arange(len(records)))[placed_M],
        clipped=int((moved_M & kept_M).sum()),
    )


def _refuse_boxes(
    placed_M: Array,
    box_M4: Array,
    inside_M4: Array,
    records: list[dict[str, Any]],
    names: list[str],
    faults: Faults,
) -> Array:
    """Bool M: boxes that cannot be stored."""

    def found(at: int) -> str:
        return f"bbox {records[at].get('bbox')!r}"

    no_numbers_M = placed_M & ~np.isfinite(box_M4).all(axis=1)
    faults.refuse(
        no_numbers_M, "bbox of no numbers", names, found, "four numbers: x, y, width, height"
    )
    # sides shrink to nothing in float32 as well, in which boxes are stored
    corners_M4 = inside_M4.astype(np.float32)
    empty_M = placed_M & ~no_numbers_M & ~(box_M4[:, 2:] > 0).all(axis=1)
    faults.refuse(empty_M, "bbox without area", names, found, "a width and height above 0")
    outside_M = placed_M & ~no_numbers_M & ~empty_M
    outside_M &= ~(corners_M4[:, 2:] > corners_M4[:, :2]).all(axis=1)
    faults.refuse(outside_M, "bbox outside its image", names, found, "a box inside its image")
    bad_M: Array = no_numbers_M | empty_M | outside_M
    return bad_M


def _numbers(boxes: list[Any]) -> Array:
    """Float64 M4; NaN where a box is not four numbers."""
    missing = [np.nan] * 4
    whole = [box if isinstance(box, list) and len(box) == 4 else missing for box in boxes]
    try:
        # bool and text would pass as numbers
        if all(type(one) in (int, float) for box in whole for one in box):
            return np.array(whole, np.float64).reshape(-1, 4)
    except OverflowError:
        pass
    numbers = [[_number(one) for one in box] for box in whole]
    return np.array(numbers, np.float64).reshape(-1, 4)


def _number(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else np.nan
    except OverflowError:
        return np.nan
