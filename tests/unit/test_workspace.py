"""Every task of a run leaves a record, however it ends, and equal work is done once."""

import dataclasses
import json
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from goldseam.artifacts import Result, StageConfig, stage_key
from goldseam.errors import InvalidDataset
from goldseam.storage.atomic import atomic_folder
from goldseam.workspace import TaskRecord, Workspace, running_task


class Options(StageConfig):
    steps: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steps(Result):
    stage: ClassVar[str] = "steps"
    steps: int


calls: list[int] = []


def make_steps(config: Options, dataset: str, out: Path, *, factor: int = 1) -> Steps:
    key = stage_key("steps", config, dataset=dataset)
    if (done := Steps.completed(out, key)) is not None:
        return done
    calls.append(config.steps)
    with atomic_folder(out) as folder:
        (folder / "model").write_text("weights")
        result = Steps(key=key, digest="sha256:d", steps=config.steps * factor).write(folder)
    return result.at(out)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def test_a_task_that_succeeds_says_so(tmp_path: Path) -> None:
    with running_task("train", tmp_path, "run") as task:
        assert Workspace(tmp_path).records("run")["train"].status == "running"
        task.stage("steps", make_steps, Options(), "d1", keyed_by={"dataset": "d1"})
        time.sleep(0.01)
    record = Workspace(tmp_path).records("run")["train"]
    assert record.status == "succeeded"
    assert record.seconds >= 0.01
    assert record.peak_rss_mib > 1
    assert record.digest == "sha256:d"
    assert not record.reused
    assert record.error is record.remedy is None
    assert record.output is not None
    assert (Path(record.output) / "model").read_text() == "weights"


def test_an_error_of_the_user_is_recorded_and_ends_the_process_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, running_task("audit", tmp_path, "run"):
        raise InvalidDataset("train.parquet, row 3: id 9.", remedy="Mend the label.")
    assert caught.value.code == 2
    record = Workspace(tmp_path).records("run")["audit"]
    assert record.status == "failed"
    assert record.error == "train.parquet, row 3: id 9."
    assert record.remedy == "Mend the label."
    assert (
        "audit: train.parquet, row 3: id 9.\n  remedy: Mend the label." in capsys.readouterr().err
    )


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_any_other_error_is_recorded_with_its_traceback_and_passes(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), running_task("train", tmp_path, "run"):
        raise error("a bug")
    record = Workspace(tmp_path).records("run")["train"]
    assert record.status == "failed"
    assert record.error == f"{error.__name__}: a bug"
    assert record.remedy is not None
    assert "Traceback" in record.remedy
    assert "test_workspace.py" in record.remedy


def test_equal_work_is_done_once_and_other_work_stands_elsewhere(tmp_path: Path) -> None:
    outputs = []
    for run, steps, dataset in [("a", 3, "d1"), ("b", 3, "d1"), ("c", 4, "d1"), ("d", 3, "d2")]:
        with running_task("train", tmp_path, run) as task:
            result = task.stage(
                "steps", make_steps, Options(steps=steps), dataset, keyed_by={"dataset": dataset}
            )
            outputs.append(result.folder)
    assert calls == [3, 4, 3]
    assert outputs[0] == outputs[1]
    assert len(set(outputs)) == 3
    reused = {run: Workspace(tmp_path).records(run)["train"].reused for run in "abcd"}
    assert reused == {"a": False, "b": True, "c": False, "d": False}


def test_two_tasks_that_need_the_same_work_at_once_do_it_once(tmp_path: Path) -> None:
    started = threading.Event()

    def slowly(config: Options, dataset: str, out: Path) -> Steps:
        started.set()
        time.sleep(0.2)
        return make_steps(config, dataset, out)

    def work(run: str) -> None:
        with running_task("train", tmp_path, run) as task:
            task.stage("steps", slowly, Options(), "d1", keyed_by={"dataset": "d1"})

    first = threading.Thread(target=work, args=["a"])
    first.start()
    assert started.wait(10)
    work("b")
    first.join()
    assert calls == [3]
    assert Workspace(tmp_path).records("b")["train"].reused


def test_the_processes_of_one_task_make_its_output_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, done = threading.Event(), threading.Event()

    def together(config: Options, dataset: str, out: Path) -> Steps:
        # the first process, which holds the lock, goes on only when the second has come here too
        if threading.current_thread() is first:
            assert arrived.wait(10), "the second process waits for the lock of the first"
        else:
            arrived.set()
            assert done.wait(10)
        return make_steps(config, dataset, out)

    def work() -> None:
        with running_task("train", tmp_path, "run") as task:
            task.stage("steps", together, Options(), "d1", keyed_by={"dataset": "d1"})
        done.set()

    first = threading.Thread(target=work)
    first.start()
    while first.is_alive() and not list((tmp_path / "stages").glob("*.lock")):
        time.sleep(0.01)
    monkeypatch.setenv("RANK", "1")  # what torchrun tells the second process
    exported = tmp_path / "exported"
    with running_task("train", tmp_path, "run of the second") as task:
        result = task.stage(
            "steps",
            together,
            Options(),
            "d1",
            keyed_by={"dataset": "d1"},
            export_to=exported,
        )
    first.join()
    assert calls == [3]
    assert result.steps == 3
    assert not exported.exists()
    assert Workspace(tmp_path).records("run of the second") == {}


def test_a_failed_stage_leaves_nothing_to_reuse(tmp_path: Path) -> None:
    def fail(config: Options, dataset: str, out: Path) -> Steps:
        with atomic_folder(out):
            raise InvalidDataset("broken", remedy="Mend it.")

    with pytest.raises(SystemExit), running_task("train", tmp_path, "a") as task:
        task.stage("steps", fail, Options(), "d1", keyed_by={"dataset": "d1"})
    with running_task("train", tmp_path, "b") as task:
        task.stage("steps", make_steps, Options(), "d1", keyed_by={"dataset": "d1"})
    assert calls == [3]
    assert not Workspace(tmp_path).records("b")["train"].reused


def test_something_else_in_the_place_of_an_output_is_refused(tmp_path: Path) -> None:
    key = stage_key("steps", Options(), dataset="d1")
    Workspace(tmp_path).output_folder("steps", key).mkdir(parents=True)
    with pytest.raises(SystemExit), running_task("train", tmp_path, "a") as task:
        task.stage("steps", make_steps, Options(), "d1", keyed_by={"dataset": "d1"})
    record = Workspace(tmp_path).records("a")["train"]
    assert record.error is not None
    assert "no result of 'steps'" in record.error


def test_options_reach_the_function_and_the_output_is_exported(tmp_path: Path) -> None:
    with running_task("train", tmp_path / "w", "run") as task:
        result = task.stage(
            "steps",
            make_steps,
            Options(),
            "d1",
            keyed_by={"dataset": "d1"},
            export_to=tmp_path / "exported",
            factor=2,
        )
    assert result.steps == 6
    assert Steps.read(tmp_path / "exported") == result
    assert (tmp_path / "exported" / "model").read_text() == "weights"


def test_records_come_in_the_order_in_which_tasks_were_begun(tmp_path: Path) -> None:
    # `first` ends last, so neither the files' times nor their names have this order
    with running_task("first", tmp_path, "run"), running_task("a_second", tmp_path, "run"):
        pass
    assert list(Workspace(tmp_path).records("run")) == ["first", "a_second"]
    assert Workspace(tmp_path).records("another run") == {}


def test_a_record_is_plain_json(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    record = TaskRecord(task="train", status="failed", error="e", remedy="r", reused=True)
    place.write_record("run", record)
    body = json.loads((tmp_path / "runs" / "run" / "train.json").read_text())
    assert body["remedy"] == "r"
    assert place.records("run") == {"train": record}
