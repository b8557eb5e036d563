"""Promotion into a real MLflow on SQLite: once, atomically, and only through the gates."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
import pytest

from goldseam.artifacts import digest_folder
from goldseam.errors import DigestMismatch, InvalidConfig, MissingInput, OutputExists
from goldseam.registry import stage, versions
from goldseam.registry.champion import fetch_champion
from goldseam.registry.config import Gate, PromoteConfig
from goldseam.registry.stage import promote
from goldseam.registry.tracking import open_tracking
from goldseam.results import EvaluationResult, PromotionResult, TrainingResult
from goldseam.tracking import RegistryFailed

Evaluate = Callable[..., EvaluationResult]
Checkpoint = Callable[..., Path]
RECIPE = {"train": {"steps": 10, "seed": 0}, "promote": {"password": "pa55word"}}
LINEAGE = {"git_commit": "abc123", "dvc_revision": "r1", "store": "https://u:pa55word@host"}


def run(
    config: PromoteConfig, evaluation: EvaluationResult, model: Path, out: Path, **more: Any
) -> PromotionResult:
    options: dict[str, Any] = {"recipe": RECIPE, "lineage": LINEAGE, **more}
    return promote(config, evaluation, model, out, **options)


def client(config: PromoteConfig) -> Any:
    return mlflow.MlflowClient(config.tracking_uri, config.tracking_uri)


def all_versions(config: PromoteConfig) -> list[Any]:
    return list(client(config).search_model_versions(f"name = '{config.model_name}'"))


def all_runs(config: PromoteConfig) -> list[Any]:
    there = client(config)
    return list(there.search_runs([e.experiment_id for e in there.search_experiments()]))


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


@pytest.mark.parametrize(
    "broken_step", ["record_numbers", "record_files", "register", "_settle_alias", "_note_gates"]
)
def test_crash_is_finished_by_the_next_call(
    config: PromoteConfig,
    checkpoint: Checkpoint,
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken_step: str,
) -> None:
    """Whatever step a killed process reached, the next one leaves one run and one version."""
    model = checkpoint(0)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, broken_step, killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, evaluate(model), model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (begun,) = all_runs(config)

    result = run(config, evaluate(model), model, tmp_path / "out")
    assert result.promoted
    (logged,) = all_runs(config)
    assert logged.info.run_id == begun.info.run_id == result.run_id
    assert logged.info.status == "FINISHED"
    assert len(all_versions(config)) == 1
    fetched = fetch_champion(config, tmp_path / "champion")
    assert fetched is not None
    assert digest_folder(fetched) == digest_folder(model)


def test_refused_model_is_registered_but_not_champion(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    good, bad = checkpoint(0), checkpoint(1)
    run(config, evaluate(good), good, tmp_path / "good")
    champion = (digest_folder(good), 0.75)
    result = run(config, evaluate(bad, miou=0.72, champion=champion), bad, tmp_path / "bad")
    assert not result.promoted
    assert result.registered
    assert [gate.passed for gate in result.gates] == [True, False]
    there = client(config)
    assert str(there.get_model_version_by_alias("coast", "champion").version) == "1"
    tags = there.get_model_version("coast", "2").tags
    assert tags["goldseam.gates"] == "failed"
    assert "0.03 worse" in tags["goldseam.gate_reasons"]


def test_better_model_takes_the_alias(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    old, new = checkpoint(0), checkpoint(1)
    run(config, evaluate(old), old, tmp_path / "old")
    champion = (digest_folder(old), 0.75)
    assert run(config, evaluate(new, miou=0.8, champion=champion), new, tmp_path / "new").promoted
    assert str(client(config).get_model_version_by_alias("coast", "champion").version) == "2"


def test_champion_that_changed_since_the_evaluation_stays(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    """Two runs were evaluated while there was no champion; the later one must be compared anew."""
    one, two = checkpoint(0), checkpoint(1)
    run(config, evaluate(one), one, tmp_path / "one")
    unaware = run(config, evaluate(two, miou=0.9), two, tmp_path / "two")
    assert not unaware.promoted
    assert "was not evaluated; evaluate again" in unaware.gates[-1].reason
    stale = evaluate(two, miou=0.9, champion=("sha256:" + "0" * 64, 0.7))
    result = run(config, stale, two, tmp_path / "stale")
    assert not result.promoted
    assert "became champion meanwhile" in result.gates[-1].reason
    aware = evaluate(two, miou=0.9, champion=(digest_folder(one), 0.75))
    assert run(config, aware, two, tmp_path / "aware").promoted


def test_old_run_again_does_not_take_the_alias_back(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    config = config.model_copy(update={"gates": GATE_WITHOUT_CHAMPION})
    old, new = checkpoint(0), checkpoint(1)
    run(config, evaluate(old), old, tmp_path / "old")
    assert run(config, evaluate(new), new, tmp_path / "new").promoted
    again = run(config, evaluate(old), old, tmp_path / "again")
    assert not again.promoted
    assert "does not take it back" in again.gates[-1].reason
    assert str(client(config).get_model_version_by_alias("coast", "champion").version) == "2"
    assert client(config).get_model_version("coast", "1").tags["goldseam.gates"] == "passed"


GATE_WITHOUT_CHAMPION = (Gate(metric="cover.miou", at_least=0.7),)


def test_alias_is_compared_and_swapped(
    config: PromoteConfig,
    checkpoint: Checkpoint,
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody without our lock moves the alias between look and move: his move stands."""
    one, two = checkpoint(0), checkpoint(1)
    run(config, evaluate(one), one, tmp_path / "one")
    run(config, evaluate(two, miou=0.5), two, tmp_path / "two")
    honest = versions.may_replace

    def disturb(*arguments: Any, **options: Any) -> Any:
        client(config).set_registered_model_alias("coast", "champion", "2")
        return honest(*arguments, **options)

    monkeypatch.setattr(stage, "may_replace", disturb)
    three = checkpoint(2)
    evaluation = evaluate(three, miou=0.9, champion=(digest_folder(one), 0.75))
    result = run(config, evaluation, three, tmp_path / "three")
    assert not result.promoted
    assert "at this very moment" in result.gates[-1].reason
    assert str(client(config).get_model_version_by_alias("coast", "champion").version) == "2"


def test_two_registrations_at_once_leave_one_version(
    config: PromoteConfig,
    checkpoint: Checkpoint,
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a server no lock of ours holds: the higher number is taken back."""
    model = checkpoint(0)
    first = run(config, evaluate(model), model, tmp_path / "a")
    honest = versions.find_version
    calls = 0

    def blind_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return None if calls == 1 else honest(*arguments)

    monkeypatch.setattr(versions, "find_version", blind_once)
    second = run(config, evaluate(model), model, tmp_path / "b")
    assert calls >= 2
    assert second.version == first.version
    assert not second.registered
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


def test_mlflow_refusal_is_one_error(config: PromoteConfig) -> None:
    with pytest.raises(RegistryFailed) as caught, open_tracking(config) as tracking:
        tracking.client.get_run("0" * 32)
    assert "0" * 32 in caught.value.message
    assert "tracking_uri" in caught.value.remedy


PROMOTE_ALONE = """
import sys
from pathlib import Path
from goldseam.registry.config import PromoteConfig
from goldseam.registry.stage import promote
from goldseam.results import EvaluationResult
uri, evaluation, model, out = sys.argv[1:]
result = promote(PromoteConfig(tracking_uri=uri, model_name="coast"),
    EvaluationResult.read(Path(evaluation)), Path(model), Path(out), recipe={}, lineage={})
print(result.version, result.registered, result.promoted)
"""


def test_two_processes_on_a_fresh_database(
    checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    """Both make the database, the experiment and the model at once; one version comes of it."""
    model = checkpoint(0)
    (tmp_path / "evaluation").mkdir()
    evaluate(model).write(tmp_path / "evaluation")
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                PROMOTE_ALONE,
                uri,
                tmp_path / "evaluation",
                model,
                tmp_path / n,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for n in ("one", "two")
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    said = sorted(stdout for stdout, _ in outputs)
    assert said == ["1 False True\n", "1 True True\n"]
    # nothing but our own line: no migration log, no progress bar, no warning
    assert [stderr for _, stderr in outputs] == ["", ""]
    # MLflow's own default would have made this folder in the working directory
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.slow
def test_killed_process_leaves_nothing_half_done(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    """A real `kill -9` in the middle; the lock goes with the process."""
    model = checkpoint(0)
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_suicide, args=(config, evaluate(model), model, tmp_path / "o"))
    child.start()
    child.join(120)
    assert child.exitcode == -9
    assert all_versions(config) == []
    result = run(config, evaluate(model), model, tmp_path / "o")
    assert result.registered
    assert len(all_runs(config)) == len(all_versions(config)) == 1


def _suicide(config: PromoteConfig, evaluation: EvaluationResult, model: Path, out: Path) -> None:
    def killed(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), 9)

    stage.register = killed
    run(config, evaluation, model, out)
