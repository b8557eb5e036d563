"""Label tables in CSV as a dataset with one task of tags.

N images, C categories.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import Array, encode_tags
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
from goldseam.dataset.formats.metadata import typed_metadata
from goldseam.dataset.formats.options import CsvImport, ImportConfig
from goldseam.dataset.formats.splitting import (
    Source,
    files_by_split,
    groups_by_pattern,
    read_splits,
)
from goldseam.dataset.formats.tag_entries import count_tags
from goldseam.dataset.formats.tag_table import TagTable, read_tag_table
from goldseam.dataset.schema import SPLITS, DatasetInfo, Kind, Split, Task
from goldseam.errors import InvalidDataset


def import_csv(
    source: Source,
    out: Path,
    *,
    images: Path | None = None,
    config: CsvImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import a label table: a row an image with a column a category, or a row an entry.

    An entry is present, absent or unknown as its text says (`tag_values.MEANINGS`); a blank one is
    unknown. An image of which no category is known has a null label.

    Args:
        source: a CSV file, or one for each split.
        out: the folder to make.
        images: the folder below which the pictures stand by the names in the image column; None
            imports the labels alone.
        config: what the columns and values mean.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: a file or picture cannot be read.
        InvalidConfig: a column that is named is not there, or options contradict each other.
        InvalidDataset: a value means nothing, an image is named twice, or a group is in two splits;
            names file, row and column. Nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    config = config or CsvImport()
    require_task_name(config.task)
    files = files_by_split(source, config.split)
    tables = [read_tag_table(file, config) for file in files.values()]
    return import_tables(files, tables, out, images=images, config=config, replace=replace)


def import_tables(
    files: Mapping[Split, Path],
    tables: Sequence[TagTable],
    out: Path,
    *,
    images: Path | None,
    config: ImportConfig,
    replace: bool,
    notes: tuple[str, ...] = (),
) -> Imported:
    """Write label tables that were read as a dataset; arguments and errors as in `import_csv`.

    Args:
        files: the file of each split, or the one file.
        tables: what was read from them.
        out: the folder to make.
        images: the folder of the pictures.
        config: the options.
        replace: whether a folder that is there is replaced.
        notes: what else a person should know.
    """
    labels = _labels(files, tables, config)
    info = DatasetInfo(
        name=declared_name(config, files),
        version=config.version or "1",
        license=config.license or "unknown",
        source=", ".join(file.name for file in files.values()),
        tasks={},
    )
    written = write_labels(out, labels, info, images=images, config=config, replace=replace)
    task, cells, _ = labels.tasks[config.task]
    uncertain_C = np.sum(
        [_in_order(one, one.uncertain_C, task.categories) for one in tables], axis=0
    )
    tags = count_tags(task.categories, written.kept(cells), uncertain_C)
    return Imported(written.info, dict(written.skipped), notes, tags)


def _labels(
    files: Mapping[Split, Path], tables: Sequence[TagTable], config: ImportConfig
) -> Labels:
    """The labels of all files, one row an image."""
    categories = _all_categories(tables, list(files.values()))
    image_ids = pa.concat_arrays([table.image_ids for table in tables])
    if len(tables) > 1:
        require_unique(
            image_ids, "the files of two splits", "Give each image an id of its own in one file."
        )
    state_NC = np.concatenate([_in_order(table, table.state_NC, categories) for table in tables])
    columns = _columns(tables)
    group = columns.get("group")
    if group is None:
        group = groups_by_pattern(image_ids, config.group_pattern)
    by_file, by_column = _named_splits(files, tables, columns)
    unsure = any(table.unsure for table in tables)
    task = Task(kind=Kind.TAGS, categories=categories, unsure=unsure)
    cells = encode_tags(task, state_NC)
    return Labels(
        image_ids=image_ids,
        file=columns.get("file", image_ids),
        group=group,
        split_N=split_images(config, by_file, by_column, group),
        width=_lengths(columns, "width", len(image_ids)),
        height=_lengths(columns, "height", len(image_ids)),
        tasks={
            config.task: (
                task,
                cells,
                _sources(cells, columns.get("source"), config.source),
            )
        },
        meta={
            name: typed_metadata(values)
            for name, values in columns.items()
            if name.startswith("meta_")
        },
    )


def _named_splits(
    files: Mapping[Split, Path], tables: Sequence[TagTable], columns: Mapping[str, pa.Array]
) -> tuple[Array | None, Array | None]:
    """Split of each image by the file it stands in, or by its own column; None where not said."""
    if len(tables) > 1:
        positions = [SPLITS.index(split) for split in files]
        return np.repeat(positions, [len(table.image_ids) for table in tables]), None
    if "split" not in columns:
        return None, None
    file = next(iter(files.values()))
    return None, read_splits(columns["split"], f"{file}, column 'split'")


def _all_categories(tables: Sequence[TagTable], files: Sequence[Path]) -> tuple[str, ...]:
    """The categories of all files, which must be the same ones."""
    first, *others = tables
    for table, file in zip(others, files[1:], strict=True):
        if differing := set(first.categories) ^ set(table.categories):
            raise InvalidDataset(
                f"{file}: category '{min(differing)}' is not in both this file and {files[0]}.",
                remedy="Give the files of all splits the same categories, or name those that "
                "count with --categories.",
            )
    return first.categories


def _in_order(table: TagTable, values_C: Array, categories: tuple[str, ...]) -> Array:
    """Values of a table's categories (their last axis) in the order of `categories`."""
    if table.categories == categories:
        return values_C
    order = [table.categories.index(name) for name in categories]
    ordered_C: Array = values_C[..., order]
    return ordered_C


def _columns(tables: Sequence[TagTable]) -> dict[str, pa.Array]:
    """Each column over all files; null where a file has none."""
    roles = dict.fromkeys(role for table in tables for role in table.columns)
    return {
        role: pa.concat_arrays(
            [
                table.columns.get(role, pa.nulls(len(table.image_ids), pa.string()))
                for table in tables
            ]
        )
        for role in roles
    }


def _sources(cells: pa.Array, column: pa.Array | None, source: str) -> pa.Array:
    sources = sources_where_known(cells, source)
    if column is None:
        return sources
    named = pc.and_(pc.is_valid(cells), pc.fill_null(pc.not_equal(column, ""), False))
    return pc.if_else(named, column, sources)


def _lengths(columns: dict[str, pa.Array], side: str, count: int) -> pa.Array:
    if side not in columns:
        return pa.nulls(count, pa.int32())
    text = columns[side]
    blank = pc.fill_null(pc.equal(text, ""), True)
    try:
        length = pc.if_else(blank, None, text).cast(pa.int32())
    except pa.ArrowInvalid as error:
        raise InvalidDataset(
            f"column '{side}': {error}.", remedy="Give whole numbers of px, or --drop the column."
        ) from error
    shortest = pc.min(length).as_py()
    if shortest is not None and shortest < 1:
        raise InvalidDataset(
            f"column '{side}': {shortest} px, expected at least 1 px.",
            remedy="Leave a size that nobody knows blank.",
        )
    return length
