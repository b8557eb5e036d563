"""The images of COCO files: identity, size, group and metadata.

N images of all files.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.coco_records import CocoFile, Faults, repeated
from goldseam.dataset.formats.options import CocoFileImport
from goldseam.dataset.schema import SPLITS, Split
from goldseam.errors import InvalidConfig, InvalidDataset, closest


@dataclasses.dataclass(frozen=True, eq=False)
class CocoImages:
    """The images of all files, one after the other.

    Attributes:
        records: N, as they stand.
        rows: for each file, image id → row.
        image_ids: string N.
        file: string N, `file_name`.
        size_N2: int64 width and height, px.
        split_N: positions in `SPLITS`.
        group: string N; None where no field names it.
        meta: `meta_…` → string N.
    """

    records: list[dict[str, Any]]
    rows: list[dict[Any, int]]
    image_ids: pa.Array
    file: pa.Array
    size_N2: Array
    split_N: Array
    group: pa.Array | None
    meta: dict[str, pa.Array]


def read_images(
    content: Mapping[Split, CocoFile], config: CocoFileImport, faults: Sequence[Faults]
) -> CocoImages:
    """Gather the images of all files.

    Raises:
        InvalidConfig: a field that the options name is in no record.
        InvalidDataset: an image has no id, name or size, or its id stands twice in a file.
    """
    records: list[dict[str, Any]] = []
    sizes: list[tuple[int, int]] = []
    rows: list[dict[Any, int]] = []
    splits: list[int] = []
    names: list[str] = []
    files: list[str] = []
    for (split, file), fault in zip(content.items(), faults, strict=True):
        of_file: dict[Any, int] = {}
        for record in _distinct(file, fault):
            of_file[_id(record, file.name)] = len(records)
            files.append(_file_name(record) or "")
            names.append(_image_id(record, split, config, file.name))
            splits.append(SPLITS.index(split))
            sizes.append(_size(record, file.name))
            records.append(record)
        rows.append(of_file)
    if not records:
        raise InvalidDataset(
            f"{next(iter(content.values())).name} has no image.",
            remedy="Name a file with annotations.",
        )
    return CocoImages(
        records=records,
        rows=rows,
        image_ids=pa.array(names, pa.string()),
        file=pa.array(files, pa.string()),
        size_N2=np.array(sizes, np.int64),
        split_N=np.array(splits, np.int64),
        group=_field(records, config.group_field, "--group-field") if config.group_field else None,
        meta={f"meta_{name}": _field(records, name, "--meta") for name in config.meta},
    )


def _distinct(file: CocoFile, fault: Faults) -> list[dict[str, Any]]:
    twice = repeated([record.get("id") for record in file.images])
    fault.refuse(
        twice,
        "repeated image id",
        [f"image {record.get('id')!r}" for record in file.images],
        "the id was used before",
        "an id of its own",
    )
    return [record for record, again in zip(file.images, twice, strict=True) if not again]


def _id(record: dict[str, Any], file: str) -> int | str:
    found = record.get("id")
    if not isinstance(found, int | str):
        raise InvalidDataset(
            f"{file}: an image has the id {found!r}, expected a number or text.",
            remedy="Give each image an id of its own.",
        )
    return found


def _file_name(record: dict[str, Any]) -> str | None:
    """`file_name`; LVIS has only an address that ends with it."""
    name = record.get("file_name") or record.get("coco_url")
    if not isinstance(name, str):
        return None
    return name if record.get("file_name") else name.rsplit("/", 1)[-1]


def _image_id(record: dict[str, Any], split: Split, config: CocoFileImport, file: str) -> str:
    prefix = f"{split}/" if config.image_id.startswith("split/") else ""
    name = record["id"] if config.image_id.endswith("id") else _file_name(record)
    if name is None:
        raise InvalidDataset(
            f"{file}, image {record['id']!r} has no file_name.",
            remedy="Add it, or choose --image-id id.",
        )
    return f"{prefix}{name}"


def _size(record: dict[str, Any], file: str) -> tuple[int, int]:
    width, height = _pixels(record.get("width")), _pixels(record.get("height"))
    if width is None or height is None:
        raise InvalidDataset(
            f"{file}, image {record['id']!r}: width {record.get('width')!r} and height "
            f"{record.get('height')!r}, expected whole numbers of px.",
            remedy="Add the sizes of the images: boxes are clipped to them.",
        )
    return width, height


def _pixels(length: Any) -> int | None:
    # some programs write 640.0
    if type(length) in (int, float) and length % 1 == 0 and 0 < length < 1 << 31:
        return int(length)
    return None


def _field(records: Sequence[dict[str, Any]], name: str, option: str) -> pa.Array:
    """A field as text; null where a record lacks it."""
    if not any(name in record for record in records):
        raise InvalidConfig(
            f"no image has the field '{name}' ({option}).",
            remedy=f"Closest: {closest(name, records[0])}.",
        )
    values = [record.get(name) for record in records]
    return pa.array([None if value is None else str(value) for value in values], pa.string())
