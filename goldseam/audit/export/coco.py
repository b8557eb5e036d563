"""Findings as COCO json: each is an annotation of the region, or of the whole image."""

import json
from collections import Counter
from typing import Any

from goldseam.audit.export.pictures import ImageReference, ImageReferences
from goldseam.audit.export.selection import Selection

SAID = ("finding", "score", "issue", "evidence", "given", "suggested", "action", "source")


def coco_json(chosen: Selection, references: ImageReferences) -> dict[str, bytes]:
    """A COCO file: `score`, `issue`, `evidence`, `suggested` … stand beside the usual fields.

    The category of a finding without one is its task. An image whose size nobody knows has no
    `width` and `height`, and its findings no `bbox`.
    """
    image_of = references.of(chosen.image_ids)
    number_of = {image_id: number for number, image_id in enumerate(image_of, start=1)}
    rows = chosen.rows()
    pairs = sorted({(row["task"], row["category"] or row["task"]) for row in rows})
    shared = Counter(name for _, name in pairs)
    category_of = {pair: number for number, pair in enumerate(pairs, start=1)}
    body = {
        "info": {"description": "Suspicious labels, as a goldseam audit found them"},
        "images": [_image(number_of[one], one, image) for one, image in image_of.items()],
        "categories": [
            {
                "id": number,
                "name": name if shared[name] == 1 else f"{task}/{name}",
                "supercategory": task,
            }
            for (task, name), number in category_of.items()
        ],
        "annotations": [
            {
                "id": number,
                "image_id": number_of[row["image_id"]],
                "category_id": category_of[row["task"], row["category"] or row["task"]],
                **_place(row["corners"], image_of[row["image_id"]]),
                "iscrowd": 0,
                "task": row["task"],
                **{name: row[name] for name in SAID},
            }
            for number, row in enumerate(rows, start=1)
        ],
    }
    return {"": json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode()}


def _image(number: int, image_id: str, image: ImageReference) -> dict[str, Any]:
    record: dict[str, Any] = {"id": number, "file_name": image.name, "image_id": image_id}
    if image.size is not None:
        record |= {"width": image.size[0], "height": image.size[1]}
    return record


def _place(corners: list[float] | None, image: ImageReference) -> dict[str, Any]:
    if corners is None:
        if image.size is None:
            return {}
        corners = [0, 0, *image.size]
    x0, y0, x1, y1 = (round(corner, 3) for corner in corners)
    width, height = round(x1 - x0, 3), round(y1 - y0, 3)
    return {
        "bbox": [x0, y0, width, height],
        "area": round(width * height, 3),
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
    }
