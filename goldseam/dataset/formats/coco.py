"""COCO json as a dataset: boxes, captions, masks where asked for.

A federated file (LVIS) also says which categories are absent; nothing else does.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from goldseam.dataset.codecs import encode_tags
from goldseam.dataset.formats.assembly import (
    Imported,
    Labels,
    declared_name,
    require_task_name,
    require_unique,
    sources_where_known,
    split_images,
    write_labels,
)
from goldseam.dataset.formats.coco_images import CocoImages, read_images
from goldseam.dataset.formats.coco_objects import (
    MaskDrawer,
    box_cells,
    caption_cells,
    gather_objects,
    mask_task,
    presence,
)
from goldseam.dataset.formats.coco_records import CocoFile, Faults, read_boxes, read_coco
from goldseam.dataset.formats.metadata import typed_metadata
from goldseam.dataset.formats.options import CocoFileImport, CocoImport
from goldseam.dataset.formats.pictures import Attach
from goldseam.dataset.formats.splitting import Source, files_by_split, groups_by_pattern
from goldseam.dataset.schema import PICTURE, DatasetInfo, Kind, Task
from goldseam.errors import InvalidDataset

CAPTION = "caption"
Cells = dict[str, tuple[Task, pa.Array, pa.Array]]


def import_coco(
    source: Source,
    out: Path,
    *,
    images: Path | None = None,
    config: CocoImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import COCO json: `bbox` x, y, width, height becomes corners clipped to the image.

    Category ids are renumbered from 0 in the order of their ids; `iscrowd` is `ignore`. An image
    without annotations has an empty list (somebody looked and found none) unless
    `unlabeled_is_unknown`. A federated file names absent categories image by image: only those are
    absent, boxes are not exhaustive, and an image of which it says nothing is unlabeled.

    Args:
        source: a json file, or one for each split.
        out: the folder to make.
        images: the folder below which the pictures stand by `file_name`; None imports the labels
            alone.
        config: what the file cannot say.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: a file or picture cannot be read.
        InvalidConfig: options contradict each other or the file.
        InvalidDataset: a record is faulty; names file, record and value. Nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    config = config or CocoImport()
    require_task_name(config.task)
    paths = files_by_split(source, config.split)
    content = {split: read_coco(path) for split, path in paths.items()}
    files = list(content.values())
    faults = [Faults(file.name, skip=config.skip_faulty) for file in files]
    images_of = read_images(content, config, faults)
    require_unique(
        images_of.image_ids,
        ", ".join(path.name for path in paths.values()),
        "Choose another --image-id, such as id or split/file_name.",
    )
    tasks, attachments, clipped = _object_tasks(config, files, images_of, faults)
    tasks |= _caption_task(config, files, images_of)
    if not tasks:
        raise InvalidDataset(
            f"{files[0].name} has neither categories nor captions.",
            remedy="Name a file with annotations.",
        )
    labels = placed_labels(config, images_of, tasks, len(files), attachments)
    info = described(config, declared_name(config, paths), files[0])
    written = write_labels(out, labels, info, images=images, config=config, replace=replace)
    notes = (f"boxes that reached out of their image and were clipped: {clipped:,}",)
    skipped = sum((fault.counts for fault in faults), written.skipped)
    return Imported(written.info, dict(skipped), notes if clipped else ())


def placed_labels(
    config: CocoFileImport,
    images: CocoImages,
    tasks: Cells,
    files: int,
    attachments: tuple[Attach, ...] = (),
) -> Labels:
    """Labels of COCO images with their groups, splits, sizes and metadata."""
    group = images.group
    if group is None:
        group = groups_by_pattern(images.image_ids, config.group_pattern)
    by_file = images.split_N if files > 1 else None
    return Labels(
        image_ids=images.image_ids,
        file=images.file,
        group=group,
        split_N=split_images(config, by_file, None, group),
        width=pa.array(images.size_N2[:, 0], pa.int32()),
        height=pa.array(images.size_N2[:, 1], pa.int32()),
        tasks=tasks,
        meta={name: typed_metadata(values) for name, values in images.meta.items()},
        attachments=attachments,
    )


def _object_tasks(
    config: CocoImport, files: Sequence[CocoFile], images: CocoImages, faults: Sequence[Faults]
) -> tuple[Cells, tuple[Attach, ...], int]:
    """Tasks of boxes, presence and masks; what draws the masks; how many boxes were clipped."""
    category_of, names = declared_categories(files)
    if not names:
        return {}, (), 0
    boxed = [without_captions(file) for file in files]
    boxes = [
        read_boxes(file, rows, category_of, images.size_N2, fault)
        for file, rows, fault in zip(boxed, images.rows, faults, strict=True)
    ]
    objects = gather_objects(boxed, boxes, images, unlabeled_is_unknown=config.unlabeled_is_unknown)
    found = box_cells(objects)
    task = Task(kind=Kind.DETECTION, categories=names, exhaustive=not objects.federated)
    tasks: Cells = {config.task: (task, found, sources_where_known(found, config.source))}
    if objects.federated:
        tags = Task(kind=Kind.TAGS, categories=names)
        shown = encode_tags(tags, presence(images, objects, category_of, faults))
        sources = sources_where_known(shown, config.source)
        tasks[f"{config.task}_present"] = (tags, shown, sources)
    attachments: tuple[Attach, ...] = ()
    if config.masks:
        name, masks = f"{config.task}_mask", mask_task(names)
        count = len(images.records)
        tasks[name] = (masks, pa.nulls(count, PICTURE), pa.nulls(count, pa.string()))
        drawer = MaskDrawer(name, masks, objects, images.size_N2, config.source, faults[0])
        attachments = (drawer.attach,)
    return tasks, attachments, sum(one.clipped for one in boxes)


def _caption_task(config: CocoImport, files: Sequence[CocoFile], images: CocoImages) -> Cells:
    cells = caption_cells(files, images)
    if cells.null_count == len(cells):
        return {}
    sources = sources_where_known(cells, config.source)
    return {CAPTION: (Task(kind=Kind.CAPTION), cells, sources)}


def without_captions(file: CocoFile) -> CocoFile:
    """The same file with the annotations that are objects."""
    kept = [one for one in file.annotations if "caption" not in one]
    return dataclasses.replace(file, annotations=kept)


def declared_categories(files: Sequence[CocoFile]) -> tuple[dict[Any, int], tuple[str, ...]]:
    """Category id → position, and the names by position: sorted by id, over all files."""
    name_of: dict[Any, str] = {}
    for file in files:
        for record in file.categories:
            identity, name = record.get("id"), record.get("name")
            if not isinstance(identity, int) or not isinstance(name, str) or not name.strip():
                raise InvalidDataset(
                    f"{file.name}: a category has the id {identity!r} and the name {name!r}.",
                    remedy="Give each category a number and a name.",
                )
            if name_of.setdefault(identity, name) != name:
                raise InvalidDataset(
                    f"{file.name}: category {identity} is named '{name}' and "
                    f"'{name_of[identity]}'.",
                    remedy="Give each category one id and one name in the files of all splits.",
                )
    ids = sorted(name_of)
    names = tuple(name_of[identity] for identity in ids)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidDataset(
            f"{files[0].name}: two categories are named '{twice}'.",
            remedy="Give each category a name of its own.",
        )
    return {identity: position for position, identity in enumerate(ids)}, names


def described(config: CocoFileImport, name: str, file: CocoFile) -> DatasetInfo:
    """What `dataset.yaml` says about the dataset, by the options, else by the file."""
    about = file.body.get("info")
    about = about if isinstance(about, dict) else {}
    licenses = file.body.get("licenses")
    licenses = licenses if isinstance(licenses, list) else []
    named = [one.get("name") for one in licenses if isinstance(one, dict)]
    license_ = config.license or ", ".join(str(one) for one in named if one) or "unknown"
    return DatasetInfo(
        name=name,
        version=config.version or str(about.get("version") or "1"),
        license=license_,
        source=str(about.get("url") or about.get("contributor") or Path(file.name).name),
        description=str(about.get("description") or ""),
        tasks={},
    )
