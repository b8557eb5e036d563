"""What each search for label errors hands to the audit."""

import dataclasses

import pyarrow as pa

from goldseam.results import LabelErrors, NoiseMatrix


@dataclasses.dataclass(frozen=True, eq=False)
class ErrorSection:
    """Errors of one task.

    Attributes:
        findings: table of `goldseam.audit.findings.SCHEMA`.
        errors: counts and estimated rates, for the task, its categories, sources and annotators.
        matrices: joint and transition matrices; empty where the kind has none.
        sentences: what else is worth saying, such as how many labels could not be examined.
    """

    findings: pa.Table
    errors: tuple[LabelErrors, ...]
    matrices: tuple[NoiseMatrix, ...] = ()
    sentences: tuple[str, ...] = ()
