"""Findings as CSV that a spreadsheet opens and does not run."""

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from goldseam.audit.export.pictures import ImageReferences
from goldseam.audit.export.selection import Selection

# a spreadsheet takes a cell that begins so for a formula, which may start programs
FORMULA = r"^[=+\-@\t\r\n]"
# by this a spreadsheet knows that the text is UTF-8
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def csv_table(chosen: Selection, _references: ImageReferences) -> dict[str, bytes]:
    """One row a finding, with the columns of `findings.parquet`; unknown is blank.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    columns = {name: _harmless(chosen.table.column(name)) for name in chosen.table.column_names}
    stream = io.BytesIO()
    stream.write(BYTE_ORDER_MARK)
    pacsv.write_csv(pa.table(columns), stream)
    return {"": stream.getvalue()}


def _harmless(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_string(column.type):
        return column
    runs = pc.match_substring_regex(column, FORMULA)
    return pc.if_else(runs, pc.binary_join_element_wise("'", column, ""), column)
