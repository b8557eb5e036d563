"""NIH ChestX-ray14: findings between `|`, mined from reports; a patient is a group.

Wang et al., ChestX-ray8 (CVPR 2017). What a row lists is present. What it does not list is a
negative that no radiologist ever gave: the report did not mention it; see `unlisted`.

N images, C findings, D distinct texts.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.formats.assembly import Imported, require_task_name
from goldseam.dataset.formats.csv_blocks import (
    CODED,
    TEXT,
    csv_blocks,
    csv_head,
    joined_column,
)
from goldseam.dataset.formats.options import ChestXray14Import
from goldseam.dataset.formats.splitting import deal_groups, first_file
from goldseam.dataset.formats.tag_sets.picture_places import picture_places
from goldseam.dataset.formats.tag_table import TagTable, require_one_row_each
from goldseam.dataset.formats.tags_csv import import_tables
from goldseam.dataset.schema import SPLITS
from goldseam.errors import InvalidConfig, InvalidDataset, MissingInput, closest

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NO_FINDING = "No Finding"
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = ("train_val_list.txt", "test_list.txt")
IMAGE, LABELS, PATIENT, AGE = "Image Index", "Finding Labels", "Patient ID", "Patient Age"
# the headers of sizes hold a comma, which cuts each into two
META = {
    "Follow-up #": "meta_follow_up",
    AGE: "meta_age",
    "Patient Gender": "meta_sex",
    "Patient Sex": "meta_sex",
    "View Position": "meta_projection",
    "OriginalImage[Width": "meta_original_width",
    "Height]": "meta_original_height",
    "OriginalImagePixelSpacing[x": "meta_pixel_spacing_x",
    "y]": "meta_pixel_spacing_y",
}
# an age is `058Y`, `013M` or `003D` in the first release, `58` in later ones
UNITS_A_YEAR = {"": 1, "Y": 1, "M": 12, "D": 365}


def import_chest_xray14(
    source: Path | str,
    out: Path,
    *,
    images: Path | None = None,
    config: ChestXray14Import | None = None,
    replace: bool = False,
) -> Imported:
    """Import NIH ChestX-ray14 (`Data_Entry_2017.csv`).

    `No Finding` is no category: it says that none of the 14 was mined. A blank says nothing, so
    that the image has no label. The lists `train_val_list.txt` and `test_list.txt` beside the table
    give the splits, unless `fractions` does. Metadata: `meta_age` (whole years), `meta_sex`,
    `meta_projection` (AP, PA), `meta_follow_up`, size (px) and pixel spacing (mm) of the original;
    the published pictures are smaller.

    Args:
        source: the table, or the folder that holds it.
        out: the folder to make.
        images: the folder of the pictures, or the one that holds the folders `images_001` …; None
            imports the labels alone.
        config: the options.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: a file or picture cannot be read, or one of the two lists is missing.
        InvalidConfig: options name a finding that is none, or contradict each other.
        InvalidDataset: a finding or age means nothing, an image is named twice or is in no list, or
            a patient is in two splits; names file, row and column. Nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    config = config or ChestXray14Import()
    require_task_name(config.task)
    for name in config.categories:
        if name not in FINDINGS:
            raise InvalidConfig(
                f"ChestX-ray14 has no finding '{name}'.",
                remedy=f"Closest: {closest(name, FINDINGS)}.",
            )
    file = Path(source)
    if file.is_dir():
        found = first_file(file, TABLES)
        if found is None:
            raise MissingInput(file, f"holds no {TABLES[1]}", "Name the table itself.")
        file = found
    table = _read(file, config)
    if images is not None:
        table.columns["file"] = picture_places(images, table.image_ids)
    notes: tuple[str, ...] = ()
    if not config.fractions:
        split_N, more = _official_splits(file, table, config)
        if split_N is not None:
            table.columns["split"] = pa.array(np.array(SPLITS)[split_N], TEXT)
            notes = more
    files = {config.split: file}
    return import_tables(
        files, [table], out, images=images, config=config, replace=replace, notes=notes
    )


def _read(file: Path, config: ChestXray14Import) -> TagTable:
    names = _column_names(file)
    categories = config.categories or FINDINGS
    meta = [name for name in META if name in names]
    types = dict.fromkeys([IMAGE, PATIENT, *meta], TEXT) | {LABELS: CODED}
    if AGE in meta:
        types[AGE] = CODED
    states: list[Array] = []
    ages: list[pa.Array] = []
    batches: list[pa.RecordBatch] = []
    for row, batch in csv_blocks(file, types, names=names):
        column = batch.column(LABELS)
        state_DC, bad_D = _states(column.dictionary.to_pylist(), config)
        code_M = column.indices.to_numpy()
        if bad_D[code_M].any():
            at = int(np.flatnonzero(bad_D[code_M])[0])
            raise _no_finding(file, row + at, column[at].as_py())
        states.append(state_DC[code_M])
        if AGE in meta:
            ages.append(_years(batch.column(AGE), file, row))
        batches.append(batch)
    if not batches or not sum(len(one) for one in states):
        raise InvalidDataset(f"{file} has no row.", remedy="Give a file with labels.")
    whole = pa.Table.from_batches([one.select([IMAGE, PATIENT, *meta]) for one in batches])
    image_ids = joined_column(whole, IMAGE)
    require_one_row_each(file, IMAGE, image_ids)
    columns = {META[name]: joined_column(whole, name) for name in meta if name != AGE}
    if ages:
        columns[META[AGE]] = pa.concat_arrays(ages)
    for name in (IMAGE, PATIENT):
        _require_text(file, name, joined_column(whole, name))
    columns["group"] = joined_column(whole, PATIENT)
    none_C = np.zeros(len(categories), np.int64)
    return TagTable(image_ids, categories, np.concatenate(states), none_C, columns)


def _column_names(file: Path) -> list[str]:
    """A name for each field of a row.

    The header's names of sizes hold a comma, within quotes or not, and rows of some releases end
    with one.
    """
    header, *rows = csv_head(file, 2)
    names = [name.strip() for name in ",".join(header).split(",")]
    for name in (IMAGE, LABELS, PATIENT):
        if name not in names:
            raise InvalidDataset(
                f"{file} has no column '{name}', expected a ChestX-ray14 table.",
                remedy=f"Closest: {closest(name, names)}.",
            )
    while names and not names[-1]:
        names.pop()
    fields = len(rows[0]) if rows else len(names)
    names += [""] * (fields - len(names))
    return [name or f"blank {position}" for position, name in enumerate(names)]


def _states(texts: list[str], config: ChestXray14Import) -> tuple[Array, Array]:
    """States of each text of findings: int8 DC; and which texts mean nothing: bool D."""
    categories = config.categories or FINDINGS
    column_of = {name: position for position, name in enumerate(categories)}
    state_DC = np.full((len(texts), len(categories)), UNKNOWN, np.int8)
    bad_D = np.zeros(len(texts), bool)
    for at, text in enumerate(texts):
        listed = {part.strip() for part in text.split("|")} if text.strip() else set()
        none = listed == {NO_FINDING}
        bad_D[at] = not none and not listed <= set(FINDINGS)
        # a blank text says nothing, not even that nothing was found
        denies = none if config.unlisted == "absent_without_findings" else bool(listed)
        if denies and config.unlisted != "unknown":
            state_DC[at] = ABSENT
        state_DC[at, [column_of[name] for name in listed if name in column_of]] = PRESENT
    return state_DC, bad_D


def _no_finding(file: Path, row: int, text: str) -> InvalidDataset:
    listed = [part.strip() for part in text.split("|")]
    wrong = next((name for name in listed if name not in (*FINDINGS, NO_FINDING)), None)
    if wrong is None:
        what, remedy = f"'{text}' lists {NO_FINDING} beside a finding", "Mend the row."
    else:
        what, remedy = f"'{wrong}' is no finding", f"Closest: {closest(wrong, FINDINGS)}."
    return InvalidDataset(f"{file}, column '{LABELS}', row {row}: {what}.", remedy=remedy)


def _years(column: pa.DictionaryArray, file: Path, first_row: int) -> pa.Array:
    """Ages in whole years, as text; blank where there is none."""
    texts = [text.strip().upper() for text in column.dictionary.to_pylist()]
    years: list[str | None] = []
    for text in texts:
        digits, unit = (text[:-1], text[-1]) if text[-1:] in ("Y", "M", "D") else (text, "")
        known = digits.isascii() and digits.isdigit()
        years.append(str(int(digits) // UNITS_A_YEAR[unit]) if known else None if text else "")
    taken = pa.array(years, TEXT).take(column.indices)
    if taken.null_count:
        at = pc.indices_nonzero(pc.is_null(taken))[0].as_py()
        raise InvalidDataset(
            f"{file}, column '{AGE}', row {first_row + at}: '{column[at].as_py()}', expected years "
            "such as 58 or 058Y, months (013M) or days (003D).",
            remedy="Mend the row, or leave an age that nobody knows blank.",
        )
    return taken


def _require_text(file: Path, name: str, column: pa.Array) -> None:
    blank = pc.indices_nonzero(pc.equal(pc.utf8_trim_whitespace(column), ""))
    if len(blank):
        raise InvalidDataset(
            f"{file}, column '{name}', row {blank[0].as_py() + 1}: blank, expected a name.",
            remedy="Name the image and the patient of each row.",
        )


def _official_splits(
    file: Path, table: TagTable, config: ChestXray14Import
) -> tuple[Array | None, tuple[str, ...]]:
    """N positions in `SPLITS` by the published lists; None where there are none."""
    lists = [file.with_name(name) for name in LISTS]
    missing = [path for path in lists if not path.is_file()]
    if len(missing) == len(lists):
        return None, ()
    if missing:
        raise MissingInput(missing[0], "is not there, but the other list is", "Put both there.")
    training, test = (_read_list(path) for path in lists)
    in_training_N, in_test_N = (
        pc.is_in(table.image_ids, names).to_numpy(zero_copy_only=False)
        for names in (training, test)
    )
    wrong_N = in_training_N == in_test_N
    if wrong_N.any():
        row = int(np.flatnonzero(wrong_N)[0])
        where = "both" if in_test_N[row] else "neither"
        raise InvalidDataset(
            f"{file}, column '{IMAGE}', row {row + 1}: image '{table.image_ids[row]}' is in "
            f"{where} of {' and '.join(LISTS)}; so are {int(wrong_N.sum())} images in all.",
            remedy="Give the lists of this table, or move them away and deal the patients out with "
            "--fractions.",
        )
    split_N = np.full(len(table.image_ids), SPLITS.index("test"))
    of_training = table.columns["group"].filter(pa.array(in_training_N))
    shares = (1 - config.validation, config.validation, 0.0)
    split_N[in_training_N] = deal_groups(of_training, shares, config.seed)
    absent = len(training) + len(test) - len(split_N)
    note = f"images of the published lists that the table does not have: {absent:,}"
    return split_N, (note,) if absent > 0 else ()


def _read_list(path: Path) -> pa.Array:
    try:
        lines = path.read_text(encoding="utf8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInput(path, f"cannot be read ({error})") from error
    return pa.array(sorted(set(lines)), TEXT)
