"""Two processes that `torchrun` starts train the model that one process trains."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

OPTIONS = {
    "train.network.encoder.width": 8,
    "train.network.encoder.levels": 2,
    "train.network.decoder_width": 8,
    # noise is drawn by each process for itself: equal in distribution, not in numbers
    "train.diffusion": "null",
    "train.optimizer.steps": 24,
    "train.optimizer.batch_size": 8,
    "train.optimizer.average": 0.5,
    "train.loss.balance": "uncertainty",
    "train.loop.checkpoint_every": 4,
    "train.loop.evaluate_every": 12,
}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run"),
    *("--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"),
)
DEADLINE_SECONDS = 180


def arguments(data: Path, out: Path, **changes) -> list[str]:
    options = {**OPTIONS, **{f"train.optimizer.{key}": value for key, value in changes.items()}}
    given = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    return ["-m", "goldseam", "train", str(data), "--out", str(out), *given]


def start(*command: str) -> subprocess.Popen[str]:
    # a session of its own, so that none of its processes can outlive the test
    return subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    try:
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        end(process)
    assert process.returncode == 0, errors
    return errors


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def result(out: Path) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The last entry of the history, without times, and the weights."""
    history = json.loads((out / "result.json").read_text())["history"]
    timed = ("images_per_second", "memory_mib")
    last = {k: v for k, v in history[-1].items() if k not in timed and v is not None}
    return last, load_file(out / "checkpoint" / "model.safetensors")


def assert_alike(first: Path, second: Path) -> None:
    (one, weights), (other, others) = result(first), result(second)
    assert one == pytest.approx(other, rel=2e-3, abs=2e-3)
    assert weights.keys() == others.keys()
    difference = [np.abs(weights[name] - others[name]).ravel() for name in weights]
    moved = np.concatenate(difference)
    # Adam turns the last digit of a gradient near zero into a step, here and there
    assert moved.mean() < 1e-5
    assert np.quantile(moved, 0.99) < 1e-3


def test_two_processes_agree_on_the_gradients_of_the_whole_batch():
    worker = Path(__file__).with_name("training_worker.py")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(worker.parents[2])}
    process = subprocess.run(
        [*TORCHRUN, str(worker)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_two_processes_train_what_one_trains_and_go_on_after_sigterm(disc_folder, tmp_path):
    alone, together, ended = (tmp_path / name for name in ("alone", "together", "ended"))
    finish(start(sys.executable, *arguments(disc_folder, alone)))
    finish(start(*TORCHRUN, *arguments(disc_folder, together)))
    assert_alike(together, alone)
    assert not list(tmp_path.glob("*.partial*"))

    process = start(*TORCHRUN, *arguments(disc_folder, ended))
    try:
        state = tmp_path / "ended.partial" / "state"
        limit = time.monotonic() + DEADLINE_SECONDS
        while not list(state.glob("step-*/state.json")):
            assert process.poll() is None, "training ended before it could be terminated"
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        end(process)
    assert process.returncode != 0
    assert "was asked to end (SIGTERM); its state after step" in errors
    assert not ended.exists()
    finish(start(*TORCHRUN, *arguments(disc_folder, ended)))
    # both runs of two processes: to the bit
    assert result(ended)[0] == result(together)[0]
    for name, weight in result(ended)[1].items():
        np.testing.assert_array_equal(weight, result(together)[1][name])


def test_a_batch_that_cannot_be_shared_is_refused(disc_folder, tmp_path):
    process = start(*TORCHRUN, *arguments(disc_folder, tmp_path / "out", batch_size=7))
    try:
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        end(process)
    assert process.returncode != 0
    assert "batch_size 7 cannot be shared by 2 processes" in errors
    assert not list(tmp_path.iterdir())
