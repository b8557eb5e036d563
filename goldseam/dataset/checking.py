"""Reading a dataset to the last pixel and listing everything that is wrong with it.

`open_dataset` and training stop at the first fault; this goes on, so that labels are mended once.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pydantic

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import (
    BadCell,
    decode_image,
    decode_label,
    picture_size,
    stored_picture,
)
from goldseam.dataset.faults import label_faults
from goldseam.dataset.reading import open_shard, schema_faults
from goldseam.dataset.schema import (
    DATASET_FILE,
    DatasetInfo,
    Kind,
    Shard,
    Split,
    Task,
    yaml_faults,
)
from goldseam.errors import InvalidDataset, MissingInput
from goldseam.progress import Step, progress

if TYPE_CHECKING:
    from rich.table import Table

REBUILD = "Fetch the dataset again ('dvc pull'), or build it anew."
ROWS_AT_ONCE = 64
# labels that have no place in the image fit an image of any size
PLACELESS = (Kind.TAGS, Kind.CAPTION)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a dataset.

    Attributes:
        file: in the dataset's folder.
        row: position in that file, from 0; None where the whole file is meant.
        image_id: of that row.
        column: of the table, or key of `dataset.yaml`; None where the whole file is meant.
        value: what stands there.
        expected: what should.
        remedy: what to do.
    """

    file: str
    row: int | None
    image_id: str | None
    column: str | None
    value: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        image = "" if self.image_id is None else f", image '{self.image_id}'"
        column = "" if self.column is None else f", column '{self.column}'"
        return f"{self.file}{row}{image}{column}: {self.value}, expected {self.expected}"


def check_dataset(path: Path | str) -> list[Problem]:
    """Read everything in a dataset and list what breaks the format, in the order of the files.

    Args:
        path: a folder with `dataset.yaml`.

    Returns:
        Every problem; empty for a valid dataset. What a damaged `dataset.yaml` or shard hides can
        only be found once that is mended.

    Raises:
        MissingInput: there is no `dataset.yaml`, or it cannot be read.
    """
    path = Path(path)
    try:
        info = DatasetInfo.read_yaml(path)
    except InvalidDataset as error:
        return _yaml_problems(error)
    problems = _undeclared_files(path, info)
    seen = _Seen()
    with progress("check", info.rows()) as step:
        for shard in info.shards:
            problems += _ShardCheck(path, info, shard, seen).run(step)
    return problems


def require_valid(path: Path | str, *, shown: int = 5) -> None:
    """Refuse a dataset that breaks the format anywhere.

    Args:
        path: a folder with `dataset.yaml`.
        shown: how many problems the message names.

    Raises:
        InvalidDataset: it does; the message names the first problems and how many there are.
        MissingInput: there is no `dataset.yaml`, or it cannot be read.
    """
    problems = check_dataset(path)
    if not problems:
        return
    lines = [f"\n  {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"\n  … and {len(problems) - shown} more")
    many = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
    raise InvalidDataset(
        f"{path}: {many} in the dataset:{''.join(lines)}",
        remedy=f"{problems[0].remedy} 'goldseam dataset check' lists every problem.",
    )


def problems_table(problems: Sequence[Problem], limit: int | None = 200) -> "Table":
    """Problems as a table for a terminal.

    Args:
        problems: as `check_dataset` gives them.
        limit: rows that are shown; the caption counts the rest. None shows all.
    """
    from rich.markup import escape
    from rich.table import Table

    shown = problems[:limit]
    rest = len(problems) - len(shown)
    table = Table(
        title=f"{len(problems)} problem{'s' * (len(problems) != 1)}",
        caption=f"… and {rest} more" if rest else None,
    )
    for name in ("file", "row", "image", "column", "found", "expected", "remedy"):
        table.add_column(name, justify="right" if name == "row" else "left", overflow="fold")
    for problem in shown:
        values = dataclasses.astuple(problem)
        # a file may carry any text: it is shown, never read as markup
        table.add_row(*("" if value is None else escape(str(value)) for value in values))
    return table


def _yaml_problems(error: InvalidDataset) -> list[Problem]:
    cause = error.__cause__
    if isinstance(cause, pydantic.ValidationError):
        remedy = "Mend dataset.yaml; docs/dataset.md lists every key."
        faults = yaml_faults(cause)
        return [Problem(DATASET_FILE, None, None, *fault, remedy) for fault in faults]
    return [Problem(DATASET_FILE, None, None, None, str(cause), "YAML", error.remedy)]


def _undeclared_files(path: Path, info: DatasetInfo) -> list[Problem]:
    # whoever opens the folder with another tool would read these as well
    declared = {shard.file for shard in info.shards}
    return [
        Problem(
            file.name,
            None,
            None,
            None,
            "a file that is not declared",
            f"the shards that {DATASET_FILE} lists",
            f"List the shard in {DATASET_FILE}, or move it elsewhere.",
        )
        for file in sorted(path.glob("*.parquet"))
        if file.name not in declared
    ]


class _Seen:
    """Where each image id was met first, and in which splits each group was met."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.groups: dict[str, list[Split]] = {}


class _ShardCheck:
    """The check of one shard."""

    def __init__(self, path: Path, info: DatasetInfo, shard: Shard, seen: _Seen) -> None:
        self.file = path / shard.file
        self.info = info
        self.shard = shard
        self.seen = seen
        self.problems: list[Problem] = []
        self.readable: set[str] = set()

    def run(self, step: Step) -> list[Problem]:
        """All problems of the shard."""
        if not self.file.is_file():
            self._note("no such file", f"a shard that {DATASET_FILE} lists", REBUILD)
            step(self.shard.rows)
            return self.problems
        try:
            self._check_digest()
            with open_shard(self.file) as parquet:
                self._check_schema(parquet)
                self._check_rows(parquet, step)
        except (InvalidDataset, MissingInput) as error:
            cause = error.__cause__
            found = f"a file that cannot be read ({cause})" if cause else error.message
            self._note(found, "a whole Parquet file", error.remedy)
        return self.problems

    def _note(
        self,
        value: str,
        expected: str,
        remedy: str,
        *,
        column: str | None = None,
        row: int | None = None,
        image_id: str | None = None,
    ) -> None:
        self.problems.append(
            Problem(self.shard.file, row, image_id, column, value, expected, remedy)
        )

    def _check_digest(self) -> None:
        found = digest_file(self.file).removeprefix("sha256:")
        if found != self.shard.sha256:
            self._note(f"SHA-256 {found[:12]}…", f"{self.shard.sha256[:12]}…", REBUILD)

    def _check_schema(self, parquet: pq.ParquetFile) -> None:
        rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
        if rows != self.shard.rows:
            self._note(f"{rows} rows", f"{self.shard.rows}, as {DATASET_FILE} lists", REBUILD)
        expected = self.info.arrow_schema()
        for column, found, wanted in schema_faults(expected, schema):
            remedy = f"Declare in {DATASET_FILE} what the shards hold, or build the dataset anew."
            self._note(found, wanted, remedy, column=column or None)
        # a column that may hold nulls by mistake is read all the same, and the nulls are found
        self.readable = {
            name
            for name in expected.names
            if name in schema.names and schema.field(name).type == expected.field(name).type
        }

    def _check_rows(self, parquet: pq.ParquetFile, step: Step) -> None:
        columns = [name for name in self.info.arrow_schema().names if name in self.readable]
        first = 0
        for batch in parquet.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
            for number, row in enumerate(batch.to_pylist(), start=first):
                for column, fault in self._row_faults(row, number):
                    self._note(
                        fault.found,
                        fault.expected,
                        fault.remedy,
                        column=column,
                        row=number,
                        image_id=row.get("image_id"),
                    )
            first += len(batch)
            step(len(batch))

    def _row_faults(self, row: dict[str, Any], number: int) -> Iterator[tuple[str, BadCell]]:
        """(column, fault) of one row; columns that the shard lacks are passed over."""
        for column in ("image_id", "group"):
            if column in row and row[column] in (None, ""):
                yield column, BadCell(repr(row[column]), "a value", "Give every image one.")
        yield from self._identity_faults(row, number)
        for name in self.info.tasks:
            yield from self._source_faults(name, row)
        if "image" not in row:
            return
        size = {column: row.get(column) for column in ("width", "height")}
        content = stored_picture(row["image"])
        if content is not None:
            faults, size = _picture_faults(content)
            for fault in faults:
                yield "image", fault
        yield from self._size_faults(row, size, stored=content is not None)
        width, height = size.values()
        for name, task in self.info.tasks.items():
            for wrong in _cell_faults(task, row.get(name), height, width):
                yield name, wrong

    def _size_faults(
        self, row: dict[str, Any], size: dict[str, int | None], *, stored: bool
    ) -> Iterator[tuple[str, BadCell]]:
        # where nobody stored the picture, its size matters to labels that have a place in it
        needed = stored or any(
            task.kind not in PLACELESS and row.get(name) is not None
            for name, task in self.info.tasks.items()
        )
        for column, length in size.items():
            found = row.get(column)
            if column not in row or (found is None and not needed):
                continue
            if found is None:
                yield column, BadCell("None", "a value", "Give every image one.")
            elif length not in (None, found):
                expected = f"{length} px, as the image has"
                yield column, BadCell(f"{found} px", expected, "Mend the column.")
            elif found < 1:
                yield column, BadCell(f"{found} px", "at least 1 px", "Mend the column.")

    def _identity_faults(self, row: dict[str, Any], number: int) -> Iterator[tuple[str, BadCell]]:
        image_id, group = row.get("image_id"), row.get("group")
        if image_id is not None:
            place = f"{self.shard.file}, row {number}"
            first = self.seen.images.setdefault(image_id, place)
            if first != place:
                found = f"image_id '{image_id}', met before in {first}"
                yield "image_id", BadCell(found, "an id once", "Give each image an id of its own.")
        if group is None:
            return
        splits = self.seen.groups.setdefault(group, [])
        if self.shard.split not in splits:
            splits.append(self.shard.split)
            if len(splits) > 1:
                yield (
                    "group",
                    BadCell(
                        f"group '{group}', met before in '{splits[0]}'",
                        "all images of a group in one split",
                        "Move the group's images into one split: what is alike must not stand on "
                        "both sides of a test.",
                    ),
                )

    def _source_faults(self, name: str, row: dict[str, Any]) -> Iterator[tuple[str, BadCell]]:
        column = f"{name}_source"
        if name not in row or column not in row:
            return
        known, source = row[name] is not None, row[column]
        if known and not source:
            found = f"{source!r} beside a label"
            yield column, BadCell(found, "a source", "Say who made the label: human, map, model …")
        if not known and source is not None:
            remedy = "Unknown is null in both columns; an empty box list is no unknown."
            yield column, BadCell(f"{source!r} beside no label", "null", remedy)


def _picture_faults(content: bytes) -> tuple[list[BadCell], dict[str, int | None]]:
    """What is wrong with a stored picture, and its size where that can still be told."""
    try:
        height, width = decode_image(content).shape[:2]
    except BadCell as fault:
        # a truncated picture still tells the size that its labels should have
        try:
            width, height = picture_size(content)
        except BadCell:
            return [fault], {"width": None, "height": None}
        return [fault], {"width": width, "height": height}
    return [], {"width": width, "height": height}


def _cell_faults(task: Task, cell: Any, height: int | None, width: int | None) -> Iterator[BadCell]:
    try:
        label = decode_label(task, cell)
    except BadCell as fault:
        yield fault
        return
    if height is not None and width is not None:
        yield from label_faults(task, label, height, width)
    elif task.kind in PLACELESS:
        yield from label_faults(task, label, 0, 0)
