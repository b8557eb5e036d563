"""The audit on a schedule, as a user types it: parts, gates, dashboards."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from goldseam.dataset.writing import write_dataset
from tests.conftest import disc_info, discs
from tests.end_to_end.test_run import goldseam

RECIPE = """\
pipeline: label_audit
name: discs
dataset: {uri: data}
parts: 4
audit:
  predictions:
    folds: 2
    network: {encoder: {width: 8, levels: 2}, decoder_width: 8}
    optimizer: {steps: 6, batch_size: 8}
  plan: {simulate: false}
"""
TASKS = {
    "read_audit_recipe",
    "ingest",
    "validate",
    "list_parts",
    "join_measures",
    "crossfit",
    "audit",
    "publish",
    "report_status",
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("audit")
    splits = {
        "train": discs(1, 32, partial=True),
        "validation": discs(2, 8, partial=False),
        "test": discs(3, 8, partial=False),
    }
    write_dataset(at / "data", disc_info(), splits, rows_per_shard=16)
    (at / "recipe.yaml").write_text(RECIPE)
    done = goldseam("run", "recipe.yaml", "--out", "out", at=at)
    assert done.returncode == 0, done.stderr
    return at


def test_every_task_ran_and_the_pictures_were_cut_into_parts(audited: Path) -> None:
    summary = json.loads((audited / "out" / "summary.json").read_text())
    assert summary["status"] == "succeeded"
    parts = {name for name in summary["stages"] if name.startswith("measure-")}
    assert parts == {f"measure-{number}-of-4" for number in range(4)}
    assert set(summary["stages"]) == TASKS | parts
    assert (audited / "out" / "index.html").is_file()


def test_the_parts_give_what_one_command_gives(audited: Path) -> None:
    done = goldseam("audit", "data", "--recipe", "recipe.yaml", "--out", "alone", at=audited)
    assert done.returncode == 0, done.stderr
    assert "page alone/index.html" in done.stdout
    (result,) = (audited / "out" / "workspace" / "stages").glob("audit*/**/audit.json")
    apart, alone = (
        json.loads(result.read_text()),
        json.loads((audited / "alone/audit.json").read_text()),
    )
    assert apart == alone
    assert pq.read_table(result.parent / "findings.parquet").equals(
        pq.read_table(audited / "alone" / "findings.parquet")
    )


def test_labels_that_break_a_limit_stop_the_run_and_leave_a_page(audited: Path) -> None:
    limit = "audit.gate.min_coverage={cover: 0.9}"
    done = goldseam("run", "recipe.yaml", "--out", "out", "--set", limit, at=audited)
    assert done.returncode == 2
    assert "gate 'labels' is closed: cover is known on at least 90.0 %" in done.stderr
    assert "train/cover" in done.stderr
    summary = json.loads((audited / "out" / "summary.json").read_text())
    assert summary["stages"]["crossfit"]["reused"]
    assert summary["page"] == "index.html"
