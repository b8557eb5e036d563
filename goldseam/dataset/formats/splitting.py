"""Which split and which group an imported image belongs to.

N images.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import SPLITS, Split
from goldseam.errors import InvalidConfig, InvalidDataset, MissingInput, closest

SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
Source = Path | str | Mapping[str, Path | str]


def files_by_split(source: Source, default: Split) -> dict[Split, Path]:
    """The file of each split, in the order train, validation, test.

    Raises:
        InvalidConfig: there is no file, or a split of another name.
    """
    files = source if isinstance(source, Mapping) else {default: source}
    for name in files:
        if name not in SPLITS:
            raise InvalidConfig(
                f"no such split: '{name}'.", remedy=f"Splits are {', '.join(SPLITS)}."
            )
    if not files:
        raise InvalidConfig("no file to import.", remedy="Name a file, or one for each split.")
    return {split: Path(files[split]) for split in SPLITS if split in files}


def published_files(
    source: Source, names: Mapping[Split, Sequence[str]], default: Split
) -> dict[Split, Path]:
    """The file of each split: in a folder by its published name, else as `files_by_split` says.

    Args:
        source: a folder, a file, or a file for each split.
        names: names that a split's file may have below the folder, the first that is there counts.
        default: the split of a single file.

    Raises:
        MissingInput: the folder holds none of them.
        InvalidConfig: there is no file, or a split of another name.
    """
    if isinstance(source, Mapping) or not Path(source).is_dir():
        return files_by_split(source, default)
    found = {split: first_file(Path(source), of_split) for split, of_split in names.items()}
    files: dict[str, Path | str] = {
        split: file for split, file in found.items() if file is not None
    }
    if not files:
        expected = ", ".join(of_split[0] for of_split in names.values())
        raise MissingInput(source, f"holds none of {expected}", "Name the file of labels itself.")
    return files_by_split(files, default)


def first_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that is in the folder; None where none is."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def groups_by_pattern(image_ids: pa.Array, pattern: str) -> pa.Array:
    """The group of each image: what a regular expression finds in its id.

    Args:
        image_ids: string N.
        pattern: its first group, or all of it where it has none; empty gives the ids themselves.

    Raises:
        InvalidConfig: the pattern is no regular expression.
        InvalidDataset: it finds nothing in an id.
    """
    if not pattern:
        return image_ids
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidConfig(
            f"group pattern '{pattern}' is no regular expression ({error}).",
            remedy="Write one such as '^(patient[0-9]+)'.",
        ) from error
    names = []
    for image_id in image_ids.to_pylist():
        found = compiled.search(image_id)
        name = found and (found.group(1) if compiled.groups else found.group())
        if not name:
            raise InvalidDataset(
                f"image '{image_id}': the group pattern '{pattern}' finds nothing in this id.",
                remedy="Write a pattern that every id matches.",
            )
        names.append(name)
    return pa.array(names, pa.string())


def deal_groups(group_N: pa.Array, fractions: Sequence[float], seed: int) -> Array:
    """Deal groups out to the splits by their shares of the images.

    Groups stand in an order that follows from the seed and their names alone; so one more image
    moves few others, and none when its group is not near a border.

    Args:
        group_N: names.
        fractions: of train, validation and test.
        seed: of the order.

    Returns:
        N positions in `SPLITS`.
    """
    encoded = group_N.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    code_N = encoded.indices.to_numpy()
    size_G = np.bincount(code_N, minlength=len(names))
    key_G = [hashlib.sha256(f"{seed}\x1f{name}".encode()).digest() for name in names]
    order_G = np.array(sorted(range(len(names)), key=key_G.__getitem__), np.int64)
    # a group goes where the middle of its images falls
    sizes = size_G[order_G]
    middle_G = (np.cumsum(sizes) - sizes / 2) / max(len(code_N), 1)
    split_G = np.empty(len(names), np.int64)
    # the last share takes what rounding leaves
    split_G[order_G] = np.searchsorted(np.cumsum(fractions)[:-1], middle_G, side="right")
    return cast("Array", split_G[code_N])


def read_splits(column: pa.Array, where: str) -> Array:
    """Position in `SPLITS` of each spelled split (`train`, `val`, `test` …).

    Raises:
        InvalidDataset: a row spells none.
    """
    spelled = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    known = pa.array(list(SPELLINGS), pa.string())
    found = pc.index_in(spelled, known)
    if found.null_count:
        row = pc.indices_nonzero(pc.is_null(found))[0].as_py()
        value = column[row].as_py()
        raise InvalidDataset(
            f"{where}, row {row + 1}: {value!r} is no split, expected train, validation or test.",
            remedy=f"Closest: {closest(value, SPELLINGS)}.",
        )
    position = np.array([SPLITS.index(cast("Split", split)) for split in SPELLINGS.values()])
    return cast("Array", position[found.to_numpy()])
