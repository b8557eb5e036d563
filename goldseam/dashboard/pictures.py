"""The pictures of a run's page: the same images under every label and every model, task by task."""

import base64
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from goldseam.dashboard.config import PublishConfig
from goldseam.dataset.schema import DatasetInfo
from goldseam.results import EvaluationResult

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
IMAGE = "image"


@dataclasses.dataclass(frozen=True)
class Picture:
    """One panel of one example.

    Attributes:
        label: whether it shows a label of the dataset, which may be unknown.
        source: a data URI or a file beside the page; None where there is no picture.
    """

    label: bool
    caption: str
    source: str | None


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Examples row by row, each with the same panels.

    Attributes:
        task: what the labels and predictions are of; None where panels do not name it.
        captions: of the columns.
        rows: image id → pictures.
    """

    task: str | None
    captions: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]


def galleries(
    evaluation: EvaluationResult, info: DatasetInfo | None, config: PublishConfig, folder: Path
) -> tuple[Gallery, ...]:
    """Gather the pictures of an evaluation, one gallery a task.

    Args:
        evaluation: its examples name files in its folder; a panel is `image`, a task (its label) or
            `model.task` (a prediction).
        info: says which panel is a noisy label, and of which task.
        config: how many, and up to which size in the page.
        folder: of the page; larger pictures are copied into its `pictures/`.
    """
    shown = evaluation.examples[: config.examples]
    panels = list(dict.fromkeys(panel for example in shown for panel in example.panels))
    sources = {
        (example.image_id, panel): _place(
            evaluation.folder / file, evaluation.folder, config, folder
        )
        for example in shown
        for panel, file in example.panels.items()
    }
    found = []
    for task, of_task in panels_by_task(panels, info).items():
        captions = {panel: caption(panel, evaluation, info) for panel in of_task}
        rows = tuple(
            (
                example.image_id,
                tuple(
                    Picture(
                        "." not in panel and panel != IMAGE and panel not in evaluation.models,
                        f"{words}: {example.image_id}",
                        sources.get((example.image_id, panel)),
                    )
                    for panel, words in captions.items()
                ),
            )
            for example in shown
        )
        found.append(Gallery(task, tuple(captions.values()), rows))
    return tuple(found)


def panels_by_task(panels: Sequence[str], info: DatasetInfo | None) -> dict[str | None, list[str]]:
    """Task → its panels: the image, its label, noisy versions of that, and each prediction.

    Panels that belong to no task that was predicted go with the first.
    """
    tasks = list(dict.fromkeys(panel.split(".", 1)[1] for panel in panels if "." in panel))
    if not tasks:
        return {None: list(panels)} if panels else {}
    of_task: dict[str | None, list[str]] = {task: [] for task in tasks}
    first = of_task[tasks[0]]
    for panel in panels:
        noisy = info.tasks[panel].noisy_version_of if info and panel in info.tasks else None
        task = panel.split(".", 1)[1] if "." in panel else noisy or panel
        if panel == IMAGE:
            for group in of_task.values():
                group.append(panel)
        else:
            of_task.get(task, first).append(panel)
    return of_task


def caption(panel: str, evaluation: EvaluationResult, info: DatasetInfo | None) -> str:
    """What a panel shows, in words."""
    model = panel.split(".", 1)[0]
    if model in evaluation.models:
        return model
    if info is not None and panel in info.tasks:
        return f"{'noisy label' if info.tasks[panel].noisy_version_of else 'label'} {panel}"
    return panel.replace("_", " ")


def _place(file: Path, root: Path, config: PublishConfig, folder: Path) -> str | None:
    """Where the page finds a picture; None when the file is not there."""
    kind = TYPES.get(file.suffix.lower())
    # a result read from disk must not make the page include any other file of the machine
    if kind is None or not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
        return None
    if file.stat().st_size <= config.embed_kib * 1024:
        return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    # numbered, since names of images may hold anything
    place = folder / "pictures"
    place.mkdir(exist_ok=True)
    target = place / f"{sum(1 for _ in place.iterdir())}{file.suffix.lower()}"
    shutil.copyfile(file, target)
    return target.relative_to(folder).as_posix()
