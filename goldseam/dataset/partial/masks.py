"""Label masks: the table that says which image keeps the label of which task, and its file.

Shapes: N images, T tasks. A mask holds for training images only; True is kept, False is unknown.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.artifacts import canonical_json
from goldseam.dataset.partial.protocols import budget
from goldseam.errors import (
    DigestMismatch,
    GoldseamError,
    InvalidConfig,
    MissingInput,
    OutputExists,
    closest,
)
from goldseam.storage.atomic import write_bytes, write_text

Bools = npt.NDArray[np.bool_]

UNSTATED = "unstated"
FORMATS = (".parquet", ".csv")
# under this key stand protocol, seed, counts and digest in a Parquet file
METADATA = b"goldseam"
TRUE, FALSE = ("true", "1", "True", "TRUE"), ("false", "0", "False", "FALSE")


class InvalidMask(GoldseamError):
    """A label mask contradicts itself or the dataset; names the image, task or row."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelMask:
    """Which image keeps the label of which task.

    Attributes:
        image_ids: of the training images, each once.
        tasks: names, each once.
        known_NT: bool, True where the label is kept.
        protocol: how it was drawn, or where it comes from.
        seed: of the draw; None for a mask that was not drawn here.
    """

    image_ids: tuple[str, ...]
    tasks: tuple[str, ...]
    known_NT: Bools
    protocol: str = UNSTATED
    seed: int | None = None

    def __post_init__(self) -> None:
        known_NT = np.array(self.known_NT, bool)
        if known_NT.shape != (len(self.image_ids), len(self.tasks)):
            raise InvalidMask(
                f"a label mask of shape {known_NT.shape} does not fit {len(self.image_ids)} images "
                f"and {len(self.tasks)} tasks.",
                remedy="Give one row for every image and one column for every task.",
            )
        for what, names in (("image", self.image_ids), ("task", self.tasks)):
            if len(set(names)) < len(names):
                raise InvalidMask(
                    f"the label mask names the {what} '{_repeated(names)}' twice.",
                    remedy=f"Give every {what} once.",
                )
        known_NT.flags.writeable = False
        object.__setattr__(self, "known_NT", known_NT)

    @property
    def labels_per_task(self) -> dict[str, int]:
        """Images that keep the task's label, by task."""
        return dict(zip(self.tasks, self.known_NT.sum(axis=0).tolist(), strict=True))

    @property
    def images_by_labels(self) -> dict[int, int]:
        """Images by how many labels they keep; a number that no image has is left out."""
        count_K = np.bincount(self.known_NT.sum(axis=1))
        return {labels: int(count_K[labels]) for labels in np.flatnonzero(count_K).tolist()}

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the content, as `sha256:…`; the same for every file form and row order."""
        order_N = np.argsort(np.array(self.image_ids, object), kind="stable")
        stated = canonical_json({"tasks": self.tasks, "protocol": self.protocol, "seed": self.seed})
        names = canonical_json([self.image_ids[row] for row in order_N])
        content = hashlib.sha256(f"{stated}\n{names}\n".encode())
        content.update(np.packbits(self.known_NT[order_N]).tobytes())
        return f"sha256:{content.hexdigest()}"

    def select(self, tasks: Sequence[str]) -> "LabelMask":
        """The columns of some tasks.

        Raises:
            InvalidMask: there is no such column.
        """
        for task in tasks:
            if task not in self.tasks:
                raise InvalidMask(
                    f"the label mask has no task '{task}'.",
                    remedy=f"Closest: {closest(task, self.tasks)}.",
                )
        columns = [self.tasks.index(task) for task in tasks]
        return dataclasses.replace(self, tasks=tuple(tasks), known_NT=self.known_NT[:, columns])

    def times(self, factor: float, *, seed: int, eligible: npt.ArrayLike) -> "LabelMask":
        """The mask of a label budget; see `budget`."""
        known_NT = budget(self.known_NT, factor, seed=seed, eligible=eligible)
        protocol = f"{self.protocol}, budget {factor:g} (seed {seed})"
        return dataclasses.replace(self, known_NT=known_NT, protocol=protocol)

    def rows_for(self, image_ids: Sequence[str]) -> Bools:
        """The mask in the order of a dataset's training images.

        Args:
            image_ids: of the dataset, each once.

        Returns:
            bool NT, one row for each of `image_ids`.

        Raises:
            InvalidMask: the mask leaves an image out, or names one that is not there.
        """
        mine, theirs = pa.array(self.image_ids, pa.string()), pa.array(image_ids, pa.string())
        for what, names, among, remedy in (
            ("does not name the image", theirs, mine, "Give every training image a row."),
            ("names the image", mine, theirs, "Take the mask that was made for this dataset."),
        ):
            lacking = names.filter(pc.invert(pc.is_in(names, value_set=among)))
            if len(lacking):
                raise InvalidMask(
                    f"the label mask {what} '{lacking[0]}'"
                    + (", which is not among the training images" if among is theirs else "")
                    + f" ({len(lacking):,} such).",
                    remedy=remedy,
                )
        position_N = pc.index_in(theirs, value_set=mine).to_numpy(zero_copy_only=False)
        rows_NT: Bools = self.known_NT[position_N]
        return rows_NT

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Write the mask whole or not at all; the suffix names the form.

        One column `image_id` and one of true and false for each task. Protocol, seed, counts and
        SHA-256 stand in the metadata of a Parquet file, and beside a CSV file in `<file>.json`.

        Raises:
            InvalidConfig: the suffix is neither `.parquet` nor `.csv`.
            OutputExists: the file is there and `replace` is False.
        """
        form = mask_format(path)
        if path.exists() and not replace:
            raise OutputExists(path, "it is not overwritten")
        columns = [pa.array(self.image_ids, pa.string())]
        columns += [pa.array(known_N) for known_N in self.known_NT.T]
        table = pa.table(columns, names=["image_id", *self.tasks])
        stated = json.dumps(self._stated(), ensure_ascii=False)
        sink = pa.BufferOutputStream()
        if form == ".parquet":
            pq.write_table(table.replace_schema_metadata({METADATA: stated}), sink)
        else:
            from pyarrow import csv as arrow_csv

            arrow_csv.write_csv(table, sink)
            write_text(_beside(path), stated + "\n")
        write_bytes(path, sink.getvalue().to_pybytes())

    def _stated(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "seed": self.seed,
            "images": len(self.image_ids),
            "labels_per_task": self.labels_per_task,
            "images_by_labels": self.images_by_labels,
            "sha256": self.digest.removeprefix("sha256:"),
        }


def mask_format(path: Path) -> str:
    """`.parquet` or `.csv`.

    Raises:
        InvalidConfig: the file's name ends otherwise.
    """
    if path.suffix not in FORMATS:
        raise InvalidConfig(
            f"{path}: a label mask is no '{path.suffix}' file.",
            remedy=f"Name a file that ends in {' or '.join(FORMATS)}.",
        )
    return path.suffix


def read_mask(path: Path | str) -> LabelMask:
    """Read a label mask.

    A file that somebody wrote by hand needs only the table: a column `image_id`, and one of true
    and false (or 1 and 0) for each task; its protocol is then unstated.

    Raises:
        MissingInput: the file cannot be read.
        InvalidConfig: its name ends in neither `.parquet` nor `.csv`.
        InvalidMask: it is no such table; names row, column and value.
        DigestMismatch: the table is not the one that its SHA-256 was made of.
    """
    path = Path(path)
    form = mask_format(path)
    try:
        table, stated = _parquet(path) if form == ".parquet" else _csv(path)
    except OSError as error:
        raise MissingInput(path, f"the label mask cannot be read ({error.strerror})") from error
    except (pa.ArrowException, ValueError, StopIteration) as error:
        raise InvalidMask(
            f"{path} is no table of a label mask ({str(error) or 'it is empty'}).",
            remedy="Write it again, with a column image_id and one column for each task.",
        ) from error
    mask = _mask(path, table, stated)
    if "sha256" in stated and f"sha256:{stated['sha256']}" != mask.digest:
        raise DigestMismatch(
            path,
            f"sha256:{stated['sha256']}",
            mask.digest,
            "The mask was changed after it was written: take the file as it was published"
            + ("." if form == ".parquet" else f", or remove {_beside(path).name}."),
        )
    return mask


def _mask(path: Path, table: pa.Table, stated: dict[str, Any]) -> LabelMask:
    tasks = tuple(name for name in table.column_names if name != "image_id")
    if "image_id" not in table.column_names or not tasks:
        raise InvalidMask(
            f"{path} has the columns {', '.join(table.column_names) or 'none'}, expected image_id "
            "and at least one task.",
            remedy="Name the columns in the first line.",
        )
    if len(set(table.column_names)) < len(table.column_names):
        raise InvalidMask(
            f"{path} has the column '{_repeated(table.column_names)}' twice.",
            remedy="Give every task one column.",
        )
    known = [_flags(path, table.column(task), task) for task in tasks]
    image_ids = table.column("image_id").cast(pa.string())
    if image_ids.null_count:
        row = pc.indices_nonzero(image_ids.is_null())[0].as_py()
        raise InvalidMask(
            f"{path}, row {row}, column 'image_id': no value, expected text.",
            remedy="Name the image of every row.",
        )
    return LabelMask(
        tuple(image_ids.to_pylist()),
        tasks,
        np.stack(known, axis=1),
        protocol=str(stated.get("protocol", UNSTATED)),
        seed=stated.get("seed"),
    )


def _flags(path: Path, column: pa.ChunkedArray, task: str) -> Bools:
    if pa.types.is_boolean(column.type) and not column.null_count:
        flags: Bools = column.to_numpy()
        return flags
    text = column.cast(pa.string())
    true = pc.is_in(text, value_set=pa.array(TRUE))
    wrong = pc.indices_nonzero(pc.invert(pc.or_(true, pc.is_in(text, value_set=pa.array(FALSE)))))
    if len(wrong):
        row = wrong[0].as_py()
        raise InvalidMask(
            f"{path}, row {row}, column '{task}': {column[row].as_py()!r}, expected true or false.",
            remedy="Write true where the image keeps the label, false where it is unknown.",
        )
    found: Bools = true.to_numpy()
    return found


def _parquet(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = pq.read_table(pa.BufferReader(path.read_bytes()))
    stated = (table.schema.metadata or {}).get(METADATA)
    return table, {} if stated is None else _object(json.loads(stated))


def _csv(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    from pyarrow import csv as arrow_csv

    content = path.read_bytes()
    names = next(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    table = arrow_csv.read_csv(
        pa.BufferReader(content),
        read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=1),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    beside = _beside(path)
    stated = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    return table, _object(stated)


def _object(stated: Any) -> dict[str, Any]:
    if isinstance(stated, dict) and isinstance(stated.get("seed"), int | None):
        return stated
    raise ValueError("what is stated about it is no JSON object with a whole number as seed")


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _repeated(names: Sequence[str]) -> str:
    return Counter(names).most_common(1)[0][0]
