"""The rows of Open Images' label files as arrays: block by block, codes in place of texts.

N images of all files, M rows.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.formats.csv_blocks import CODED, csv_blocks, csv_head
from goldseam.dataset.formats.tag_sets.open_images_classes import Classes
from goldseam.dataset.schema import SPLITS, Split
from goldseam.errors import InvalidDataset, closest

IMAGE, MAKER, LABEL, CONFIDENCE = "ImageID", "Source", "LabelName", "Confidence"
MACHINE = "machine"
MOST_SOURCES = 60  # a bit each
FAULT = -2


@dataclasses.dataclass(frozen=True, eq=False)
class LabelRows:
    """The rows of all files that verify a category that is wanted.

    Attributes:
        image_ids: string N, in the order in which the files name them; of all rows.
        split_N: positions in `SPLITS`, by file.
        label_names: codes by `category_M`, where no file declares the categories.
        image_M: int32.
        category_M: int32.
        state_M: int8; 1 present, 0 absent.
        source_M: int8, positions in `sources`.
        sources: in alphabetical order.
        proposed: rows of a machine.
        unwanted: rows about other categories.
    """

    image_ids: pa.Array
    split_N: Array
    label_names: list[str]
    image_M: Array
    category_M: Array
    state_M: Array
    source_M: Array
    sources: tuple[str, ...]
    proposed: int
    unwanted: int


class Codes:
    """Numbers in place of texts, in the order in which the texts come up."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def encode(self, column: pa.DictionaryArray) -> Array:
        """Int32 M; the same text has the same number in every block."""
        texts = column.dictionary.to_pylist()
        number_D = np.array([self.of.setdefault(text, len(self.of)) for text in texts], np.int32)
        number_M: Array = number_D[column.indices.to_numpy()]
        return number_M


def read_label_rows(files: Mapping[Split, Path], declared: Classes, source: str) -> LabelRows:
    """Read the label files.

    Args:
        files: the file of each split.
        declared: the categories; where it has none, every code is one.
        source: who made the labels of a file without the column `Source`.

    Raises:
        MissingInput: a file cannot be read.
        InvalidDataset: a column is missing, or a value means nothing; names file, row and column.
    """
    reader = _Reader(declared, source)
    image_ids, images, splits, parts = [], [], [], []
    first = 0
    for split, file in files.items():
        blocks = list(reader.blocks(file))
        if not blocks:
            raise InvalidDataset(f"{file} has no row.", remedy="Give a file with labels.")
        # each block numbers its images for itself
        of_file = pa.chunked_array([image for image, *_ in blocks]).unify_dictionaries()
        image_ids.append(of_file.chunk(0).dictionary)
        images += [chunk.indices.to_numpy() + first for chunk in of_file.chunks]
        splits.append(np.full(len(image_ids[-1]), SPLITS.index(split)))
        parts += [columns for _, *columns in blocks]
        first += len(image_ids[-1])
    category_M, state_M, source_M = (
        np.concatenate([part[at] for part in parts]) for at in range(3)
    )
    sources, source_order = _in_alphabetical_order(reader.sources)
    label_names: list[str] = []
    if not declared.names:
        label_names, category_order = _in_alphabetical_order(reader.labels)
        category_M = category_order[category_M]
    return LabelRows(
        image_ids=pa.concat_arrays(image_ids),
        split_N=np.concatenate(splits),
        label_names=label_names,
        image_M=np.concatenate(images),
        category_M=category_M,
        state_M=state_M,
        source_M=source_order.astype(np.int8)[source_M],
        sources=tuple(sources),
        proposed=reader.proposed,
        unwanted=reader.unwanted,
    )


def _in_alphabetical_order(codes: Codes) -> tuple[list[str], Array]:
    """The texts in alphabetical order, and the position there of each number."""
    names = sorted(codes.of)
    position = np.empty(len(names), np.int32)
    position[[codes.of[name] for name in names]] = np.arange(len(names))
    return names, position


class _Reader:
    """What is counted and numbered over all files."""

    def __init__(self, declared: Classes, source: str) -> None:
        self.declared = declared
        self.source = source
        self.sources = Codes()
        self.labels = Codes()
        self.proposed = 0
        self.unwanted = 0

    def blocks(self, file: Path) -> Iterator[tuple[pa.DictionaryArray, Array, Array, Array]]:
        """(image, category, state, source) of the rows of each block that say something wanted.

        The dictionary of images has those of the other rows as well.
        """
        header = csv_head(file)[0]
        for name in (IMAGE, LABEL, CONFIDENCE):
            if name not in header:
                raise InvalidDataset(
                    f"{file} has no column '{name}', expected image labels of Open Images.",
                    remedy=f"Closest: {closest(name, header)}.",
                )
        types = dict.fromkeys([IMAGE, LABEL, CONFIDENCE], CODED)
        if MAKER in header:
            types[MAKER] = CODED
        for row, batch in csv_blocks(file, types):
            require_names(file, row, batch, IMAGE)
            source_M, machine_M = self._sources(file, row, batch)
            state_M = _states(file, row, batch.column(CONFIDENCE), machine_M)
            self.proposed += int(machine_M.sum())
            category_M = self._categories(file, row, batch)
            self.unwanted += int((category_M < 0).sum())
            kept_M = (category_M >= 0) & (state_M != UNKNOWN)
            image_M = batch.column(IMAGE).filter(pa.array(kept_M))
            yield image_M, category_M[kept_M], state_M[kept_M], source_M[kept_M].astype(np.int8)

    def _sources(self, file: Path, row: int, batch: pa.RecordBatch) -> tuple[Array, Array]:
        """Who made each row, and whether it was a machine."""
        if MAKER not in batch.schema.names:
            number = self.sources.of.setdefault(self.source, len(self.sources.of))
            return np.full(len(batch), number, np.int32), np.zeros(len(batch), bool)
        column = batch.column(MAKER)
        require_names(file, row, batch, MAKER)
        source_M = self.sources.encode(column)
        if len(self.sources.of) > MOST_SOURCES:
            raise InvalidDataset(
                f"{file}, column '{MAKER}': more than {MOST_SOURCES} sources, expected a few such "
                "as verification.",
                remedy="Is this the column of who made the labels?",
            )
        machine_D = np.array([text == MACHINE for text in column.dictionary.to_pylist()], bool)
        return source_M, machine_D[column.indices.to_numpy()]

    def _categories(self, file: Path, row: int, batch: pa.RecordBatch) -> Array:
        """Category of each row; -1 where it is not wanted."""
        column = batch.column(LABEL)
        require_names(file, row, batch, LABEL)
        if not self.declared.names:
            return self.labels.encode(column)
        return declared_categories(file, row, column, self.declared)


def declared_categories(
    file: Path, row: int, column: pa.DictionaryArray, declared: Classes
) -> Array:
    """Category of each code: int32 M; -1 where it is described and not wanted.

    Raises:
        InvalidDataset: a code is not described at all; names the row.
    """
    codes = column.dictionary.to_pylist()
    position_D = np.array([declared.position_of.get(code, -1) for code in codes], np.int32)
    # a list of what is wanted says nothing about the codes that it leaves out
    described = frozenset(codes) if declared.described is None else declared.described
    strange_D = np.array([code not in described for code in codes], bool)
    code_M = column.indices.to_numpy()
    if strange_D[code_M].any():
        at = int(np.flatnonzero(strange_D[code_M])[0])
        code = codes[code_M[at]]
        raise InvalidDataset(
            f"{file}, column '{LABEL}', row {row + at}: '{code}' is not described.",
            remedy=f"Closest: {closest(code, described)}. Give the class descriptions of this "
            "release.",
        )
    category_M: Array = position_D[code_M]
    return category_M


def require_names(file: Path, row: int, batch: pa.RecordBatch, name: str) -> None:
    """Raises InvalidDataset where a row leaves the column blank."""
    column = batch.column(name)
    blank_D = pc.equal(column.dictionary, "").to_numpy(zero_copy_only=False)
    if blank_D.any():
        at = int(np.flatnonzero(blank_D[column.indices.to_numpy()])[0])
        raise InvalidDataset(
            f"{file}, column '{name}', row {row + at}: blank, expected a name.",
            remedy="Mend the row.",
        )


def _states(file: Path, row: int, column: pa.DictionaryArray, machine_M: Array) -> Array:
    texts = column.dictionary.to_pylist()
    code_M = column.indices.to_numpy()
    state_M: Array = np.array([_state(text) for text in texts], np.int8)[code_M]
    state_M[machine_M] = UNKNOWN
    if (state_M == FAULT).any():
        at = int(np.flatnonzero(state_M == FAULT)[0])
        raise InvalidDataset(
            f"{file}, column '{CONFIDENCE}', row {row + at}: '{texts[code_M[at]]}', expected 1 "
            "(verified present) or 0 (verified absent).",
            remedy=f"Give labels that people verified; a machine's have the source '{MACHINE}'.",
        )
    return state_M


def _state(text: str) -> int:
    try:
        return {1.0: PRESENT, 0.0: ABSENT}.get(float(text), FAULT)
    except ValueError:
        return FAULT if text.strip() else UNKNOWN
