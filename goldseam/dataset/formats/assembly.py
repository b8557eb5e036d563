"""From what an importer read to a dataset on disk: one table for all images, cut by split.

N images.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.metadata import MetaKind
from goldseam.dataset.formats.options import ImportConfig
from goldseam.dataset.formats.pictures import FILE, Attach, Pictures, row_groups
from goldseam.dataset.formats.splitting import deal_groups
from goldseam.dataset.formats.tag_entries import TagCounts
from goldseam.dataset.schema import PICTURE, SPLITS, DatasetInfo, Split, Task
from goldseam.dataset.writing import write_tables
from goldseam.errors import InvalidConfig, InvalidDataset, MissingInput

ROW = "row"


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        info: what the dataset declares.
        skipped: faulty entries that were left out, by what is wrong with them.
        notes: what else a person should know, one sentence each.
        tags: how often each category is present, absent, unknown and uncertain; empty where the
            format has no tags.
    """

    info: DatasetInfo
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tags: tuple[TagCounts, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Written:
    """A dataset that was written from labels.

    Attributes:
        info: what it declares.
        kept_N: bool, which images it has; the others lack their picture.
    """

    info: DatasetInfo
    kept_N: Array

    @property
    def skipped(self) -> Counter[str]:
        """Images that were left out, by why."""
        missing = int((~self.kept_N).sum())
        return Counter({"an image whose picture is not there": missing} if missing else {})

    def kept(self, cells: pa.Array) -> pa.Array:
        """The cells of the images it has."""
        return cells.filter(pa.array(self.kept_N))


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """Labels of all images, as an importer read them.

    Attributes:
        image_ids: string N.
        file: string N, where each picture stands below the folder of the pictures.
        group: string N.
        split_N: positions in `SPLITS`.
        width: int32 N, px; null where unknown.
        height: the same.
        tasks: name → (task, cells N, sources N); cells and sources null where unknown.
        meta: `meta_…` → (values N, type).
        attachments: fill in what would not fit into memory, given `ROW`, the position of an image.
    """

    image_ids: pa.Array
    file: pa.Array
    group: pa.Array
    split_N: Array
    width: pa.Array
    height: pa.Array
    tasks: dict[str, tuple[Task, pa.Array, pa.Array]]
    meta: dict[str, tuple[pa.Array, MetaKind]]
    attachments: tuple[Attach, ...] = ()


def split_images(
    config: ImportConfig, by_file: Array | None, by_column: Array | None, group: pa.Array
) -> Array:
    """The split of each image: by its file, by a column, or dealt out by group.

    Args:
        config: the options.
        by_file: N positions in `SPLITS` where each split has a file of its own.
        by_column: N positions in `SPLITS` where a column names the split.
        group: string N.

    Raises:
        InvalidConfig: more than one of these is asked for.
    """
    ways = {
        "a file for each split": by_file is not None,
        "a column that names the split": by_column is not None,
        "--fractions": bool(config.fractions),
    }
    if sum(ways.values()) > 1:
        named = " and ".join(way for way, asked in ways.items() if asked)
        raise InvalidConfig(
            f"{named} would both say which split an image is in.",
            remedy="Leave one of them out; --drop split passes over such a column.",
        )
    if config.fractions:
        return deal_groups(group, config.fractions, config.seed)
    if by_column is not None:
        return by_column
    return np.full(len(group), SPLITS.index(config.split)) if by_file is None else by_file


def write_labels(
    out: Path,
    labels: Labels,
    info: DatasetInfo,
    *,
    images: Path | None,
    config: ImportConfig,
    replace: bool,
) -> Written:
    """Write imported labels as a dataset.

    Args:
        out: the folder to make.
        labels: what was read.
        info: name, version, license and source; tasks and metadata are filled in.
        images: the folder of the pictures; None stores none.
        config: whether pictures are stored, and what becomes of images without one.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: a picture is not there.
        InvalidDataset: a picture is none, none is there, or what was read breaks the format.
        OutputExists: `out` is there and `replace` is False.
    """
    info = info.model_copy(
        update={
            "tasks": {name: task for name, (task, *_) in labels.tasks.items()},
            "meta": {name: kind for name, (_, kind) in labels.meta.items()},
        }
    )
    info = DatasetInfo.model_validate(info.model_dump())
    attachments = list(labels.attachments)
    kept_N = np.ones(len(labels.image_ids), bool)
    if images is not None:
        if not images.is_dir():
            raise MissingInput(images, "is no folder", "Name the folder of the pictures.")
        pictures = Pictures(images, copy=config.copy_pictures)
        attachments.insert(0, pictures.attach)
        if config.skip_missing:
            kept_N = _with_picture(labels, pictures)
    stored = (images is not None and config.copy_pictures) or bool(labels.attachments)
    table = _label_table(labels)
    splits: dict[Split, pa.Table] = {
        split: table.take(pa.array(np.flatnonzero((labels.split_N == position) & kept_N)))
        for position, split in enumerate(SPLITS)
    }
    info = write_tables(
        out,
        info,
        {split: row_groups(rows, attachments, pictures=stored) for split, rows in splits.items()},
        sizes_known=images is not None or labels.width.null_count + labels.height.null_count == 0,
        replace=replace,
    )
    return Written(info, kept_N)


def _with_picture(labels: Labels, pictures: Pictures) -> Array:
    names = zip(labels.image_ids.to_pylist(), labels.file.to_pylist(), strict=True)
    kept_N = np.array([pictures.holds(image_id, file) for image_id, file in names], bool)
    if len(kept_N) and not kept_N.any():
        raise InvalidDataset(
            f"none of the {len(kept_N):,} pictures is below {pictures.root}, the first being "
            f"'{labels.file[0]}'.",
            remedy="Name the folder below which the pictures stand with --images.",
        )
    return kept_N


def _label_table(labels: Labels) -> pa.Table:
    count = len(labels.image_ids)
    columns: dict[str, pa.Array] = {
        "image_id": labels.image_ids,
        "image": pa.nulls(count, PICTURE),
        "width": labels.width,
        "height": labels.height,
        "group": labels.group,
        FILE: labels.file,
        ROW: pa.array(np.arange(count)),
    }
    columns |= {name: values for name, (values, _) in labels.meta.items()}
    for name, (_, cells, sources) in labels.tasks.items():
        columns |= {name: cells, f"{name}_source": sources}
    return pa.table(columns)


def declared_name(config: ImportConfig, files: Mapping[Split, Path]) -> str:
    """The dataset's name: as given, else that of its first file."""
    return config.name or next(iter(files.values())).stem


def sources_where_known(cells: pa.Array, source: str) -> pa.Array:
    """`source` beside each label, null beside each unknown one."""
    names = pa.array([source, None], pa.string())
    unknown_N = cells.is_null().to_numpy(zero_copy_only=False)
    return names.take(pa.array(unknown_N.astype(np.int32)))


def require_task_name(name: str) -> None:
    """Raises InvalidConfig when a task cannot have this name."""
    try:
        DatasetInfo.model_validate({"name": "x", "tasks": {name: {"kind": "caption"}}})
    except ValueError as error:
        raise InvalidConfig(
            f"'{name}' is no name of a task.",
            remedy="Use letters, digits and _, no fixed column's name, and no ending '_source'.",
        ) from error


def require_unique(image_ids: pa.Array, what: str, remedy: str) -> None:
    """Raises InvalidDataset when two images have the same id."""
    counts = image_ids.value_counts()
    repeated = np.flatnonzero(counts.field("counts").to_numpy() > 1)
    if len(repeated):
        name = counts.field("values")[int(repeated[0])]
        raise InvalidDataset(f"{what}: two images are named '{name}'.", remedy=remedy)
