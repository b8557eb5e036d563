"""CheXpert: 1.0 present, 0.0 absent, -1.0 uncertain, blank unknown; a patient is a group.

Files and labels are those of Irvin et al., CheXpert (AAAI 2019): `train.csv` is mined from reports,
`valid.csv` and `test.csv` were read by radiologists.
"""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.formats.assembly import Imported, require_task_name
from goldseam.dataset.formats.csv_blocks import csv_head
from goldseam.dataset.formats.options import ChexpertImport, CsvImport, ImportConfig
from goldseam.dataset.formats.splitting import Source, published_files
from goldseam.dataset.formats.tag_table import TagTable, read_tag_table
from goldseam.dataset.formats.tags_csv import import_tables
from goldseam.dataset.schema import Split
from goldseam.errors import InvalidConfig, InvalidDataset, closest

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.csv",),
    "validation": ("valid.csv",),
    "test": ("test.csv", "test_labels.csv"),
}
IMAGE = "Path"
# as `find_layout` names a column → as it is named here
META = {
    "Sex": ("meta_sex", "meta_sex"),
    "Age": ("meta_age", "meta_age"),
    "Frontal/Lateral": ("meta_frontal_lateral", "meta_view"),
    "AP/PA": ("meta_ap_pa", "meta_projection"),
}
PLACE = (
    r"^(?:.*/)?(?P<image>(?P<part>train|valid|test)/"
    r"(?P<study>(?P<patient>patient[0-9]+)/study[0-9]+)/view[^/]+)$"
)
REMEDY = "Mend the file: 1.0 is present, 0.0 absent, -1.0 uncertain, blank unknown."


def import_chexpert(
    source: Source,
    out: Path,
    *,
    images: Path | None = None,
    config: ChexpertImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import CheXpert: a finding that a report does not mention (blank) is unknown, never absent.

    An image's id is its path from `train/`, `valid/` or `test/` on; its group is the patient.
    Metadata: `meta_sex`, `meta_age` (years), `meta_view` (frontal, lateral), `meta_projection` (AP,
    PA) and `meta_study`, by which the views of one study are put together. `No Finding` is a
    category like the others; nothing is concluded from it.

    Args:
        source: a csv, one for each split, or the folder that holds `train.csv` and `valid.csv`.
        out: the folder to make.
        images: the folder below which the pictures stand by `Path`, with or without its first part
            (`CheXpert-v1.0…`); None imports the labels alone.
        config: the options.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: a file or picture cannot be read.
        InvalidConfig: options name a finding that is none, or contradict each other.
        InvalidDataset: a value or path means nothing, an image is named twice, or a patient is in
            two splits; names file, row and column. Nothing is written.
        OutputExists: `out` is there and `replace` is False.
    """
    config = config or ChexpertImport()
    require_task_name(config.task)
    for name in config.categories:
        if name not in FINDINGS:
            raise InvalidConfig(
                f"CheXpert has no finding '{name}'.", remedy=f"Closest: {closest(name, FINDINGS)}."
            )
    files = published_files(source, FILES, config.split)
    tables = [_read(file, config, images) for file in files.values()]
    return import_tables(files, tables, out, images=images, config=config, replace=replace)


def _read(file: Path, config: ChexpertImport, images: Path | None) -> TagTable:
    header = csv_head(file)[0]
    for name in (IMAGE, *(config.categories or FINDINGS)):
        if name not in header:
            raise InvalidDataset(
                f"{file} has no column '{name}', expected a CheXpert table.",
                remedy=f"Closest: {closest(name, header)}.",
            )
    meta = tuple(name for name in META if name in header)
    table = read_tag_table(
        file,
        CsvImport(
            **{name: getattr(config, name) for name in ImportConfig.model_fields},
            form="wide",
            image_column=IMAGE,
            categories=config.categories or FINDINGS,
            meta=meta,
            uncertain=config.uncertain,
            uncertain_of=config.uncertain_of,
        ),
        REMEDY,
    )
    place = _places(file, table.image_ids)
    columns = {META[name][1]: table.columns[META[name][0]] for name in meta}
    if "meta_sex" in columns:
        # one patient's is `Unknown`
        known = pc.not_equal(columns["meta_sex"], "Unknown")
        columns["meta_sex"] = pc.if_else(known, columns["meta_sex"], "")
    read = pc.not_equal(place.field("part"), "train")
    columns |= {
        "group": place.field("patient"),
        "meta_study": place.field("study"),
        "source": pc.if_else(read, "human", config.source),
        "file": _files(table.image_ids, place.field("image"), images),
    }
    return dataclasses.replace(table, image_ids=place.field("image"), columns=columns)


def _places(file: Path, paths: pa.Array) -> pa.StructArray:
    """Part, patient, study and image that each path names."""
    place = pc.extract_regex(paths, PLACE)
    if place.null_count:
        row = pc.indices_nonzero(pc.is_null(place))[0].as_py()
        raise InvalidDataset(
            f"{file}, column '{IMAGE}', row {row + 1}: '{paths[row]}', expected a path such as "
            "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg.",
            remedy="Mend the path: it says which patient, study and part an image is of.",
        )
    return place


def _files(paths: pa.Array, image_ids: pa.Array, images: Path | None) -> pa.Array:
    """Where the pictures stand: by their whole path, or below the folder of the release."""
    release = paths[0].as_py().split("/")[0] if len(paths) else ""
    return paths if images is not None and (images / release).is_dir() else image_ids
