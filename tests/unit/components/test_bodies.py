"""The components that decide something, called as plain functions in this process."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.audit.component import audit
from components.gate.component import gate
from components.report_status.component import report_status
from components.stop.component import stop
from goldseam.dataset.ingest import IngestConfig
from goldseam.dataset.ingest import ingest as ingest_stage
from goldseam.dataset.reading import open_dataset
from goldseam.results import AuditResult, Estimate, EvaluationResult, ModelScores
from goldseam.workspace import TaskRecord, Workspace


@pytest.fixture(autouse=True)
def _run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDSEAM_RUN", "r1")


def at(path: Path) -> Any:
    """An artifact as kfp hands it to a task."""
    return SimpleNamespace(path=str(path), metadata={})


def evaluation(folder: Path, miou: float | None) -> Any:
    scores = ModelScores(model_digest="sha256:m", metrics={"cover.miou": Estimate(value=miou)})
    folder.mkdir()
    EvaluationResult(
        key="k",
        digest="d",
        dataset_digest="sha256:d",
        split="test",
        images=1,
        groups=1,
        resamples=1,
        models={"pipeline": scores},
        differences={},
        examples=(),
    ).write(folder)
    return at(folder)


@pytest.mark.parametrize(
    ("miou", "verdict", "sign"), [(0.8, "pass", "✓"), (0.5, "fail", "✗"), (None, "fail", "✗")]
)
def test_gate(tmp_path: Path, miou: float | None, verdict: str, sign: str) -> None:
    decisions = at(tmp_path / "decisions.md")
    given = gate.python_func(
        evaluation=evaluation(tmp_path / "evaluation", miou),
        config={"gates": [{"metric": "cover.miou", "at_least": 0.7}]},
        workspace=str(tmp_path / "workspace"),
        decisions=decisions,
    )

    assert given == verdict
    assert Path(decisions.path).read_text().startswith(f"- {sign} cover.miou at least 0.7")


def test_a_gate_on_an_unknown_metric_is_an_error_not_a_verdict(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with pytest.raises(SystemExit):
        gate.python_func(
            evaluation=evaluation(tmp_path / "evaluation", 0.8),
            config={"gates": [{"metric": "cover.mioo", "at_least": 0.7}]},
            workspace=str(workspace),
            decisions=at(tmp_path / "decisions.md"),
        )
    record = Workspace(workspace).records("r1")["gate"]
    assert record.status == "failed"
    assert "cover.miou" in (record.remedy or "")


def test_a_recipe_without_gates_says_so(tmp_path: Path) -> None:
    decisions = at(tmp_path / "decisions.md")
    inputs = {"evaluation": evaluation(tmp_path / "evaluation", 0.1), "config": {}}
    verdict = gate.python_func(**inputs, workspace=str(tmp_path / "w"), decisions=decisions)
    assert verdict == "pass"
    assert "no gate" in Path(decisions.path).read_text()


def test_stop_fails_with_the_closed_gates_only(tmp_path: Path) -> None:
    reasons = tmp_path / "reasons.md"
    reasons.write_text("- ✓ a: fine\n- ✗ b: too low\n- ✗ c: undefined\n")
    with pytest.raises(SystemExit) as caught:
        stop.python_func(
            gate="promotion",
            reasons=at(reasons),
            remedy="Train longer.",
            workspace=str(tmp_path / "workspace"),
        )

    assert caught.value.code == 2
    record = Workspace(tmp_path / "workspace").records("r1")["stop"]
    assert record.error == "gate 'promotion' is closed: b: too low; c: undefined"
    assert record.remedy == "Train longer."


def test_the_status_comes_first_and_never_claims_a_success(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_record("r1", TaskRecord(task="publish", status="succeeded"))
    workspace.write_record("r1", TaskRecord(task="train", status="running"))
    report_status.python_func(
        recipe={},
        workspace=str(tmp_path),
        status=SimpleNamespace(state="FAILED", error_message="x"),
    )

    text = (tmp_path / "status/r1.json").read_text()
    assert '"status": "failed"' in text
    assert "train: its process died" in text


@pytest.mark.parametrize(
    ("pipeline", "missed"),
    [
        ({"pipeline": "label_audit"}, set()),
        ({"pipeline": "partial_to_model", "train": {"tasks": ["cover"]}}, {"train", "scratch"}),
        ({"pipeline": "tags_to_model"}, {"train", "scratch", "finetune"}),
        ({"pipeline": "no such"}, {"train", "scratch", "pretrain", "finetune", "noisy_direct"}),
    ],
)
def test_the_page_of_a_run_that_died_misses_what_its_pipeline_has(
    tmp_path: Path, pipeline: dict[str, Any], missed: set[str]
) -> None:
    Workspace(tmp_path).write_record("r1", TaskRecord(task="ingest", status="failed", error="x."))
    report_status.python_func(
        recipe={"dataset": {"uri": "nowhere"}, **pipeline},
        workspace=str(tmp_path),
        status=SimpleNamespace(state="FAILED", error_message="x"),
    )

    output = Workspace(tmp_path).records("r1")["report_status"].output
    page = (Path(output or "") / "index.html").read_text()
    learned = ("train", "scratch", "pretrain", "finetune", "noisy_direct")
    assert {name for name in learned if f"<code>{name}</code>" in page} == missed


def test_the_same_labels_under_another_revision_are_audited_again(
    disc_folder: Path, tmp_path: Path
) -> None:
    """A new commit that leaves the data alone is no other output in the old one's place."""
    digest = open_dataset(disc_folder).info.digest
    for revision in ("first", "second", "first"):
        reference = tmp_path / revision / "ingest"
        if not reference.is_dir():
            ingest_stage(IngestConfig(uri=str(disc_folder), revision=revision), reference)
        outputs = {n: at(tmp_path / revision / n) for n in ("findings", "report", "summary")}
        verdict = audit.python_func(
            dataset=at(reference),
            dataset_digest=digest,
            config={"plan": {"simulate": False}},
            workspace=str(tmp_path / "workspace"),
            **outputs,
        )
        assert verdict == "pass"
        assert AuditResult.read(Path(outputs["findings"].path)).revision == revision
