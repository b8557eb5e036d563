"""The audit's findings: joined, written and counted.

Every part of the audit that points at single labels returns a table of `SCHEMA`, made by
`make_findings`; both stand in `goldseam.results.findings`, below the stages that use them.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.results import FindingCount
from goldseam.results.findings import FINDINGS_FILE, SCHEMA, Action, Issue, make_findings

__all__ = [
    "FINDINGS_FILE",
    "SCHEMA",
    "Action",
    "Issue",
    "count_findings",
    "join_findings",
    "make_findings",
    "no_findings",
    "write_findings",
]


def no_findings() -> pa.Table:
    """A table without a row."""
    return SCHEMA.empty_table()


def join_findings(tables: Sequence[pa.Table]) -> pa.Table:
    """All findings, the most suspicious first; ties in the order of their ids."""
    joined = pa.concat_tables([*tables, no_findings()])
    return joined.sort_by([("score", "descending"), ("finding", "ascending")])


def write_findings(table: pa.Table, folder: Path) -> None:
    """Write `findings.parquet`."""
    pq.write_table(table, folder / FINDINGS_FILE, compression="zstd", row_group_size=65536)


def count_findings(table: pa.Table) -> tuple[FindingCount, ...]:
    """Findings and images by task and issue."""
    counted = table.group_by(["task", "issue"]).aggregate(
        [("finding", "count"), ("image_id", "count_distinct")]
    )
    rows = [
        FindingCount(
            row["task"], row["issue"], row["finding_count"], row["image_id_count_distinct"]
        )
        for row in counted.to_pylist()
    ]
    return tuple(sorted(rows, key=lambda row: (row.task, row.kind)))
