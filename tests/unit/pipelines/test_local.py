"""What the user hears of a run on this machine."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from goldseam.workspace import TaskRecord, Workspace
from pipelines.local import Teller, failure, forget, last_progress, line


def record(task: str, status: str = "succeeded", **more: object) -> TaskRecord:
    return TaskRecord(task=task, status=status, **more)  # type: ignore[arg-type]


def test_the_first_failure_speaks_for_the_run(tmp_path: Path) -> None:
    records = {
        "ingest": record("ingest"),
        "train": record("train", "failed", error="no label is known.", remedy="Add labels."),
        "report_status": record("report_status", "failed", error="later"),
    }
    error = failure(records, tmp_path / "kfp.log")
    assert (error.stage, error.message) == ("train", "stage 'train': no label is known.")
    assert error.remedy == "Add labels."


def test_a_task_that_died_is_named(tmp_path: Path) -> None:
    error = failure({"train": record("train", "running")}, tmp_path / "kfp.log")
    assert error.stage == "train"
    assert "ended without a word" in error.message
    assert str(tmp_path / "kfp.log") in error.remedy


def test_without_a_record_the_log_speaks(tmp_path: Path) -> None:
    log = tmp_path / "kfp.log"
    log.write_text("\n".join(f"line {number}" for number in range(50)))
    error = failure({}, log)
    assert "line 49" in error.message
    assert "line 10\n" not in error.message


def test_records_of_an_earlier_attempt_are_forgotten(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_record("r1", record("train", "failed"))
    workspace.write_record("r2", record("train"))
    forget(workspace, "r1")
    assert workspace.records("r1") == {}
    assert set(workspace.records("r2")) == {"train"}


def test_each_task_is_told_once(tmp_path: Path) -> None:
    text = io.StringIO()
    records: dict[str, TaskRecord] = {}
    teller = Teller(lambda: records, tmp_path / "kfp.log", Console(file=text, width=100))
    with teller.drawing():
        records["train"] = record("train", "running")
        teller.look()
        teller.look()
        records["train"] = record("train", seconds=12.34, peak_rss_mib=512.0)
        teller.look()
        teller.look()
    assert text.getvalue().splitlines() == [
        "  … train started",
        "  ✓ train              12.3 s     512 MiB",
    ]


def test_a_line_says_what_was_found_again() -> None:
    assert line(record("audit", reused=True)).plain.endswith("found in the workspace")
    assert line(record("audit", "failed")).plain.startswith("  ✗ audit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INFO train step=3/9 eta_s=40 loss 0.5\nother\n", "step=3/9 eta_s=40 loss 0.5"),
        ("INFO train step=3/9 eta_s=40 \nExecuting task 'audit'\n", ""),
        ("nothing\n", ""),
        (None, ""),
    ],
)
def test_last_progress(tmp_path: Path, text: str | None, expected: str) -> None:
    log = tmp_path / "kfp.log"
    if text is not None:
        log.write_text(text)
    assert last_progress(log) == expected
