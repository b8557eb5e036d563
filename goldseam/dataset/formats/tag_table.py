"""Label tables in CSV: a row an image with a column a category, or a row an entry.

Blank is unknown, and only what the file calls absent is absent. Read block by block, so that memory
holds one byte an image and category.

N images, C categories, M rows of the file.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.formats.csv_blocks import CODED, TEXT, csv_blocks, csv_head, joined_column
from goldseam.dataset.formats.options import CsvImport
from goldseam.dataset.formats.tag_entries import count_votes
from goldseam.dataset.formats.tag_values import (
    REMEDY,
    TagValues,
    settle_uncertain,
    uncertain_states,
)
from goldseam.errors import InvalidConfig, InvalidDataset, closest

IMAGE_COLUMNS = ("image", "image_id", "path", "file_name", "filename")
SIZE_COLUMNS = ("width", "height")
ENTRY_COLUMNS = ("category", "value")
JOIN = "+"


@dataclasses.dataclass(frozen=True, eq=False)
class TagTable:
    """The content of one CSV file.

    Attributes:
        image_ids: string N.
        categories: names of the C columns.
        state_NC: int8; 1 present, 0 absent, -1 unknown, -2 unsure.
        uncertain_C: entries that the file calls uncertain, whatever they were taken for.
        columns: role or `meta_…` → string N: `group`, `split`, `source`, `width`, `height`, and
            `file`, the picture's, where it is not named by the image's id.
        unsure: whether uncertain entries of some category stay unsure.
    """

    image_ids: pa.Array
    categories: tuple[str, ...]
    state_NC: Array
    uncertain_C: Array
    columns: dict[str, pa.Array]
    unsure: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """What each column of a file is.

    Attributes:
        image: column that names the image.
        categories: category columns of the wide form; empty in the long form.
        long: whether a row is one entry.
        roles: `group`, `split`, `source`, `width`, `height`, `meta_…` → column.
    """

    image: str
    categories: tuple[str, ...]
    long: bool
    roles: dict[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """The rows of the long form.

    Attributes:
        image_M: positions.
        category_M: positions.
        state_M: int8; 1 present, 0 absent, -1 unknown.
    """

    image_M: Array
    category_M: Array
    state_M: Array


def read_tag_table(file: Path, config: CsvImport, remedy: str = REMEDY) -> TagTable:
    """Read a label table.

    Args:
        file: a CSV file with a header.
        config: what the columns and values mean.
        remedy: for a value that means nothing.

    Raises:
        MissingInput: the file cannot be read.
        InvalidConfig: a column that is named is not there, or entries of the long form are to stay
            unsure.
        InvalidDataset: the file is no CSV, a value means nothing, an image is named twice (wide) or
            contradicts itself (long); names row and column.
    """
    head = csv_head(file, delimiter=config.delimiter, encoding=config.encoding)
    layout = find_layout(head[0], config, file)
    unsure = "unsure" in (config.uncertain, *config.uncertain_of.values())
    if unsure and layout.long:
        raise InvalidConfig(
            f"{file} has one entry a row; these are votes on present or absent, and none can "
            "stay unsure.",
            remedy="Take uncertain for unknown, present or absent; or give one row an image.",
        )
    read = _read_long if layout.long else _read_wide
    table = read(file, layout, config, TagValues(config.values, remedy))
    table = dataclasses.replace(table, unsure=unsure)
    if not len(table.image_ids):
        raise InvalidDataset(f"{file} has no row.", remedy="Give a file with labels.")
    blank = pc.indices_nonzero(pc.equal(pc.utf8_trim_whitespace(table.image_ids), ""))
    if len(blank):
        raise InvalidDataset(
            f"{file}, column '{layout.image}': {len(blank)} rows name no image.",
            remedy="Name the image of each row.",
        )
    return table


def find_layout(header: Sequence[str], config: CsvImport, file: Path) -> Layout:
    """What each column is, by the options and by the usual names.

    Raises:
        InvalidConfig: a column that is named is not there, or none names the image.
        InvalidDataset: two columns have the same name.
    """
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InvalidDataset(
            f"{file}: two columns are named '{twice}'.", remedy="Give each a name of its own."
        )
    lower = {name.lower(): name for name in header}

    def column(option: str, named: str, usual: Sequence[str]) -> str:
        if named and named not in header:
            raise InvalidConfig(
                f"{file} has no column '{named}' ({option}).",
                remedy=f"Closest: {closest(named, header)}.",
            )
        return named or next((lower[name] for name in usual if name in lower), "")

    image = column("--image-column", config.image_column, IMAGE_COLUMNS)
    if not image:
        raise InvalidConfig(
            f"{file}: no column names the image; it has {', '.join(header)}.",
            remedy="Name it with --image-column.",
        )
    long = config.form == "long" or (
        config.form == "auto" and all(name in header for name in ENTRY_COLUMNS)
    )
    roles = {
        "group": column("--group-column", config.group_column, ("group",)),
        "split": column("--split-column", config.split_column, ("split",)),
        "source": column("--source-column", config.source_column, ("source",)),
        "meta_annotator": column("--annotator-column", config.annotator_column, ("annotator",)),
        **{name: column("", "", (name,)) for name in SIZE_COLUMNS},
        **{f"meta_{_plain(name)}": column("--meta", name, ()) for name in config.meta},
    }
    # a column that is asked for as a category or is dropped has no other meaning by its name
    claimed = {column("--drop", name, ()) for name in config.drop}
    if not long:
        claimed |= {column("--categories", name, ()) for name in config.categories}
    roles = {role: name for role, name in roles.items() if name and name not in claimed}
    if long:
        for name in ENTRY_COLUMNS:
            column("--form long", name, ())
        return Layout(image, (), long=True, roles=roles)
    taken = {image, *roles.values(), *config.drop}
    rest = tuple(name for name in header if name not in taken)
    categories = config.categories or rest
    if not categories:
        raise InvalidDataset(
            f"{file}: no column is left for a category.", remedy="Give a column for each category."
        )
    return Layout(image, categories, long=False, roles=roles)


def _plain(name: str) -> str:
    """A column's name as a name of a metadata column: letters, digits and _."""
    return "".join(sign if sign.isalnum() else "_" for sign in name).strip("_").lower()


def _blocks(
    file: Path, config: CsvImport, types: dict[str, pa.DataType]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    return csv_blocks(file, types, delimiter=config.delimiter, encoding=config.encoding)


def _read_wide(file: Path, layout: Layout, config: CsvImport, meaning: TagValues) -> TagTable:
    names = {layout.image, *layout.roles.values()}
    types = dict.fromkeys(names, TEXT) | dict.fromkeys(layout.categories, CODED)
    states: list[Array] = []
    tables: list[pa.RecordBatch] = []
    for row, batch in _blocks(file, config, types):
        state_NC = np.empty((len(batch), len(layout.categories)), np.int8)
        for position, name in enumerate(layout.categories):
            where = f"{file}, column '{name}'"
            state_NC[:, position] = meaning.read(batch.column(name), where=where, first_row=row)
        states.append(state_NC)
        tables.append(batch.select(sorted(names)))
    whole = pa.Table.from_batches(tables).combine_chunks() if tables else None
    if whole is None or not whole.num_rows:
        return _without_rows(layout.categories)
    image_ids = joined_column(whole, layout.image)
    require_one_row_each(file, layout.image, image_ids)
    columns = {role: joined_column(whole, name) for role, name in layout.roles.items()}
    policy_C = uncertain_states(config.uncertain, config.uncertain_of, layout.categories)
    state_NC, uncertain_NC = settle_uncertain(np.concatenate(states), policy_C)
    return TagTable(image_ids, layout.categories, state_NC, uncertain_NC.sum(axis=0), columns)


def _without_rows(categories: tuple[str, ...]) -> TagTable:
    none_C = np.zeros(len(categories), np.int64)
    return TagTable(pa.array([], TEXT), categories, np.empty((0, 0), np.int8), none_C, {})


def require_one_row_each(file: Path, column: str, image_ids: pa.Array) -> None:
    """Raises InvalidDataset when two rows are about the same image."""
    if pc.count_distinct(image_ids).as_py() == len(image_ids):
        return
    counted = pc.value_counts(image_ids)
    name = pc.filter(counted.field("values"), pc.greater(counted.field("counts"), 1))[0]
    rows = [row + 1 for row in pc.indices_nonzero(pc.equal(image_ids, name)).to_pylist()]
    raise InvalidDataset(
        f"{file}, column '{column}': image '{name}' stands in the rows {rows[0]} and {rows[1]}.",
        remedy="Give each image one row; several annotators of an image go into the long form "
        "(image, category, value, annotator).",
    )


def _read_long(file: Path, layout: Layout, config: CsvImport, meaning: TagValues) -> TagTable:
    texts = {layout.image, "category", *layout.roles.values()}
    types = dict.fromkeys(texts, TEXT) | {"value": CODED}
    states: list[Array] = []
    tables: list[pa.RecordBatch] = []
    for row, batch in _blocks(file, config, types):
        where = f"{file}, column 'value'"
        states.append(meaning.read(batch.column("value"), where=where, first_row=row))
        tables.append(batch.select(sorted(texts)))
    if not tables:
        return _without_rows(config.categories)
    whole = pa.Table.from_batches(tables).combine_chunks()
    images = joined_column(whole, layout.image).dictionary_encode()
    image_M = images.indices.to_numpy()
    named = joined_column(whole, "category")
    categories = config.categories or tuple(sorted(pc.unique(named).to_pylist()))
    category_M = _category_codes(file, named, categories)
    policy_C = uncertain_states(config.uncertain, config.uncertain_of, categories)
    state_M, uncertain_M = settle_uncertain(np.concatenate(states), policy_C[category_M])
    uncertain_C = np.bincount(category_M[uncertain_M], minlength=len(categories))
    entries = Entries(image_M, category_M, state_M)
    state_NC = _combined(file, config, images.dictionary, categories, entries)
    count = len(images.dictionary)
    columns = {}
    for role, name in layout.roles.items():
        values = joined_column(whole, name)
        if role == "source":
            # who left an entry blank made no label
            made_M = state_M != UNKNOWN
            columns[role] = _joined(image_M[made_M], values.filter(pa.array(made_M)), count)
        elif role == "meta_annotator":
            columns[role] = _joined(image_M, values, count)
        else:
            columns[role] = _one_each(file, name, images.dictionary, image_M, values)
    return TagTable(images.dictionary, categories, state_NC, uncertain_C, columns)


def _category_codes(file: Path, named: pa.Array, categories: tuple[str, ...]) -> Array:
    code_M = pc.index_in(named, pa.array(categories, TEXT))
    if code_M.null_count:
        row = pc.indices_nonzero(pc.is_null(code_M))[0].as_py()
        name = named[row].as_py()
        raise InvalidDataset(
            f"{file}, column 'category', row {row + 1}: '{name}' is none of --categories.",
            remedy=f"Closest: {closest(name, categories)}.",
        )
    codes_M: Array = code_M.to_numpy()
    return codes_M


def _combined(
    file: Path,
    config: CsvImport,
    image_ids: pa.Array,
    categories: tuple[str, ...],
    entries: Entries,
) -> Array:
    """One state an image and category from all rows about it; unknown rows have no say."""
    shape = (len(image_ids), len(categories))
    keys, votes, disputed = count_votes(
        entries.image_M.astype(np.int64) * shape[1] + entries.category_M, entries.state_M
    )
    if disputed.any() and config.conflicts == "error":
        image, category = divmod(int(keys[np.flatnonzero(disputed)[0]]), shape[1])
        raise InvalidDataset(
            f"{file}: image '{image_ids[image]}', category '{categories[category]}' is both "
            f"present and absent; so are {int(disputed.sum())} entries in all.",
            remedy="Mend them, or choose --conflicts unknown or majority.",
        )
    if config.conflicts == "unknown":
        votes[disputed] = 0
    state_NC = np.full(shape, UNKNOWN, np.int8)
    state_NC.ravel()[keys[votes > 0]] = PRESENT
    state_NC.ravel()[keys[votes < 0]] = ABSENT
    return state_NC


def _one_each(
    file: Path, column: str, image_ids: pa.Array, image_M: Array, values: pa.Array
) -> pa.Array:
    """The value of each image, which all of its rows must share."""
    first_N = np.unique(image_M, return_index=True)[1]
    of_image = values.take(pa.array(first_N))
    differing = pc.indices_nonzero(pc.not_equal(of_image.take(pa.array(image_M)), values))
    if len(differing):
        row = differing[0].as_py()
        raise InvalidDataset(
            f"{file}, column '{column}', row {row + 1}: '{values[row]}', but an earlier row of "
            f"image '{image_ids[int(image_M[row])]}' says '{of_image[int(image_M[row])]}'.",
            remedy="Give all rows of an image the same value.",
        )
    return of_image


def _joined(image_M: Array, values: pa.Array, count: int) -> pa.Array:
    """The distinct values of each image, in alphabetical order, as `a+b`."""
    pairs = pa.table({"image": image_M, "value": values}).filter(pc.not_equal(values, ""))
    pairs = pairs.group_by(["image", "value"]).aggregate([])
    pairs = pairs.sort_by([("image", "ascending"), ("value", "ascending")])
    per_image = np.bincount(pairs.column("image").to_numpy(), minlength=count)
    offsets = np.concatenate([[0], np.cumsum(per_image)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(offsets, joined_column(pairs, "value"))
    return pc.binary_join(lists, JOIN)
