"""What a dataset holds, at a glance: counts of what is known, and a contact sheet of samples."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from goldseam.dataset.codecs import Array, Boxes, encode_png
from goldseam.dataset.coverage import coverage
from goldseam.dataset.drawing import FAINT, INK, PAPER, describe_label, draw_label, enlarge, font
from goldseam.dataset.reading import Dataset, Record, open_dataset
from goldseam.dataset.schema import Task
from goldseam.progress import progress
from goldseam.results import CoverageRow
from goldseam.storage.atomic import write_bytes

if TYPE_CHECKING:
    from rich.table import Table

TILE_PX = 192
GAP_PX = 8
CAPTION_PX = 30
HEADER_PX = 40
SIDE_PX = 132


def show_dataset(
    path: Path | str,
    *,
    sheet: Path | None = None,
    images_per_split: int = 4,
    decode_pictures: bool = True,
) -> list[CoverageRow]:
    """Count what is known in a dataset, and draw samples of it.

    Args:
        path: a folder with `dataset.yaml`.
        sheet: PNG file to write the contact sheet to; None draws none.
        images_per_split: rows of the contact sheet per split.
        decode_pictures: whether masks are decoded to count their categories.

    Returns:
        The counts, as `coverage` gives them.

    Raises:
        MissingInput: the folder, its `dataset.yaml` or a shard is not there or cannot be read.
        InvalidDataset: `dataset.yaml` or a label breaks the format.
    """
    dataset = open_dataset(path, verify=False)
    rows = coverage(dataset, decode_pictures=decode_pictures)
    if sheet is not None:
        write_bytes(sheet, encode_png(contact_sheet(dataset, images_per_split)))
    return rows


def coverage_table(rows: Sequence[CoverageRow], *, by_source: bool = True) -> "Table":
    """Counts as a table for a terminal.

    Args:
        rows: as `coverage` gives them.
        by_source: False leaves out the rows of each source where several labeled the same.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="images where a label or category is …")
    for name in ("task", "category", "split", "source"):
        table.add_column(name)
    for name in ("present", "absent", "unknown"):
        table.add_column(name, justify="right")
    for task, of_task in itertools.groupby(rows, key=lambda row: row.task):
        for (category, split), same in itertools.groupby(
            of_task, key=lambda row: (row.category, row.split)
        ):
            whole, *of_sources = same
            source = of_sources[0].source if len(of_sources) == 1 else None
            shown = [(whole, source or "all")]
            if by_source and len(of_sources) > 1:
                shown += [(row, row.source or "") for row in of_sources]
            for row, maker in shown:
                # a whole label is there or unknown; only a category can be absent
                absent = "" if category is None else f"{row.absent:,}"
                names = map(escape, (task, category or "", split, maker))
                style = "dim" if row is not whole else "bold" if category is None else ""
                counts = (f"{row.present:,}", absent, f"{row.unknown:,}")
                table.add_row(*names, *counts, style=style)
        table.add_section()
    return table


def contact_sheet(dataset: Dataset, images_per_split: int = 4) -> Array:
    """Samples of each split in rows; the image and every task in columns.

    The samples are the same each time: of every task one that carries it, while there is room,
    then images spread evenly over the split. What nobody labeled is a hatched tile.

    Args:
        dataset: an open dataset.
        images_per_split: rows per split.

    Returns:
        `uint8 HW3`.

    Raises:
        InvalidDataset: a sample cannot be decoded.
    """
    chosen = {
        split: _choose(dataset.known(split), images_per_split) for split in dataset.info.splits
    }
    strips = [_header(dataset.info.tasks)]
    with progress("contact sheet", sum(len(rows) for rows in chosen.values())) as step:
        for split, rows in chosen.items():
            for record in dataset.records(split, rows=rows):
                strips.append(_strip(dataset.info.tasks, split, record))
                step()
    return np.concatenate(strips)


def _choose(known: dict[str, Array], count: int) -> list[int]:
    total = len(next(iter(known.values()), ()))
    with_task = [np.flatnonzero(known_N)[:1].tolist() for known_N in known.values()]
    even = np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
    # every position stands behind, for splits that are smaller than what was asked for
    ordered = dict.fromkeys([*itertools.chain(*with_task), *even, *range(min(total, count))])
    return sorted(list(ordered)[:count])


def _header(tasks: dict[str, Task]) -> Array:
    width = SIDE_PX + (TILE_PX + GAP_PX) * (1 + len(tasks)) + GAP_PX
    picture = Image.new("RGB", (width, HEADER_PX), PAPER)
    draw = ImageDraw.Draw(picture)
    titles = [("image", ""), *((name, str(task.kind)) for name, task in tasks.items())]
    for number, (name, kind) in enumerate(titles):
        left = SIDE_PX + number * (TILE_PX + GAP_PX)
        draw.text((left, 6), _clipped(name, 14, TILE_PX), font=font(14), fill=INK)
        draw.text((left, 24), kind, font=font(11), fill=FAINT)
    return np.array(picture)


def _strip(tasks: dict[str, Task], split: str, record: Record) -> Array:
    tiles = [(_fit(record.image_HWC), "")]
    for name, task in tasks.items():
        label, source = record.labels[name], record.sources[name]
        caption = ": ".join(filter(None, (source, describe_label(task, label))))
        tiles.append((_draw(task, label, record.image_HWC), caption))
    height = max(tile.shape[0] for tile, _ in tiles) + CAPTION_PX
    width = SIDE_PX + (TILE_PX + GAP_PX) * len(tiles) + GAP_PX
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    lines = (split, record.image_id, record.group)
    for number, (text, color) in enumerate(zip(lines, (INK, INK, FAINT), strict=True)):
        line = _clipped(text, 12, SIDE_PX - 2 * GAP_PX)
        draw.text((GAP_PX, 4 + 17 * number), line, font=font(12), fill=color)
    for number, (tile_HW3, caption) in enumerate(tiles):
        left = SIDE_PX + number * (TILE_PX + GAP_PX)
        picture.paste(Image.fromarray(tile_HW3), (left, 0))
        place = (left, tile_HW3.shape[0] + 4)
        draw.text(place, _clipped(caption, 11, TILE_PX), font=font(11), fill=FAINT)
    return np.array(picture)


def _draw(task: Task, label: Any, image_HW3: Array) -> Array:
    """A label in the size of a tile: small ones enlarged, large ones thinned out."""
    every = -(-max(image_HW3.shape[:2]) // TILE_PX)
    if every > 1 and label is not None:
        if isinstance(label, Boxes):
            label = dataclasses.replace(label, corners_N4=label.corners_N4 / every)
        elif task.kind.is_picture:
            label = label[..., ::every, ::every]
    small_HW3 = image_HW3[::every, ::every]
    return draw_label(task, label, small_HW3, scale=_scale(small_HW3))


def _fit(image_HW3: Array) -> Array:
    every = -(-max(image_HW3.shape[:2]) // TILE_PX)
    small_HW3 = image_HW3[::every, ::every]
    return enlarge(small_HW3, _scale(small_HW3))


def _scale(image_HW3: Array) -> int:
    return max(1, TILE_PX // int(max(image_HW3.shape[:2])))


def _clipped(text: str, size: int, width: float) -> str:
    face = font(size)
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
