"""The pictures that a page carries: thumbnails, and the labels that are drawn over them.

Only the row groups that hold a wanted image are read. H, W pixels; M boxes.
"""

import base64
import dataclasses
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from goldseam.audit.label_side import LabelSide
from goldseam.audit.report.config import ReportConfig
from goldseam.dataset.codecs import (
    ABSENT,
    PRESENT,
    Array,
    BadCell,
    decode_image,
    decode_label,
    stored_picture,
)
from goldseam.dataset.drawing import category_colors, describe_label, draw_label, value_limits
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import DatasetInfo, Kind, Task

NOT_STORED = "picture not stored"
NOT_READABLE = "picture cannot be read"
LEFT_OUT = "left out, so that the page stays small"
LOSSLESS_BYTES = 24_000
BOXES_DRAWN = 100
TAGS_LISTED = 8


@dataclasses.dataclass(frozen=True)
class DrawnBox:
    """A box of a label, px of the image."""

    name: str
    color: str
    ignore: bool
    corners: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class DrawnLabel:
    """A label over its picture.

    Attributes:
        source: data URI of a picture of the label, to be laid over the image; None where the label
            is no picture.
        boxes: of a detection task.
        words: what the picture does not say.
        legend: name and color of each category that is drawn.
    """

    source: str | None
    boxes: tuple[DrawnBox, ...]
    words: str
    legend: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image of the page.

    Attributes:
        number: unique in the page.
        width: px of the image as it is in the dataset, not of the thumbnail.
        source: data URI; None where there is none.
        why: there is none.
        labels: task → its label.
        predicted: task → what a model says instead; empty without predictions.
    """

    number: int
    image_id: str
    width: int
    height: int
    source: str | None
    why: str
    labels: dict[str, DrawnLabel]
    predicted: dict[str, DrawnLabel]


def read_pictures(
    dataset: Dataset,
    labels: LabelSide,
    wanted: Mapping[str, Collection[str]],
    config: ReportConfig,
    predicted: Mapping[tuple[str, str], Any],
) -> dict[str, Picture]:
    """Read and draw images.

    Args:
        dataset: an open dataset.
        labels: its label side.
        wanted: image id → tasks whose labels are drawn over it; the most important image first.
            Ids that are not in the dataset are passed over.
        config: sizes.
        predicted: (image id, task) → what a model says instead (`model_labels`).

    Returns:
        Image id → picture, in the order of `wanted`; without `source` where the dataset stores no
        picture, it cannot be decoded, or the room is used up.
    """
    places = labels.rows_of(list(wanted)).tolist()
    rows = {name: row for name, row in zip(wanted, places, strict=True) if row >= 0}
    tasks = sorted({task for name in rows for task in wanted[name]} & set(dataset.info.tasks))
    cells = _read_rows(dataset, sorted(rows.values()), ["image", *tasks])
    room = int(config.picture_mib * 2**20)
    pictures = {}
    for number, (name, row) in enumerate(rows.items()):
        source, why, image_HWC = _thumbnail(cells[row]["image"], config.picture_px)
        if image_HWC is not None:
            height, width = image_HWC.shape[:2]
        else:
            # the size of an image that is not stored may be unknown, which is NaN
            width, height = (max(1, int(np.nan_to_num(side))) for side in labels.size_N2[row])
            image_HWC = np.zeros((height, width, 3), np.uint8)
        tasks_of = sorted(set(wanted[name]) & set(tasks))
        drawn, said = _labels(
            dataset.info, name, tasks_of, cells[row], image_HWC, predicted=predicted, config=config
        )
        size = len(source or "")
        size += sum(len(one.source or "") for one in (*drawn.values(), *said.values()))
        if size > room:
            source, why, drawn, said = None, LEFT_OUT, {}, {}
        else:
            room -= size
        pictures[name] = Picture(number, name, width, height, source, why, drawn, said)
    return pictures


def _read_rows(
    dataset: Dataset, rows: Sequence[int], columns: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Cells of some rows, counted over all shards in their order."""
    wanted_K = np.asarray(rows, np.int64)
    found: dict[int, dict[str, Any]] = {}
    before = 0
    for shard in dataset.info.shards:
        inside_K = wanted_K[(wanted_K >= before) & (wanted_K < before + shard.rows)]
        if len(inside_K):
            with open_shard(dataset.path / shard.file) as parquet:
                first = before
                for number in range(parquet.num_row_groups):
                    count = parquet.metadata.row_group(number).num_rows
                    take = inside_K[(inside_K >= first) & (inside_K < first + count)]
                    if len(take):
                        table = parquet.read_row_group(number, columns=list(columns))
                        some = table.take(pa.array(take - first)).to_pylist()
                        found.update(zip(take.tolist(), some, strict=True))
                    first += count
        before += shard.rows
    return found


def _thumbnail(cell: Any, side: int) -> tuple[str | None, str, Array | None]:
    """Data URI, or why there is none, and the pixels of the image."""
    content = stored_picture(cell)
    if content is None:
        return None, NOT_STORED, None
    try:
        image_HWC = decode_image(content)
    except BadCell:
        return None, NOT_READABLE, None
    picture = Image.fromarray(image_HWC)
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    # small pictures are shown enlarged, pixel by pixel: there the marks of JPEG would be seen
    source = _encoded(picture, "PNG")
    if len(source) > LOSSLESS_BYTES:
        source = _encoded(picture, "JPEG")
    return source, "", image_HWC


def _labels(
    info: DatasetInfo,
    name: str,
    tasks: Sequence[str],
    cells: Mapping[str, Any],
    image_HWC: Array,
    *,
    predicted: Mapping[tuple[str, str], Any],
    config: ReportConfig,
) -> tuple[dict[str, DrawnLabel], dict[str, DrawnLabel]]:
    """Given and predicted labels of one image, by task."""
    drawn: dict[str, DrawnLabel] = {}
    said: dict[str, DrawnLabel] = {}
    for task in tasks:
        spec = info.tasks[task]
        # both in the same colors, so that values can be compared
        drawn[task], limits = _given(spec, cells[task], image_HWC, config)
        if (name, task) in predicted:
            said[task] = _drawn(spec, predicted[name, task], image_HWC, config, limits)
    return drawn, said


def _given(
    task: Task, cell: Any, image_HWC: Array, config: ReportConfig
) -> tuple[DrawnLabel, tuple[float, float] | None]:
    """A label as it is stored, and the ends of its values' colors."""
    try:
        label = decode_label(task, cell)
    except BadCell as error:
        return DrawnLabel(None, (), f"cannot be read: {error}", ()), None
    if label is None:
        return DrawnLabel(None, (), "unknown: nobody looked", ()), None
    limits = value_limits(label) if task.kind is Kind.REGRESSION else None
    return _drawn(task, label, image_HWC, config, limits), limits


def _drawn(
    task: Task,
    label: Any,
    image_HWC: Array,
    config: ReportConfig,
    limits: tuple[float, float] | None,
) -> DrawnLabel:
    """A known label."""
    if task.kind is Kind.DETECTION:
        boxes, legend = _boxes(task, label)
        return DrawnLabel(None, boxes, describe_label(task, label), legend)
    if task.kind is Kind.TAGS:
        return DrawnLabel(None, (), _tag_words(task, label), ())
    if task.kind is Kind.CAPTION:
        return DrawnLabel(None, (), str(label), ())
    picture = Image.fromarray(draw_label(task, label, image_HWC, limits=limits))
    if max(picture.size) > config.picture_px:
        shrink = config.picture_px / max(picture.size)
        # a mean of two categories' colors would be a third category's
        width, height = (max(1, round(px * shrink)) for px in picture.size)
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    flat = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    legend = _legend(task, np.unique(label)) if task.kind is Kind.SEGMENTATION else ()
    words = "" if legend else describe_label(task, label)
    return DrawnLabel(_encoded(flat, "PNG"), (), words, legend)


def _boxes(task: Task, boxes: Any) -> tuple[tuple[DrawnBox, ...], tuple[tuple[str, str], ...]]:
    colors = _hex_colors(len(task.categories))
    drawn = []
    for number in range(min(len(boxes), BOXES_DRAWN)):
        category = int(boxes.category_N[number])
        named = 0 <= category < len(colors)
        xmin, ymin, xmax, ymax = (round(float(px), 1) for px in boxes.corners_N4[number])
        drawn.append(
            DrawnBox(
                task.categories[category] if named else f"id {category}",
                colors[category] if named else "#ffffff",
                bool(boxes.ignore_N[number]),
                (xmin, ymin, xmax, ymax),
            )
        )
    return tuple(drawn), _legend(task, np.unique(boxes.category_N[~boxes.ignore_N]))


def _legend(task: Task, ids: Array) -> tuple[tuple[str, str], ...]:
    colors = _hex_colors(len(task.categories))
    known = [int(i) for i in ids if 0 <= i < len(colors)]
    return tuple((task.categories[i], colors[i]) for i in known)


def _hex_colors(count: int) -> list[str]:
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in category_colors(count)]


def _tag_words(task: Task, state_C: Array) -> str:
    """Present and absent categories by name, and how many nobody looked for."""
    parts = []
    for word, state in (("present", PRESENT), ("absent", ABSENT)):
        names = [task.categories[i] for i in np.flatnonzero(np.asarray(state_C) == state)]
        if names:
            more = len(names) - TAGS_LISTED
            rest = f" and {more} more" if more > 0 else ""
            parts.append(f"{word}: {', '.join(names[:TAGS_LISTED])}{rest}")
    unknown = int((np.asarray(state_C) < 0).sum())
    parts += [f"unknown: {unknown}"] if unknown else []
    return "; ".join(parts)


def _encoded(picture: Image.Image, form: str) -> str:
    stream = io.BytesIO()
    options = {"quality": 84} if form == "JPEG" else {"optimize": True}
    picture.save(stream, form, **options)
    content = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{content}"
