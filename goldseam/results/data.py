"""Where a dataset stands, and whether its label table is as promised."""

import dataclasses
from typing import ClassVar, Literal

from goldseam.artifacts import Result

Verdict = Literal["pass", "fail"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetReference(Result):
    """Where a dataset stands and what it is; never a copy of it. `digest` is the dataset's.

    Attributes:
        uri: a local folder.
        name: of the dataset.
        revision: DVC or git revision, when the data is versioned.
        rows: images by split.
        tasks: the dataset's tasks.
    """

    stage: ClassVar[str] = "ingest"
    uri: str
    name: str
    revision: str | None
    rows: dict[str, int]
    tasks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FailedCheck:
    """One expectation that the label table does not meet.

    Attributes:
        expectation: what was expected, in one sentence.
        column: of the label table.
        rows: where, as `split/image_id`; at most twenty.
        count: how many rows in all.
    """

    expectation: str
    column: str
    rows: tuple[str, ...]
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationResult(Result):
    """Whether the label table meets its expectation suite. Data Docs stand in `docs/index.html`."""

    stage: ClassVar[str] = "validate"
    verdict: Verdict
    reasons: tuple[str, ...]
    failures: tuple[FailedCheck, ...]
    checks: int
