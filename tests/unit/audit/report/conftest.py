"""The discs of `tests/conftest.py` with an invented audit of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from goldseam.audit.label_side import LabelSide, read_label_side
from goldseam.audit.report.config import ReportConfig
from goldseam.audit.report.page import write_report
from goldseam.dataset.reading import Dataset
from goldseam.results import AuditResult
from tests.unit.audit.report import sample


@pytest.fixture(scope="session")
def disc_labels(disc_data: Dataset) -> LabelSide:
    return read_label_side(disc_data)


@pytest.fixture(scope="session")
def disc_findings(disc_labels: LabelSide) -> pa.Table:
    return sample.audit_findings(disc_labels)


@pytest.fixture(scope="session")
def disc_audit(disc_data: Dataset, disc_labels: LabelSide, disc_findings: pa.Table) -> AuditResult:
    return sample.audit_result(disc_data, disc_labels, disc_findings)


@pytest.fixture
def page(
    tmp_path: Path,
    disc_data: Dataset,
    disc_labels: LabelSide,
    disc_findings: pa.Table,
    disc_audit: AuditResult,
) -> Callable[..., str]:
    """Writes the page of the discs' audit, with other parts where they are given."""

    def written(**other: Any) -> str:
        parts = {
            "dataset": disc_data,
            "labels": disc_labels,
            "result": disc_audit,
            "findings": disc_findings,
            "config": ReportConfig(),
            **other,
        }
        write_report(tmp_path, **parts)
        return (tmp_path / "index.html").read_text()

    return written
