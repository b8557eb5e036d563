"""What became of findings from one version of a dataset to the next.

A finding keeps its id over all audits. It is closed only if somebody looked again: where the later
audit did not examine its kind, nothing is known of it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.dashboard.site.history import AuditEntry

FINDINGS_FILE = "findings.parquet"
DUPLICATES = ("duplicate", "leak", "conflicting_duplicate")
CONTRADICTION = "contradiction"
COLUMNS = ["finding", "task", "issue"]


@dataclasses.dataclass(frozen=True)
class FindingChange:
    """Findings of one kind (or of all) in two audits, the second after the first.

    Attributes:
        issue: its kind; empty for all together.
        still: in both.
        closed: in the first only, though the second looked: mended, or the image is gone.
        unseen: in the first only, and the second did not look.
        opened: in the second only, though the first looked.
        first_seen: in the second only, and the first did not look.
    """

    task: str
    issue: str
    still: int
    closed: int
    unseen: int
    opened: int
    first_seen: int


def is_consistency(method: str) -> bool:
    """Whether labels were compared with each other only, not with predictions or values."""
    return method.startswith("consistency")


def was_examined(audit: AuditEntry, task: str, issue: str) -> bool:
    """Whether an audit looked for such findings, so that their absence says something."""
    if issue in DUPLICATES:
        return audit.duplicates is not None
    if issue == CONTRADICTION:
        done = (one.section for one in audit.inspected if one.done)
        return any(section.startswith(CONTRADICTION) for section in done)
    return any(
        row.task == task and row.category is None and not is_consistency(row.method)
        for row in audit.errors
    )


def open_findings(
    audit: AuditEntry, earlier: Sequence[AuditEntry] = ()
) -> dict[tuple[str, str], int]:
    """(task, issue) → how many are open; 0 for what an earlier audit found and this one did not.

    Args:
        audit: the latest of its dataset.
        earlier: audits of earlier versions. What they found and this one did not look for is left
            out.
    """
    counts = {(row.task, row.kind): row.findings for row in audit.findings}
    for one in earlier:
        for row in one.findings:
            if was_examined(audit, row.task, row.kind):
                counts.setdefault((row.task, row.kind), 0)
    return dict(sorted(counts.items()))


def read_findings(folder: Path) -> pa.Table | None:
    """Id, task and issue of the findings of an audit; None where its file is gone or damaged."""
    try:
        return pq.read_table(folder / FINDINGS_FILE, columns=COLUMNS)
    except (OSError, pa.ArrowException):
        return None


def compare_findings(
    before: AuditEntry, before_table: pa.Table, after: AuditEntry, after_table: pa.Table
) -> tuple[FindingChange, ...]:
    """Changes by task and issue, then one row for all; empty where there never was a finding."""
    old = _counts(before_table, after_table.column("finding"))
    new = _counts(after_table, before_table.column("finding"))
    rows = []
    for task, issue in sorted(old.keys() | new.keys()):
        gone, still = old.get((task, issue), (0, 0))
        fresh, _ = new.get((task, issue), (0, 0))
        looked_again = was_examined(after, task, issue)
        looked_before = was_examined(before, task, issue)
        rows.append(
            FindingChange(
                task,
                issue,
                still=still,
                closed=gone if looked_again else 0,
                unseen=0 if looked_again else gone,
                opened=fresh if looked_before else 0,
                first_seen=0 if looked_before else fresh,
            )
        )
    if not rows:
        return ()
    names = ("still", "closed", "unseen", "opened", "first_seen")
    total = {name: sum(getattr(row, name) for row in rows) for name in names}
    return (*rows, FindingChange("", "", **total))


def _counts(table: pa.Table, others: pa.ChunkedArray) -> dict[tuple[str, str], tuple[int, int]]:
    """(task, issue) → findings that are not among others, and findings that are."""
    shared = pc.is_in(table.column("finding"), value_set=others.combine_chunks())
    counted = (
        table.append_column("shared", shared)
        .group_by(["task", "issue", "shared"])
        .aggregate([("finding", "count")])
    )
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for row in counted.to_pylist():
        apart, both = counts.get((row["task"], row["issue"]), (0, 0))
        number = row["finding_count"]
        key = (row["task"], row["issue"])
        counts[key] = (apart, number) if row["shared"] else (number, both)
    return counts
