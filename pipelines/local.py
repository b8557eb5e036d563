"""Runs a pipeline on this machine, without a cluster, and tells the user how it goes.

`kfp.local` runs one task after the other, each in a process of its own, and writes everything they
say to one stream; here that stream becomes a log file, and the user sees one line a task, from the
records that tasks leave in the workspace.
"""

import contextlib
import logging
import os
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp.dsl.base_component import BaseComponent
from rich.console import Console
from rich.text import Text

from goldseam.errors import InvalidConfig, StageFailed
from goldseam.workspace import RUN_VARIABLE, TaskRecord, Workspace

if TYPE_CHECKING:
    from goldseam.recipe import AnyRecipe

COMMIT_VARIABLE = "GOLDSEAM_GIT_COMMIT"
LOG_FILE = "kfp.log"
POLL_SECONDS = 0.25
TAIL_LINES = 20
# kfp.local remarks on what we know: it runs no images, and resources are for clusters
EXPECTED_WARNINGS = ("You may be attemping to run", "Task .* have no effect")


def run_pipeline(
    pipeline: BaseComponent,
    arguments: Mapping[str, Any],
    *,
    out: Path,
    run: str,
    environment: Mapping[str, str] | None = None,
    console: Console | None = None,
) -> None:
    """Run a pipeline whose tasks share the workspace `out`/workspace.

    Args:
        pipeline: takes the parameter `workspace`; its tasks use `running_task`.
        arguments: its other parameters.
        out: receives `workspace/`, `kfp/` (artifacts by run) and `kfp.log`.
        run: identity of the run, by which the workspace keeps the records of its tasks.
        environment: variables for the tasks; a value that the user has set wins.
        console: where the user reads; standard error when None.

    Raises:
        StageFailed: a task failed; carries that task's own message and remedy.
        InvalidConfig: a path that kfp.local would garble.
    """
    from kfp import local

    out = out.resolve()
    _check_paths([str(out), *(a for a in arguments.values() if isinstance(a, str))])
    out.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(out / "workspace")
    forget(workspace, run)
    log = out / LOG_FILE
    with (
        _environment({**_git_commit(), **(environment or {}), **os.environ, RUN_VARIABLE: run}),
        _told(workspace, run, log, console or Console(stderr=True)),
        _written_to(log),
    ):
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(out / "kfp"),
            raise_on_error=True,
        )
        try:
            pipeline(**arguments, workspace=str(workspace.root))
        except RuntimeError as error:  # all that kfp.local says is that something failed
            raise failure(workspace.records(run), log) from error


def run_recipe(
    pipeline: BaseComponent,
    recipe: "AnyRecipe",
    *,
    dataset: Path,
    out: Path,
    run: str,
    digest: str | None = None,
    revision: str | None = None,
) -> None:
    """Run a pipeline that takes a recipe and a dataset.

    Args:
        pipeline: the one that the recipe is for.
        recipe: the resolved recipe.
        dataset: folder of the dataset.
        out: receives the workspace, the registry (unless the recipe names one) and the log.
        digest: the dataset's; other data is refused. What the folder says now when None.
        revision: name of the data's version.
        run: identity of the run; its records stand in `out`/workspace/runs/`run`.

    Raises:
        StageFailed: a task failed or a gate stopped the run; carries that task's message.
        MissingInput: `dataset` is no dataset.
        InvalidRecipe: the recipe has a null that its defaults do not have.
    """
    from goldseam.dataset.schema import DatasetInfo
    from goldseam.recipe import as_struct

    run_pipeline(
        pipeline,
        {
            "recipe": as_struct(recipe),
            "dataset_uri": str(dataset.resolve()),
            "dataset_digest": digest or DatasetInfo.read_yaml(dataset).digest,
            "dataset_revision": revision or "",
        },
        out=out,
        run=run,
        # the recipe's own address comes first, then the user's environment, then this
        environment={"MLFLOW_TRACKING_URI": f"sqlite:///{out.resolve()}/mlflow.db"},
    )


def failure(records: Mapping[str, TaskRecord], log: Path) -> StageFailed:
    """The error of the task that failed first, in that task's own words."""
    for name, record in records.items():
        if record.status == "failed":
            return StageFailed(name, record.error or "failed", record.remedy or f"See {log}.")
    for name, record in records.items():
        if record.status == "running":
            return StageFailed(
                name,
                "its process ended without a word, as when memory runs out or somebody kills it.",
                f"Run the same command again: it goes on from the last checkpoint. Log: {log}",
            )
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    return StageFailed("pipeline", f"no task could start:\n{tail}", f"The whole log is {log}.")


def forget(workspace: Workspace, run: str) -> None:
    """Remove the records of an earlier attempt at a run; outputs stay and are found again."""
    for name in workspace.records(run):
        workspace.record_file(run, name).unlink(missing_ok=True)


def _check_paths(values: list[str]) -> None:
    # kfp.local 2.17 replaces this word in all that it hands to a task, paths included
    for value in values:
        if "python3" in value:
            raise InvalidConfig(
                f"'{value}': kfp.local cannot use a path with 'python3' in it.",
                remedy="Choose another --out, or move the dataset.",
            )


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The environment that tasks inherit while the block runs; as it was afterwards."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _written_to(log: Path) -> Iterator[None]:
    """All that kfp.local and its tasks say goes to a file instead of the user's terminal."""
    root = logging.getLogger()
    with (
        log.open("w", buffering=1) as stream,
        contextlib.redirect_stdout(stream),
        warnings.catch_warnings(),
    ):
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        handler = logging.StreamHandler(stream)
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


def _git_commit() -> dict[str, str]:
    """The commit of this checkout under the name that tasks read; empty for a wheel."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return {}
    return {COMMIT_VARIABLE: commit.strip()} if commit.strip() else {}


@contextlib.contextmanager
def _told(workspace: Workspace, run: str, log: Path, console: Console) -> Iterator[None]:
    """Tell the user about each task of a run while the block runs."""
    teller = Teller(lambda: workspace.records(run), log, console)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            teller.look()

    thread = threading.Thread(target=watch, name="goldseam-teller", daemon=True)
    with teller.drawing():
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            teller.look()


class Teller:
    """Writes a line when a task ends and shows which one runs.

    Args:
        records: reads the present records.
        log: file whose last progress line is shown beside the running task.
        console: where the user reads.
    """

    def __init__(
        self, records: Callable[[], Mapping[str, TaskRecord]], log: Path, console: Console
    ) -> None:
        self._records = records
        self._log = log
        self._console = console
        self._ended: set[str] = set()
        self._begun: dict[str, float] = {}
        self._status = console.status("", spinner="dots") if console.is_terminal else None

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Show the running task on a terminal while the block runs."""
        with self._status or contextlib.nullcontext():
            yield

    def look(self) -> None:
        """Read the records and tell what is new."""
        for name, record in self._records().items():
            if name in self._ended:
                continue
            if name not in self._begun:
                self._begun[name] = time.monotonic()
                if self._status is None and record.status == "running":
                    self._console.print(f"  … {name} started")
            if record.status == "running":
                self._draw(name)
            else:
                self._ended.add(name)
                self._console.print(line(record))

    def _draw(self, name: str) -> None:
        if self._status is None:
            return
        seconds = time.monotonic() - self._begun[name]
        self._status.update(f"{name}  {seconds:.0f} s  [dim]{last_progress(self._log)}[/dim]")


def line(record: TaskRecord) -> Text:
    """How a task ended, in one line."""
    good = record.status == "succeeded"
    text = Text("  ")
    text.append("✓" if good else "✗", style="green" if good else "red")
    text.append(f" {record.task:<15}{record.seconds:8.1f} s{record.peak_rss_mib:8.0f} MiB")
    if record.reused:
        text.append("  found in the workspace", style="dim")
    return text


def last_progress(log: Path) -> str:
    """The newest progress that a task logged (see goldseam.progress): `step=300/1500 eta_s=40`."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 4096))
            tail = stream.read().decode(errors="replace")
    except OSError:
        return ""
    for text in reversed(tail.splitlines()):
        if "Executing task" in text:
            return ""
        if " eta_s=" in text:
            return text[text.index("step=") :].strip()
    return ""
