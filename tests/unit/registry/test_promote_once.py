"""One version a model, whoever is killed and however many call at once."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldseam.artifacts import digest_folder
from goldseam.registry import stage, versions
from goldseam.registry.champion import fetch_champion
from goldseam.registry.config import PromoteConfig
from goldseam.results import EvaluationResult
from tests.unit.registry.promotions import Checkpoint, Evaluate, all_runs, all_versions, run


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
