"""Two processes that want the same output: a killed runner's task and the run after it."""

import subprocess
import sys
from pathlib import Path

TASK = """
import sys, time
from pathlib import Path
from goldseam.artifacts import StageConfig
from goldseam.results import PublishResult
from goldseam.workspace import running_task

def work(config, out):
    if out.exists():
        return PublishResult.read(out)
    assert not out.with_name("busy").exists(), "two at a time"
    out.with_name("busy").touch()
    print("working", flush=True)
    time.sleep(1.0)
    out.with_name("busy").unlink()
    out.mkdir()
    return PublishResult(key="k", digest="d", page="p").write(out)

with running_task(sys.argv[2], sys.argv[1], "r1") as task:
    task.stage("publish", work, StageConfig(), keyed_by={})
print("reused" if task.reused else "made")
"""


def start(workspace: Path, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", TASK, str(workspace), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_second_waits_and_takes_what_the_first_made(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert first.stdout is not None
    assert first.stdout.readline() == "working\n"
    second = start(tmp_path, "second")
    assert first.communicate(timeout=60)[0] == "made\n"
    assert second.communicate(timeout=60)[0] == "reused\n"


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert first.stdout is not None
    assert first.stdout.readline() == "working\n"
    first.kill()
    first.communicate(timeout=60)
    next(tmp_path.rglob("busy")).unlink()
    second = start(tmp_path, "second")
    assert second.communicate(timeout=60)[0] == "working\nmade\n"
