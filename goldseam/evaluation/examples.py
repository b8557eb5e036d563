"""Pictures of test images: what the label says, what the map says, what each model says."""

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from goldseam.dataset.drawing import draw_label, value_limits
from goldseam.dataset.reading import Dataset, Record
from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import DENSE, MultitaskModel
from goldseam.models.outputs import predicted_by
from goldseam.results import Example
from goldseam.trainer.pictures import as_label


def draw_examples(
    dataset: Dataset, split: str, models: Mapping[str, MultitaskModel], count: int, folder: Path
) -> tuple[Example, ...]:
    """Draw up to `count` images of a split as PNG files in `folder`.

    Panels are `image`, each dense task that is known, and `<model>.<task>` for each prediction.
    """
    if not count:
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    rows = _spread_over_groups(dataset.table(split, ["group"]).column("group").to_pylist(), count)
    return tuple(
        _draw(record, dataset.info.tasks, models, folder)
        for record in dataset.records(split, rows=rows)
    )


def _spread_over_groups(groups: Sequence[str], count: int) -> list[int]:
    """Evenly spaced rows, one group after the other, so that no place fills the page."""
    by_group: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    chosen: list[int] = []
    share = -(-count // len(by_group))
    for rows in by_group.values():
        places = np.linspace(0, len(rows) - 1, min(share, len(rows)) + 2).round().astype(int)[1:-1]
        chosen += [rows[place] for place in dict.fromkeys(places.tolist())]
    keep = np.linspace(0, len(chosen) - 1, min(count, len(chosen))).round().astype(int)
    return sorted(chosen[place] for place in keep)


def _draw(
    record: Record, tasks: Mapping[str, Task], models: Mapping[str, MultitaskModel], folder: Path
) -> Example:
    panels: dict[str, str] = {}

    def save(panel: str, picture: Any) -> None:
        name = f"{_file_name(record.image_id)}.{panel}.png"
        Image.fromarray(picture).save(folder / name)
        panels[panel] = f"{folder.name}/{name}"

    image_HW3 = record.image_HWC[:, :, :3]
    save("image", image_HW3)
    dense = {name: task for name, task in tasks.items() if task.kind in DENSE}
    limits: dict[str, tuple[float, float] | None] = {}
    for name, task in dense.items():
        label = record.labels[name]
        if label is None:
            continue
        if task.kind is Kind.REGRESSION:
            limits[name] = value_limits(label)
        save(name, draw_label(task, label, image_HW3, limits=limits.get(name)))
    image_13HW = torch.from_numpy(np.moveaxis(image_HW3, 2, 0).copy())[None] / 255.0
    for model_name, model in models.items():
        found = model.predict(image_13HW.to(next(model.parameters()).device))
        for name, source in predicted_by(model.tasks, dense).items():
            if dense[name].noisy_version_of is not None:
                continue
            prediction = as_label(dense[name], found[source][0].cpu().numpy())
            drawn = draw_label(dense[name], prediction, image_HW3, limits=limits.get(name))
            save(f"{model_name}.{name}", drawn)
    return Example(record.image_id, panels)


def _file_name(image_id: str) -> str:
    """An image id as a name of files: imports name images by their path."""
    plain = re.sub(r"[^\w.-]", "_", image_id)
    # two ids may differ in nothing but what was replaced
    return plain if plain == image_id else f"{plain}-{zlib.crc32(image_id.encode()):08x}"
