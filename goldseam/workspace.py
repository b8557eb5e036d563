"""Where the stages of a run keep what they made, by content, and the record of what happened.

A folder `stages/<stage>-<key>` holds one output; its key names all inputs, so a second run with the
same inputs finds it and a changed option never does. `runs/<run>/<task>.json` says how each task of
a run went. On a cluster the workspace is a mounted volume; it is what lets a killed task go on.
Where `torchrun` starts several processes of one task, the first alone locks and records.
"""

import atexit
import contextlib
import dataclasses
import fcntl
import gc
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from goldseam.artifacts import Result, StageConfig, stage_key
from goldseam.errors import GoldseamError
from goldseam.storage.atomic import copy_folder, write_text

R = TypeVar("R", bound=Result)
RUN_VARIABLE = "GOLDSEAM_RUN"
logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """How one task of a run went; `runs/<run>/<task>.json`.

    Attributes:
        begun: when, in seconds since 1970.
        reused: whether an earlier output with the same key was taken.
        peak_rss_mib: largest resident size of the task's process and its children.
        output: folder of its output.
        error: message of the failure.
        remedy: what to do about it.
    """

    task: str
    status: Literal["running", "succeeded", "failed"]
    begun: float = 0.0
    seconds: float = 0.0
    peak_rss_mib: float = 0.0
    reused: bool = False
    digest: str | None = None
    output: str | None = None
    error: str | None = None
    remedy: str | None = None


def peak_rss_mib() -> float:
    """Largest resident size so far of this process and its finished children."""
    per_unit = 1024 if sys.platform == "darwin" else 1
    peak = max(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    )
    return peak / 1024 / per_unit


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder of stage outputs and run records."""

    root: Path

    def output_folder(self, stage: str, key: str) -> Path:
        """Where the output of a stage with this key stands, or will."""
        return self.root / "stages" / f"{stage}-{key.removeprefix('sha256:')[:16]}"

    def record_file(self, run: str, task: str) -> Path:
        """Where the record of a task stands."""
        return self.root / "runs" / run / f"{task}.json"

    def write_record(self, run: str, record: TaskRecord) -> None:
        """Write or replace the record of a task; of its processes the first alone does."""
        if not _is_first():
            return
        body = json.dumps(dataclasses.asdict(record), indent=1)
        write_text(self.record_file(run, record.task), body + "\n")

    def records(self, run: str) -> dict[str, TaskRecord]:
        """Task → record of a run, in the order in which they were begun."""
        files = (self.root / "runs" / run).glob("*.json")
        records = [TaskRecord(**json.loads(file.read_text())) for file in files]
        return {record.task: record for record in sorted(records, key=lambda r: (r.begun, r.task))}


class RunningTask:
    """A task of a run while it runs; `running_task` makes one."""

    def __init__(self, workspace: Workspace, run: str, name: str) -> None:
        self.workspace = workspace
        self.run = run
        self.name = name
        self.reused = False
        self.digest: str | None = None
        self.output: str | None = None

    def stage(
        self,
        stage: str,
        function: Callable[..., R],
        config: StageConfig,
        *inputs: Any,
        keyed_by: dict[str, str],
        export_to: str | Path | None = None,
        **options: Any,
    ) -> R:
        """Run a stage function in the workspace, or take the output it left there before.

        Args:
            stage: name of the stage.
            function: `function(config, *inputs, out=…, **options) -> Result`.
            config: the stage's options.
            inputs: handed to the function.
            keyed_by: the digest of each input.
            export_to: a folder of the pipeline that receives the output (by hard links).
            options: handed to the function.
        """
        out = self.workspace.output_folder(stage, stage_key(stage, config, **keyed_by))
        with _alone(out):
            self.reused = (out / "result.json").is_file()
            result = function(config, *inputs, out=out, **options)
        self.digest, self.output = result.digest, str(out)
        if export_to is not None and _is_first():
            copy_folder(out, Path(export_to))
        return result


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Wait while another process makes the same output, and keep others waiting.

    A runner that is killed leaves its task behind, which works on; runs that share a volume may
    share a stage. Whoever comes second finds what the first one made. The other processes of the
    same task make the output together with the first, which holds the lock for all of them.
    """
    if not _is_first():
        yield
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(out.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process makes %s: waiting for it", out.name)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            logger.warning("no locks on this file system: start no second run of %s", out.name)
        # the system takes the lock back when the process ends, however it ends
        yield


def _is_first() -> bool:
    """False in the further processes that `torchrun` starts for one task."""
    return os.environ.get("RANK", "0") == "0"


def current_run() -> str:
    """Identity of the run that this process belongs to: `$GOLDSEAM_RUN`, which the runner sets.

    It comes by the environment, since as a parameter of the tasks it would be part of their cache
    keys, and nothing would ever be found in the cache of Kubeflow Pipelines.
    """
    return os.environ.get(RUN_VARIABLE) or "unnamed"


@contextlib.contextmanager
def running_task(name: str, workspace: str | Path, run: str | None = None) -> Iterator[RunningTask]:
    """Record how a task goes; its error reaches the user through the record.

    Args:
        name: of the task in the pipeline.
        workspace: folder of the workspace.
        run: identity of the run; None for that of the environment (`current_run`).

    Raises:
        SystemExit: with code 2 on a `GoldseamError`, whose message was printed and recorded.
    """
    place = Workspace(Path(workspace))
    run = run or current_run()
    # the last garbage collection of a process that imported torch would cost it a second
    atexit.register(gc.freeze)
    begun = time.time()
    place.write_record(run, TaskRecord(task=name, status="running", begun=begun))
    task = RunningTask(place, run, name)
    start = time.monotonic()

    def finish(status: Literal["succeeded", "failed"], **more: Any) -> None:
        record = TaskRecord(
            task=name,
            status=status,
            begun=begun,
            seconds=round(time.monotonic() - start, 3),
            peak_rss_mib=round(peak_rss_mib(), 1),
            reused=task.reused,
            digest=task.digest,
            output=task.output,
            **more,
        )
        place.write_record(run, record)

    try:
        yield task
    except GoldseamError as error:
        finish("failed", error=error.message, remedy=error.remedy)
        print(f"{name}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(error.exit_code) from error
    except BaseException as error:
        remedy = f"This is no error of your data; the traceback:\n{traceback.format_exc()}"
        finish("failed", error=f"{type(error).__name__}: {error}", remedy=remedy)
        raise
    finish("succeeded")
