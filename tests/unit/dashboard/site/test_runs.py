"""How runs ended, as a site sees it: by their records, and by what they left."""

from pathlib import Path

from goldseam.dashboard.site.build import build_site
from goldseam.dashboard.site.config import SiteConfig
from goldseam.workspace import Workspace
from tests.unit.dashboard.site.sample import (
    BEGUN,
    audit_result,
    audit_run,
    evaluation_result,
    leave,
    record,
    reference,
    training_run,
)

CONFIG = SiteConfig()


def statuses(folder: Path, site: Path) -> dict[str, str]:
    from goldseam.dashboard.site.runs import runs_of

    history = build_site(CONFIG, [folder], site).history
    return {run.entry.run: run.status for run in runs_of(history)}


def test_how_runs_end(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    workspace = Workspace(root / "workspace")
    for version in (1, 2):
        audit_run(workspace, version)
    training_run(workspace)
    record(
        workspace, "crashed", "ingest", BEGUN, 1.0, status="failed", error="/data: is not there."
    )
    record(workspace, "killed", "ingest", BEGUN, 1.0)
    record(workspace, "killed", "audit", BEGUN, 0.0, status="running")
    # killed between two tasks: nothing failed, but nobody published
    record(workspace, "silent", "ingest", BEGUN, 1.0)
    # the site is built by the last task of a run, which is running meanwhile
    record(workspace, "now", "ingest", BEGUN, 1.0)
    record(workspace, "now", "publish", BEGUN, 0.0, status="running")
    assert statuses(root, tmp_path / "site") == {
        "audit-1": "succeeded",
        "audit-2": "stopped",
        "training-1": "succeeded",
        "crashed": "failed",
        "killed": "unfinished",
        "silent": "unfinished",
        "now": "succeeded",
    }


def test_a_closed_gate_is_no_success_before_the_run_is_stopped(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    result = audit_result(2)
    folder = leave(workspace, result, BEGUN)
    record(workspace, "r", "audit", BEGUN, 2.0, digest=result.digest, output=str(folder))
    record(workspace, "r", "publish", BEGUN + 3, 0.0, status="running")
    assert statuses(tmp_path / "workspace", tmp_path / "site") == {"r": "stopped"}


def test_a_run_is_seen_as_it_was_last(tmp_path: Path) -> None:
    workspace, site = Workspace(tmp_path / "workspace"), tmp_path / "site"
    record(workspace, "r", "ingest", BEGUN, 1.0)
    record(workspace, "r", "audit", BEGUN + 1, 0.0, status="running")
    assert statuses(workspace.root, site) == {"r": "unfinished"}
    record(workspace, "r", "audit", BEGUN + 1, 9.0, status="failed", error="the disk is full")
    assert statuses(workspace.root, site) == {"r": "failed"}
    # an older copy of the records does not undo it
    record(workspace, "r", "audit", BEGUN + 1, 0.0, status="running")
    assert statuses(workspace.root, site) == {"r": "failed"}
    assert "the disk is full" in (site / "runs.html").read_text()


def test_runs_of_two_workspaces_may_share_a_name(tmp_path: Path) -> None:
    for number in (1, 2):
        workspace = Workspace(tmp_path / str(number) / "workspace")
        record(workspace, "20260921T100000Z", "ingest", BEGUN + number, 1.0)
    folders = [tmp_path / "1", tmp_path / "2"]
    assert len(build_site(CONFIG, folders, tmp_path / "site").history.runs) == 2


def test_a_gate_that_left_no_result_is_known_by_what_it_stopped(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    leave(workspace, reference(3), BEGUN)
    leave(workspace, evaluation_result(), BEGUN)
    record(workspace, "r", "ingest", BEGUN, 1.0, digest=reference(3).digest)
    record(workspace, "r", "evaluate", BEGUN + 1, 9.0, digest=evaluation_result().digest)
    error = "gate 'promotion' is closed: cover.miou at least 0.8: 0.765 < 0.8; tags.map: low"
    record(workspace, "r", "stop", BEGUN + 11, 0.1, status="failed", error=error)
    site = tmp_path / "site"
    assert statuses(workspace.root, site) == {"r": "stopped"}
    page = (site / "gates.html").read_text()
    assert "<li>cover.miou at least 0.8: 0.765 &lt; 0.8</li><li>tags.map: low</li>" in page
    assert (
        'goldseam_gate_passed{dataset="coast",gate="promotion"} 0'
        in (site / "metrics.txt").read_text()
    )


def test_records_of_another_program_are_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "mine"
    place.mkdir(parents=True)
    (place / "summary.json").write_text('{"status": "succeeded"}')
    (place / "audit.json").write_text('{"task": "audit", "status": 7}')
    (place / "noise.json").write_text("not json")
    audit_result(1).write(tmp_path / "audit")
    assert build_site(CONFIG, [tmp_path], tmp_path / "site").history.runs == {}
