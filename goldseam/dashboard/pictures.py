"""The pictures of a run's page: the same images under every label and every model."""

import base64
import dataclasses
import shutil
from pathlib import Path

from goldseam.dashboard.config import PublishConfig
from goldseam.dataset.schema import DatasetInfo
from goldseam.results import EvaluationResult

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


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
    """Examples row by row, each with the same panels; a picture without source is not there."""

    captions: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    left_out: int


def gallery(
    evaluation: EvaluationResult, info: DatasetInfo | None, config: PublishConfig, folder: Path
) -> Gallery:
    """Gather the pictures of an evaluation.

    Args:
        evaluation: its examples name files in its folder.
        info: says which panel is a label, and of which kind.
        config: how many, and up to which size in the page.
        folder: of the page; larger pictures are copied into its `pictures/`.
    """
    shown = evaluation.examples[: config.examples]
    panels = list(dict.fromkeys(panel for example in shown for panel in example.panels))
    captions = {panel: caption(panel, evaluation, info) for panel in panels}
    rows = []
    for number, example in enumerate(shown):
        pictures = tuple(
            Picture(
                info is not None and panel in info.tasks,
                f"{captions[panel]} of {example.image_id}",
                _place(
                    evaluation.folder,
                    example.panels.get(panel),
                    f"{number}-{place}",
                    config,
                    folder,
                ),
            )
            for place, panel in enumerate(panels)
        )
        rows.append((example.image_id, pictures))
    return Gallery(tuple(captions.values()), tuple(rows), len(evaluation.examples) - len(shown))


def caption(panel: str, evaluation: EvaluationResult, info: DatasetInfo | None) -> str:
    """What a panel shows, in words."""
    if info is not None and panel in info.tasks:
        noisy = info.tasks[panel].noisy_version_of is not None
        return f"{'noisy label' if noisy else 'label'} {panel}"
    for model in evaluation.models:
        # `pipeline`, or `pipeline.cover` and the like
        if panel.startswith(model) and not panel[len(model) : len(model) + 1].isalnum():
            what = panel[len(model) + 1 :]
            return f"{model}: {what}" if what else f"prediction of {model}"
    return panel.replace("_", " ")


def _place(
    source: Path, name: str | None, stem: str, config: PublishConfig, folder: Path
) -> str | None:
    """Where the page finds a picture; None when the file is not there."""
    if name is None:
        return None
    file = source / name
    kind = TYPES.get(file.suffix.lower())
    # a result read from disk must not make the page include any other file of the machine
    if kind is None or not file.is_file() or not file.resolve().is_relative_to(source.resolve()):
        return None
    if file.stat().st_size <= config.embed_kib * 1024:
        return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    target = folder / "pictures" / f"{stem}{file.suffix.lower()}"
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(file, target)
    return target.relative_to(folder).as_posix()
