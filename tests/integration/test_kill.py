"""kill -9 in the middle of `goldseam train`: started again it ends with the same weights."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

OPTIONS = {
    "network.encoder.width": 8,
    "network.encoder.levels": 2,
    "network.decoder_width": 8,
    "train.optimizer.steps": 60,
    "train.optimizer.batch_size": 8,
    "train.loop.checkpoint_every": 5,
    "train.loop.evaluate_every": 20,
}
DEADLINE_SECONDS = 120


def command(data: Path, out: Path) -> list[str]:
    options = [part for key, value in OPTIONS.items() for part in ("--set", f"{key}={value}")]
    program = [sys.executable, "-c", "from goldseam.cli import main; main()"]
    return [*program, "train", str(data), "--out", str(out), *options]


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(data, out),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(data: Path, out: Path) -> bytes:
    process = start(data, out)
    _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, errors.decode()
    return (out / "checkpoint" / "model.safetensors").read_bytes()


def test_a_killed_training_continues_to_the_same_weights(disc_folder, tmp_path):
    straight = finish(disc_folder, tmp_path / "straight")
    killed = tmp_path / "killed"
    state = tmp_path / "killed.partial" / "state"
    process = start(disc_folder, killed)
    try:
        end = time.monotonic() + DEADLINE_SECONDS
        while not list(state.glob("step-*/state.json")):
            assert process.poll() is None, "training ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not killed.exists()
    assert finish(disc_folder, killed) == straight
    assert not state.exists()


@pytest.mark.parametrize("wrong", ["train.optimizer.stpes=3"])
def test_a_wrong_option_is_one_message_and_exit_code_2(disc_folder, tmp_path, wrong):
    process = subprocess.run(
        [*command(disc_folder, tmp_path / "out"), "--set", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert "closest: steps" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "out").exists()
