"""Open Images: verified present (1) and absent (0) image by image, everything else unknown.

Kuznetsova et al., The Open Images Dataset V4 (IJCV 2020). What a machine proposed and nobody
verified is unknown. Memory grows with the rows of the files, not with images times categories.

N images, C categories, M rows.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.formats.assembly import (
    Imported,
    Labels,
    require_task_name,
    require_unique,
    split_images,
    write_labels,
)
from goldseam.dataset.formats.options import OpenImagesImport
from goldseam.dataset.formats.pictures import Attach
from goldseam.dataset.formats.splitting import (
    Source,
    files_by_split,
    first_file,
    groups_by_pattern,
    published_files,
)
from goldseam.dataset.formats.tag_entries import count_tags, count_votes, pair_cells
from goldseam.dataset.formats.tag_sets.open_images_boxes import read_box_files
from goldseam.dataset.formats.tag_sets.open_images_classes import Classes, read_classes
from goldseam.dataset.formats.tag_sets.open_images_rows import LabelRows, read_label_rows
from goldseam.dataset.schema import BOX, SPLITS, DatasetInfo, Kind, Split, Task
from goldseam.errors import InvalidConfig, InvalidDataset

FILES: dict[Split, tuple[str, ...]] = {
    split: (
        f"oidv6-{split}-annotations-human-imagelabels.csv",
        f"{split}-annotations-human-imagelabels.csv",
        f"{split}-annotations-human-imagelabels-boxable.csv",
        f"{split}/annotations-human.csv",
    )
    for split in SPLITS
}
DESCRIPTIONS = (
    "oidv7-class-descriptions.csv",
    "class-descriptions.csv",
    "class-descriptions-boxable.csv",
)


def import_open_images(
    source: Source,
    out: Path,
    *,
    images: Path | None = None,
    descriptions: Path | None = None,
    classes: Path | None = None,
    boxes: Source | None = None,
    config: OpenImagesImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import image-level labels of Open Images: `ImageID,Source,LabelName,Confidence`.

    Confidence 1 is present, 0 absent. A row of a machine (`Source` is `machine`) is a proposal:
    its label is unknown. The source of an image's labels names all who verified one. An image is
    its own group unless `group_pattern` says otherwise.

    Args:
        source: a csv, one for each split, or the folder that holds them.
        out: the folder to make.
        images: the folder of the pictures, named by `ImageID`; None imports the labels alone.
        descriptions: `LabelName,DisplayName`, with a header or without: names and order of the
            categories; None takes the one beside the files where `source` is a folder, else labels
            are named as the files do (`/m/…`), in alphabetical order.
        classes: `LabelName` line by line: the categories that are wanted, such as the trainable
            ones; labels of others are counted and left out. None takes all.
        boxes: csv of boxes, or one for each split; they need the pictures, for their corners are
            shares of the image. Boxes are not exhaustive; a group (`IsGroupOf`) is `ignore`.
        config: the options.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: a file or picture cannot be read.
        InvalidConfig: options contradict each other, or boxes come without pictures.
        InvalidDataset: a value means nothing, a label or image is not declared, or a label is
            disputed and `conflicts` is `error`; names file, row and column. Nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    config = config or OpenImagesImport()
    require_task_name(config.task)
    files = published_files(source, FILES, config.split)
    if descriptions is None and not isinstance(source, Mapping) and Path(source).is_dir():
        descriptions = first_file(Path(source), DESCRIPTIONS)
    declared = read_classes(descriptions, classes)
    rows = read_label_rows(files, declared, config.source)
    names = declared.names or tuple(rows.label_names)
    if not names:
        raise InvalidDataset(
            f"{next(iter(files.values()))}: no row names a category.", remedy="Give labels."
        )
    labels, notes = _labels(files, rows, names, config)
    skipped = Counter({"a category that is not wanted": rows.unwanted} if rows.unwanted else {})
    if boxes is not None:
        if images is None:
            raise InvalidConfig(
                "boxes of Open Images are shares of their image: they need the pictures.",
                remedy="Name the folder of the pictures with --images, or leave the boxes out.",
            )
        labels, faults = _with_boxes(
            labels, files_by_split(boxes, config.split), declared, rows, config
        )
        skipped += faults
    info = DatasetInfo(
        name=config.name,
        version=config.version or "1",
        license=config.license or "unknown",
        source=", ".join(file.name for file in files.values()),
        tasks={},
    )
    written = write_labels(out, labels, info, images=images, config=config, replace=replace)
    tags = count_tags(names, written.kept(labels.tasks[config.task][1]))
    return Imported(written.info, dict(skipped + written.skipped), notes, tags)


def _labels(
    files: Mapping[Split, Path], rows: LabelRows, names: tuple[str, ...], config: OpenImagesImport
) -> tuple[Labels, tuple[str, ...]]:
    """Labels of all images, and what a person should know about them."""
    count = len(rows.image_ids)
    pair_M = rows.image_M.astype(np.int64) * len(names) + rows.category_M
    pair_K, votes_K, disputed_K = count_votes(pair_M, rows.state_M)
    notes = (
        [f"rows of a machine, which nobody verified: {rows.proposed:,}"] if rows.proposed else []
    )
    if disputed_K.any():
        image, category = divmod(int(pair_K[np.flatnonzero(disputed_K)[0]]), len(names))
        where = f"image '{rows.image_ids[image]}', category '{names[category]}'"
        many = f"{int(disputed_K.sum()):,}"
        if config.conflicts == "error":
            raise InvalidDataset(
                f"{', '.join(str(file) for file in files.values())}: {where} is both present and "
                f"absent; so are {many} labels in all.",
                remedy="Mend them, or choose --conflicts unknown or majority.",
            )
        notes.append(f"labels that are both present and absent, such as {where}: {many}")
        if config.conflicts == "unknown":
            votes_K[disputed_K] = 0
    cells = pair_cells(pair_K, votes_K, count, len(names))
    group = groups_by_pattern(rows.image_ids, config.group_pattern)
    by_file = rows.split_N if len(files) > 1 else None
    unsized = pa.nulls(count, pa.int32())
    if len(files) > 1:
        require_unique(rows.image_ids, "the files of two splits", "Give each image one split.")
    labels = Labels(
        image_ids=rows.image_ids,
        file=rows.image_ids,
        group=group,
        split_N=split_images(config, by_file, None, group),
        width=unsized,
        height=unsized,
        tasks={config.task: (Task(kind=Kind.TAGS, categories=names), cells, _sources(rows, cells))},
        meta={},
    )
    return labels, tuple(notes)


def _sources(rows: LabelRows, cells: pa.StructArray) -> pa.Array:
    """All who verified a label of an image, as `a+b`; null where no label is known."""
    made_N = np.zeros(len(cells), np.int64)
    for position in range(len(rows.sources)):
        of_source_N = np.zeros(len(cells), bool)
        of_source_N[rows.image_M[rows.source_M == position]] = True
        made_N |= of_source_N.astype(np.int64) << position
    codes, code_N = np.unique(made_N, return_inverse=True)
    words = pa.array(
        [
            "+".join(name for at, name in enumerate(rows.sources) if code >> at & 1)
            for code in codes.tolist()
        ],
        pa.string(),
    )
    return pc.if_else(cells.is_valid(), words.take(pa.array(code_N)), pa.scalar(None, pa.string()))


def _with_boxes(
    labels: Labels,
    files: Mapping[Split, Path],
    declared: Classes,
    rows: LabelRows,
    config: OpenImagesImport,
) -> tuple[Labels, Counter[str]]:
    """The labels with a task of boxes, and what was left out of it."""
    require_task_name(config.boxes_task)
    if config.boxes_task == config.task:
        raise InvalidConfig(
            f"tags and boxes are both named '{config.task}'.", remedy="Name one of them otherwise."
        )
    boxes, skipped = read_box_files(files, rows, declared, config)
    task = Task(kind=Kind.DETECTION, categories=boxes.categories, exhaustive=False)
    count = len(labels.image_ids)
    attach: Attach = boxes.attach
    cells = (task, pa.nulls(count, pa.list_(BOX)), pa.nulls(count, pa.string()))
    tasks = {**labels.tasks, config.boxes_task: cells}
    return dataclasses.replace(labels, tasks=tasks, attachments=(attach,)), skipped
