"""Which findings are exported, and the columns that the exporters read.

M findings.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.audit.findings import FINDINGS_FILE, SCHEMA, Issue
from goldseam.errors import InvalidConfig, InvalidDataset, MissingInput, closest

CORNERS = ("xmin", "ymin", "xmax", "ymax")
STATES = ("present", "absent")


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Findings, the most suspicious first.

    Attributes:
        table: M rows of `findings.SCHEMA`.
    """

    table: pa.Table

    @property
    def image_ids(self) -> list[str]:
        """The images of the findings, the one with the most suspicious finding first."""
        return list(dict.fromkeys(self.table.column("image_id").to_pylist()))

    def rows(self) -> list[dict[str, Any]]:
        """The findings as records; `corners` is None where no region is named."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        for row in rows:
            corners = [row.pop(corner) for corner in CORNERS]
            row["corners"] = None if None in corners else corners
        return rows


def select_findings(
    audit_folder: Path,
    *,
    issues: Sequence[str] = (),
    tasks: Sequence[str] = (),
    limit: int | None = None,
) -> Selection:
    """Read the findings of an audit, and choose some.

    Raises:
        MissingInput: there are none, or the file cannot be read.
        InvalidConfig: an issue or a task that no finding is about.
        InvalidDataset: the file is no table of findings.
    """
    if limit is not None and limit < 1:
        raise InvalidConfig(f"{limit} findings are asked for.", remedy="Ask for at least 1.")
    file = audit_folder / FINDINGS_FILE
    try:
        table = pq.read_table(file)
    except OSError as error:
        remedy = "Name the folder that 'goldseam audit --out' made."
        raise MissingInput(file, "holds no findings of an audit", remedy) from error
    except pa.ArrowException as error:
        raise _no_findings(file, str(error)) from error
    try:
        table = table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise _no_findings(file, str(error)) from error
    known = {"issue": tuple(Issue), "task": _distinct(table, "task")}
    for what, wanted in (("issue", issues), ("task", tasks)):
        for name in wanted:
            if name not in known[what]:
                raise InvalidConfig(
                    f"no finding is about the {what} '{name}'.",
                    remedy=f"Closest: {closest(name, known[what])}.",
                )
        if wanted:
            table = table.filter(pc.is_in(table.column(what), pa.array(wanted, pa.string())))
    table = table.sort_by([("score", "descending"), ("finding", "ascending")])
    return Selection(table.slice(0, limit))


def _distinct(table: pa.Table, name: str) -> tuple[str, ...]:
    return tuple(sorted(pc.unique(table.column(name)).to_pylist()))


def _no_findings(file: Path, why: str) -> InvalidDataset:
    return InvalidDataset(
        f"{file} is no table of findings ({why}).", remedy="Run 'goldseam audit' again."
    )
