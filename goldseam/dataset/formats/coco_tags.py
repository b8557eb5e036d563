"""COCO instances as tags: present where an annotation shows it, absent where somebody looked.

N images, C categories, M annotations.
"""

from pathlib import Path
from typing import Any

import numpy as np

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array, encode_tags
from goldseam.dataset.formats.assembly import (
    Imported,
    declared_name,
    require_task_name,
    require_unique,
    sources_where_known,
    write_labels,
)
from goldseam.dataset.formats.coco import (
    declared_categories,
    described,
    placed_labels,
    without_captions,
)
from goldseam.dataset.formats.coco_images import read_images
from goldseam.dataset.formats.coco_objects import FEDERATED, set_absent
from goldseam.dataset.formats.coco_records import (
    CocoFile,
    Faults,
    annotation_names,
    positions,
    read_coco,
    repeated,
)
from goldseam.dataset.formats.options import CocoTagsImport
from goldseam.dataset.formats.splitting import Source, files_by_split
from goldseam.dataset.formats.tag_entries import count_tags
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig, InvalidDataset, closest


def import_coco_tags(
    source: Source,
    out: Path,
    *,
    images: Path | None = None,
    config: CocoTagsImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import COCO json as tags.

    A category is present where an annotation shows it, whatever its box or outline. It is absent
    where COCO's promise to annotate all of its objects holds: in every other image on which
    somebody looked, for all categories or for those of `exhaustive`. A federated file (LVIS) makes
    no such promise: there only `neg_category_ids` are absent, and an image of which it says nothing
    is unlabeled.

    Args:
        source: a json file, or one for each split. JSON is read whole.
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
    config = config or CocoTagsImport()
    require_task_name(config.task)
    paths = files_by_split(source, config.split)
    content = {split: read_coco(path) for split, path in paths.items()}
    files = [without_captions(file) for file in content.values()]
    faults = [Faults(file.name, skip=config.skip_faulty) for file in files]
    images_of = read_images(content, config, faults)
    require_unique(
        images_of.image_ids,
        ", ".join(path.name for path in paths.values()),
        "Choose another --image-id, such as id or split/file_name.",
    )
    category_of, names = declared_categories(files)
    if not names:
        raise InvalidDataset(
            f"{files[0].name} has no categories.", remedy="Name a file with annotations of objects."
        )
    federated = any(key in record for record in images_of.records for key in FEDERATED)
    state_NC = np.full((len(images_of.records), len(names)), UNKNOWN, np.int8)
    if not federated or config.exhaustive:
        state_NC[:, _exhaustive(names, config, federated=federated)] = ABSENT
    looked_N = np.zeros(len(state_NC), bool)
    for file, rows, fault in zip(files, images_of.rows, faults, strict=True):
        looked_N |= _write_states(state_NC, file, rows, category_of, fault, config)
        set_absent(state_NC, images_of, rows, category_of, fault)
    if config.unlabeled_is_unknown and not federated:
        state_NC[~looked_N] = UNKNOWN
    task = Task(kind=Kind.TAGS, categories=names)
    cells = encode_tags(task, state_NC)
    tasks = {config.task: (task, cells, sources_where_known(cells, config.source))}
    labels = placed_labels(config, images_of, tasks, len(files))
    info = described(config, declared_name(config, paths), next(iter(content.values())))
    written = write_labels(out, labels, info, images=images, config=config, replace=replace)
    skipped = sum((fault.counts for fault in faults), written.skipped)
    return Imported(written.info, dict(skipped), tags=count_tags(names, written.kept(cells)))


def _exhaustive(names: tuple[str, ...], config: CocoTagsImport, *, federated: bool) -> list[int]:
    """Positions of the categories of which all objects are annotated."""
    if federated:
        raise InvalidConfig(
            "a federated file says image by image what is absent; no category is exhaustive there.",
            remedy="Leave --exhaustive out.",
        )
    for name in config.exhaustive:
        if name not in names:
            raise InvalidConfig(
                f"no category is named '{name}' (--exhaustive).",
                remedy=f"Closest: {closest(name, names)}.",
            )
    return [names.index(name) for name in config.exhaustive or names]


def _write_states(
    state_NC: Array,
    file: CocoFile,
    rows: dict[Any, int],
    category_of: dict[Any, int],
    fault: Faults,
    config: CocoTagsImport,
) -> Array:
    """Write what the annotations of a file show; returns the images on which somebody looked.

    What an annotation that is left out may have shown is unknown, never absent.
    """
    records = file.annotations
    names = annotation_names(records)
    row_M = positions([one.get("image_id") for one in records], rows)
    category_M = positions([one.get("category_id") for one in records], category_of)
    twice_M = repeated([one.get("id") for one in records])
    fault.refuse(twice_M, "repeated id", names, "the id was used before", "an id of its own")
    fault.refuse(
        row_M < 0,
        "no such image",
        names,
        lambda at: f"image_id {records[at].get('image_id')!r}",
        "the id of a record in 'images'",
    )
    fault.refuse(
        category_M < 0,
        "no such category",
        names,
        lambda at: f"category_id {records[at].get('category_id')!r}",
        "the id of a record in 'categories'",
    )
    looked_N = np.zeros(len(state_NC), bool)
    looked_N[row_M[row_M >= 0]] = True
    placed_M = (row_M >= 0) & (category_M >= 0)
    doubtful_M = twice_M
    if config.crowds == "unknown":
        doubtful_M = doubtful_M | np.array([bool(one.get("iscrowd")) for one in records], bool)
    for chosen_M, state in (
        (placed_M & doubtful_M, UNKNOWN),
        (placed_M & ~doubtful_M, PRESENT),
    ):
        state_NC[row_M[chosen_M], category_M[chosen_M]] = state
    return looked_N
