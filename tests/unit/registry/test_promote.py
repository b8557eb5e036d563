"""Promotion into a real MLflow on SQLite: once, atomically, and only through the gates."""

import errno
import json
from pathlib import Path

import mlflow
import mlflow.artifacts
import pytest

from goldseam.artifacts import digest_folder
from goldseam.errors import DigestMismatch, InvalidConfig, MissingInput, OutputExists
from goldseam.registry.config import PromoteConfig
from goldseam.registry.tracking import open_tracking
from goldseam.results import PromotionResult, TrainingResult
from goldseam.tracking import RegistryFailed
from tests.unit.registry.promotions import Checkpoint, Evaluate, all_runs, all_versions, client, run


def test_first_model_becomes_champion(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = checkpoint(0)
    before = digest_folder(model)
    result = run(
        config, evaluate(model), model, tmp_path / "out", artifacts={"notes": _notes(tmp_path)}
    )

    assert result.promoted
    assert result.registered
    assert result.version == "1"
    assert [gate.passed for gate in result.gates] == [True, True]
    assert PromotionResult.read(tmp_path / "out") == result
    assert digest_folder(model) == before

    there = client(config)
    assert str(there.get_model_version_by_alias("coast", "champion").version) == "1"
    (logged,) = all_runs(config)
    assert logged.info.run_id == result.run_id
    assert logged.info.status == "FINISHED"
    assert logged.data.params["train.steps"] == "10"
    assert logged.data.metrics["cover.miou.high"] == pytest.approx(0.77)
    assert logged.data.metrics["scratch/cover.miou"] == 0.6
    assert logged.data.tags["goldseam.dataset_digest"] == evaluate(model).dataset_digest
    assert logged.data.tags["mlflow.source.git.commit"] == "abc123"
    assert logged.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    (version,) = all_versions(config)
    assert version.tags["goldseam.model_digest"] == before
    assert version.tags["goldseam.gates"] == "passed"

    # the files stand beside the database, not in the working directory
    artifacts = Path(
        mlflow.artifacts.download_artifacts(run_id=result.run_id, tracking_uri=config.tracking_uri)
    )
    assert artifacts.is_relative_to(tmp_path / "registry" / "mlartifacts")
    files = {p.relative_to(artifacts).as_posix() for p in artifacts.rglob("*") if p.is_file()}
    assert files == {
        "model/config.json",
        "model/model.safetensors",
        "model/model_card.md",
        "model/MLmodel",
        "model/python_env.yaml",
        "model/requirements.txt",
        "recipe.yaml",
        "evaluation/result.json",
        "artifacts/notes/notes.txt",
    }
    assert json.loads((artifacts / "evaluation/result.json").read_text())["split"] == "test"


def _notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("something else worth keeping")
    return path


def test_training_curves_stand_in_the_run(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = checkpoint(0)
    history = ({"step": 5.0, "loss": 2.0, "cover.miou": None}, {"step": 10.0, "cover.miou": 0.5})
    learned = TrainingResult(
        key="k", digest="d", steps=10, best_step=10, validation={}, parameters=1, history=history
    )
    folder = tmp_path / "train"
    folder.mkdir()
    learned.write(folder)
    result = run(config, evaluate(model), model, tmp_path / "out", artifacts={"train": folder})

    there = client(config)
    curve = there.get_metric_history(result.run_id, "curves/train/cover.miou")
    assert [(point.step, point.value) for point in curve] == [(10, 0.5)]
    assert there.get_metric_history(result.run_id, "curves/train/loss")[0].step == 5


def test_secrets_reach_neither_registry_nor_output(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    run(config, evaluate(checkpoint(0)), checkpoint(0), tmp_path / "out")
    for folder in (tmp_path / "registry", tmp_path / "out"):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"pa55word" not in path.read_bytes(), path


def test_same_run_again_registers_nothing(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = checkpoint(0)
    first = run(config, evaluate(model), model, tmp_path / "a")
    again = run(config, evaluate(model), model, tmp_path / "a")
    elsewhere = run(config, evaluate(model), model, tmp_path / "b")
    assert again == first
    assert (elsewhere.version, elsewhere.run_id) == (first.version, first.run_id)
    assert elsewhere.promoted
    assert not elsewhere.registered
    assert elsewhere.digest == first.digest
    assert len(all_versions(config)) == len(all_runs(config)) == 1


def test_other_recipe_is_another_version(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = checkpoint(0)
    run(config, evaluate(model), model, tmp_path / "a")
    second = run(config, evaluate(model), model, tmp_path / "b", recipe={"train": {"steps": 11}})
    assert second.version == "2"


def test_output_without_its_registry_is_made_again(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = checkpoint(0)
    run(config, evaluate(model), model, tmp_path / "out")
    client(config).delete_registered_model("coast")
    again = run(config, evaluate(model), model, tmp_path / "out")
    assert again.registered
    assert again.promoted
    assert len(all_versions(config)) == 1


def test_joins_the_run_around_it(
    config: PromoteConfig,
    checkpoint: Checkpoint,
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = client(config)
    around = there.create_run(there.create_experiment("kfp", (tmp_path / "kfp").as_uri()))
    there.log_param(around.info.run_id, "train.steps", "theirs")
    monkeypatch.setenv("MLFLOW_RUN_ID", around.info.run_id)
    result = run(config, evaluate(checkpoint(0)), checkpoint(0), tmp_path / "out")
    assert result.run_id == around.info.run_id
    (joined,) = all_runs(config)
    assert joined.info.status == "RUNNING"  # whoever began it ends it
    assert joined.data.params["train.steps"] == "theirs"
    assert joined.data.params["train.seed"] == "0"

    # another pipeline run with equal content: its numbers are kept, the version is the old one
    later = there.create_run(joined.info.experiment_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", later.info.run_id)
    again = run(config, evaluate(checkpoint(0)), checkpoint(0), tmp_path / "again")
    assert (again.run_id, again.version) == (later.info.run_id, "1")
    assert not again.registered
    assert there.list_artifacts(later.info.run_id) == []
    assert there.get_run(later.info.run_id).data.metrics["cover.miou"] == 0.75


def test_unknown_run_around_is_an_error(
    config: PromoteConfig,
    checkpoint: Checkpoint,
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "f" * 32)
    with pytest.raises(InvalidConfig, match="has no such run"):
        run(config, evaluate(checkpoint(0)), checkpoint(0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_model_that_was_not_evaluated_is_refused(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    with pytest.raises(DigestMismatch, match="digest is"):
        run(config, evaluate(checkpoint(0)), checkpoint(1), tmp_path / "out")
    assert all_runs(config) == []


def test_pickles_and_empty_folders_are_refused(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = checkpoint(0)
    evaluation = evaluate(model)
    with pytest.raises(MissingInput, match="is no checkpoint"):
        run(config, evaluation, tmp_path, tmp_path / "out")
    (model / "extra.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidConfig, match=r"extra\.pt"):
        run(config, evaluation, model, tmp_path / "out")
    assert all_runs(config) == []


def test_other_output_in_the_way(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputExists):
        run(config, evaluate(checkpoint(0)), checkpoint(0), tmp_path / "out")
    assert all_runs(config) == []


def test_file_that_is_no_database(
    checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("these are my notes, not a database")
    config = PromoteConfig(tracking_uri=f"sqlite:///{file}")
    with pytest.raises(MissingInput, match="no SQLite database"):
        run(config, evaluate(checkpoint(0)), checkpoint(0), tmp_path / "out")
    assert file.read_text() == "these are my notes, not a database"


def test_a_file_system_without_locks_is_one_error(
    config: PromoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(MissingInput, match="No locks available") as caught, open_tracking(config):
        pass
    assert "local disk" in caught.value.remedy


def test_mlflow_refusal_is_one_error(config: PromoteConfig) -> None:
    with pytest.raises(RegistryFailed) as caught, open_tracking(config) as tracking:
        tracking.client.get_run("0" * 32)
    assert "0" * 32 in caught.value.message
    assert "tracking_uri" in caught.value.remedy
