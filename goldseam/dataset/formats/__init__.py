"""Labels in other formats: read into a dataset, so that one call audits them.

`docs/formats.md` says what present, absent and unknown are in each.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from goldseam.dataset.formats.assembly import Imported
from goldseam.dataset.formats.coco import import_coco
from goldseam.dataset.formats.coco_tags import import_coco_tags
from goldseam.dataset.formats.options import (
    ChestXray14Import,
    ChexpertImport,
    CityscapesImport,
    CocoImport,
    CocoTagsImport,
    CsvImport,
    ImportConfig,
    NyuImport,
    OpenImagesImport,
    PascalImport,
    SceneImport,
)
from goldseam.dataset.formats.scenes import (
    import_cityscapes,
    import_nyud,
    import_nyuv2,
    import_pascal_context,
)
from goldseam.dataset.formats.tag_entries import TagCounts
from goldseam.dataset.formats.tag_sets import (
    import_chest_xray14,
    import_chexpert,
    import_open_images,
)
from goldseam.dataset.formats.tags_csv import import_csv
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.errors import GoldseamError, InvalidConfig, MissingInput, OutputExists

__all__ = [
    "FORMATS",
    "ChestXray14Import",
    "ChexpertImport",
    "CityscapesImport",
    "CocoImport",
    "CocoTagsImport",
    "CsvImport",
    "Format",
    "ImportConfig",
    "Imported",
    "NyuImport",
    "OpenImagesImport",
    "PascalImport",
    "SceneImport",
    "TagCounts",
    "format_of",
    "import_chest_xray14",
    "import_chexpert",
    "import_cityscapes",
    "import_coco",
    "import_coco_tags",
    "import_csv",
    "import_nyud",
    "import_nyuv2",
    "import_open_images",
    "import_pascal_context",
    "open_source",
]


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of files that can be imported; published folders have an importer each.

    Attributes:
        suffixes: endings of its files.
        read: imports a file, or one for each split.
        config: its options.
    """

    suffixes: tuple[str, ...]
    read: Callable[..., Imported]
    config: type[ImportConfig]


FORMATS = {
    "coco": Format((".json",), import_coco, CocoImport),
    "csv": Format((".csv", ".tsv"), import_csv, CsvImport),
}


def format_of(path: Path) -> str:
    """The name of a file's format, by its ending.

    Raises:
        InvalidConfig: no format has this ending.
    """
    for name, one in FORMATS.items():
        if path.suffix.lower() in one.suffixes:
            return name
    endings = ", ".join(suffix for one in FORMATS.values() for suffix in one.suffixes)
    raise InvalidConfig(
        f"{path} is neither a dataset folder nor a file of a format that can be imported.",
        remedy=f"Name a folder with dataset.yaml, or a file that ends with {endings}.",
    )


def open_source(path: Path | str, images: Path | None = None, *, into: Path) -> Dataset:
    """Open a dataset folder, or import a file of labels and open what it became.

    Args:
        path: a folder with `dataset.yaml`, a COCO json, or a CSV label table.
        images: the folder of the pictures of a file; None imports the labels alone.
        into: the folder that an import makes; an earlier import of the same name is replaced.

    Raises:
        MissingInput: nothing is there, or it cannot be read.
        InvalidConfig: the file has no format that can be imported, or `images` is given beside a
            dataset folder.
        InvalidDataset: the dataset or file is faulty.
        OutputExists: `into` holds something else.
    """
    path = Path(path)
    if path.is_dir() or not path.suffix:
        if images is not None:
            raise InvalidConfig(
                f"{path} is a dataset folder, which has its pictures: --images does not apply.",
                remedy="Leave --images out.",
            )
        return open_dataset(path)
    if not path.is_file():
        raise MissingInput(path, "is not there")
    name = format_of(path)
    tabbed = path.suffix.lower() == ".tsv"
    config = CsvImport(delimiter="\t") if tabbed else FORMATS[name].config()
    _require_replaceable(into, config.name or path.stem)
    FORMATS[name].read(path, into, images=images, config=config, replace=True)
    return open_dataset(into)


def _require_replaceable(folder: Path, name: str) -> None:
    """What the user has never named must not be lost: only an import of this file gives way."""
    if not folder.exists():
        return
    try:
        found = open_dataset(folder, verify=False).info.name
    except GoldseamError as error:
        raise OutputExists(folder, "it holds no dataset that was imported") from error
    if found != name:
        raise OutputExists(folder, f"it holds the dataset '{found}', not '{name}'")
