"""Findings as Label Studio tasks: an image a task, with what the audit suggests filled in.

A region becomes a rectangle, a tag a choice of `category: state`, and anything else about an image
a choice of the issue. The labeling configuration beside the tasks names the same controls.
"""

import json
from typing import Any
from xml.sax.saxutils import quoteattr

from goldseam.audit.export.pictures import ImageReference, ImageReferences
from goldseam.audit.export.selection import STATES, Selection
from goldseam.dataset.reading import Dataset

IMAGE = "image"
MODEL = "goldseam audit"


def label_studio_tasks(chosen: Selection, references: ImageReferences) -> dict[str, bytes]:
    """Tasks as json, and the labeling configuration (`.xml`) that fits them.

    Places are in percent of the image, as Label Studio wants them. A region of an image whose size
    nobody knows is named as an issue of the whole image.
    """
    image_of = references.of(chosen.image_ids)
    controls = _Controls(references.dataset)
    of_image: dict[str, list[dict[str, Any]]] = {image_id: [] for image_id in chosen.image_ids}
    for row in chosen.rows():
        of_image[row["image_id"]].append(row)
    tasks = [
        _task(image_id, rows, image_of[image_id], controls) for image_id, rows in of_image.items()
    ]
    text = json.dumps(tasks, indent=1, ensure_ascii=False, allow_nan=False)
    return {".xml": controls.configuration().encode(), "": text.encode()}


class _Controls:
    """The controls that results refer to, and the values that each of them offers."""

    def __init__(self, dataset: Dataset | None) -> None:
        self.categories = (
            {}
            if dataset is None
            else {name: task.categories for name, task in dataset.info.tasks.items()}
        )
        self.rectangles: dict[str, dict[str, None]] = {}
        self.choices: dict[str, dict[str, None]] = {}

    def rectangle(self, row: dict[str, Any]) -> tuple[str, str]:
        """Control and label of a finding with a region: what it should be, where that is known."""
        offered = self.categories.get(row["task"], ())
        suggested = row["suggested"] if row["suggested"] in offered else None
        label = suggested or row["category"] or _words(row["issue"])
        name = f"{row['task']}_region"
        self.rectangles.setdefault(name, dict.fromkeys(offered))[label] = None
        return name, label

    def choice(self, row: dict[str, Any]) -> tuple[str, str]:
        """Control and choice of a finding about a whole image."""
        if row["category"] is not None and row["suggested"] in STATES:
            name = f"{row['task']}_tags"
            offered = [f"{row['category']}: {state}" for state in STATES]
            choice = f"{row['category']}: {row['suggested']}"
        else:
            name = f"{row['task']}_review"
            choice = ": ".join(filter(None, (row["category"], _words(row["issue"]))))
            offered = [choice]
        self.choices.setdefault(name, {}).update(dict.fromkeys(offered))
        return name, choice

    def configuration(self) -> str:
        """The labeling configuration."""
        lines = [
            "<View>",
            '  <Text name="evidence" value="$evidence"/>',
            f'  <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true"/>',
        ]
        for name, labels in self.rectangles.items():
            lines.append(f"  <RectangleLabels name={quoteattr(name)} toName={quoteattr(IMAGE)}>")
            lines += [f"    <Label value={quoteattr(label)}/>" for label in labels]
            lines.append("  </RectangleLabels>")
        for name, choices in self.choices.items():
            lines.append(
                f'  <Choices name={quoteattr(name)} toName={quoteattr(IMAGE)} choice="multiple">'
            )
            lines += [f"    <Choice value={quoteattr(choice)}/>" for choice in choices]
            lines.append("  </Choices>")
        return "\n".join([*lines, "</View>", ""])


def _task(
    image_id: str, rows: list[dict[str, Any]], image: ImageReference, controls: _Controls
) -> dict[str, Any]:
    placed: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    for row in rows:
        has_place = row["corners"] is not None and image.size is not None
        (placed if has_place else whole).append(row)
    return {
        "data": {
            "image": image.address,
            "image_id": image_id,
            "split": rows[0]["split"],
            "group": rows[0]["group"],
            "evidence": "\n".join(row["evidence"] for row in rows),
        },
        "predictions": [
            {
                "model_version": MODEL,
                "score": _score(max(row["score"] for row in rows)),
                "result": [
                    *(_rectangle(row, image, controls) for row in placed),
                    *_choices(whole, controls),
                ],
            }
        ],
        "meta": {"findings": [row["finding"] for row in rows]},
    }


def _rectangle(row: dict[str, Any], image: ImageReference, controls: _Controls) -> dict[str, Any]:
    assert image.size is not None
    width, height = image.size
    # a predicted box may reach out of its image, which Label Studio does not draw
    x0, x1 = (min(max(x, 0), width) for x in row["corners"][::2])
    y0, y1 = (min(max(y, 0), height) for y in row["corners"][1::2])
    name, label = controls.rectangle(row)
    return {
        "id": row["finding"],
        "type": "rectanglelabels",
        "from_name": name,
        "to_name": IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": round(100 * x0 / width, 4),
            "y": round(100 * y0 / height, 4),
            "width": round(100 * (x1 - x0) / width, 4),
            "height": round(100 * (y1 - y0) / height, 4),
            "rotation": 0,
            "rectanglelabels": [label],
        },
        "score": _score(row["score"]),
        "meta": {"text": [f"{_words(row['action'])}: {row['evidence']}"]},
    }


def _choices(rows: list[dict[str, Any]], controls: _Controls) -> list[dict[str, Any]]:
    """One result a control, since a second one would replace the first."""
    results: dict[str, dict[str, Any]] = {}
    for row in rows:
        name, choice = controls.choice(row)
        result = results.setdefault(
            name,
            {
                "id": row["finding"],
                "type": "choices",
                "from_name": name,
                "to_name": IMAGE,
                "value": {"choices": []},
                "score": _score(row["score"]),
            },
        )
        if choice not in result["value"]["choices"]:
            result["value"]["choices"].append(choice)
        result["score"] = max(result["score"], _score(row["score"]))
    return list(results.values())


def _score(score: float) -> float:
    return round(score, 4)


def _words(name: str) -> str:
    return name.replace("_", " ")
