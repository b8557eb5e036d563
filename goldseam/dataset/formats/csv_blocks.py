"""CSV files block by block, as Arrow columns: memory holds one block, however long a file is."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from goldseam.errors import InvalidDataset, MissingInput

BLOCK_BYTES = 1 << 23
TEXT = pa.string()
CODED = pa.dictionary(pa.int32(), pa.string())


def csv_head(
    file: Path, rows: int = 1, *, delimiter: str = ",", encoding: str = "utf8"
) -> list[list[str]]:
    """The fields of a file's first rows, of which the first is the header.

    Raises:
        MissingInput: the file cannot be read.
        InvalidDataset: it is empty, or no CSV.
    """
    encoding = "utf-8-sig" if encoding.lower() in ("utf8", "utf-8") else encoding
    try:
        with file.open(encoding=encoding, newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            head = [fields for _, fields in zip(range(rows), reader, strict=False)]
    except OSError as error:
        raise MissingInput(file, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, LookupError, csv.Error) as error:
        raise _no_csv(file, error) from error
    if not head or not head[0]:
        raise InvalidDataset(f"{file} is empty.", remedy="Give a CSV file with a header.")
    return head


def csv_blocks(
    file: Path,
    types: Mapping[str, pa.DataType],
    *,
    delimiter: str = ",",
    encoding: str = "utf8",
    names: Sequence[str] = (),
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of the first row, rows) of each block; the row below the header is 1.

    Args:
        file: with a header.
        types: column → type, of the columns that are read.
        delimiter: one character.
        encoding: of the file.
        names: of all columns, in place of those in the header; they are unique.

    Raises:
        InvalidDataset: the file is no CSV, or lacks a column.
    """
    row = 1
    try:
        with pacsv.open_csv(
            file,
            pacsv.ReadOptions(
                block_size=BLOCK_BYTES,
                encoding=encoding,
                column_names=list(names) or None,
                skip_rows=1 if names else 0,
            ),
            pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pacsv.ConvertOptions(
                column_types=dict(types), include_columns=list(types), strings_can_be_null=False
            ),
        ) as reader:
            for batch in reader:
                yield row, batch
                row += len(batch)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _no_csv(file, error) from error


def joined_column(table: pa.Table, name: str) -> pa.Array:
    """A column of a table as one array."""
    column = table.column(name).combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _no_csv(file: Path, error: Exception) -> InvalidDataset:
    return InvalidDataset(
        f"{file} is no CSV file with a header ({error}).",
        remedy="Mend the row that is named, or give delimiter and encoding ('goldseam dataset "
        "import csv' has --delimiter and --encoding).",
    )
