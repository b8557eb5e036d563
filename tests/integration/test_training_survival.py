"""A training that is killed again and again, then preempted, ends as one that was left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

OPTIONS = {
    "train.network.encoder.width": 8,
    "train.network.encoder.levels": 2,
    "train.network.decoder_width": 8,
    "train.optimizer.steps": 60,
    "train.optimizer.batch_size": 8,
    "train.optimizer.average": 0.9,
    "train.loss.balance": "gradient_norm",
    # states are written half of the time, so that kills meet them
    "train.loop.checkpoint_every": 2,
    "train.loop.evaluate_every": 7,
}
DEADLINE_SECONDS = 120


def start(data: Path, out: Path) -> subprocess.Popen[str]:
    options = [part for key, value in OPTIONS.items() for part in ("--set", f"{key}={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "goldseam", "train", str(data), "--out", str(out), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(data: Path, out: Path) -> bytes:
    process = start(data, out)
    try:
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return (out / "checkpoint" / "model.safetensors").read_bytes()


def steps_saved(out: Path) -> int:
    """The newest complete state; 0 without one."""
    folder = out.with_name(out.name + ".partial") / "state"
    found = [int(path.parent.name.split("-")[1]) for path in folder.glob("step-*/state.json")]
    return max(found, default=0)


def interrupt(data: Path, out: Path, number: signal.Signals, delay: float) -> tuple[int, str]:
    """Start, wait until it has gone on from where it was, wait some more, and send the signal."""
    before = steps_saved(out)
    process = start(data, out)
    try:
        end = time.monotonic() + DEADLINE_SECONDS
        while steps_saved(out) <= before:
            assert process.poll() is None, "training ended before it could be interrupted"
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, errors


def test_kills_and_a_preemption_change_no_bit(disc_folder, tmp_path):
    straight = finish(disc_folder, tmp_path / "straight")
    out = tmp_path / "tried"
    delays = np.random.default_rng(0).uniform(0, 0.15, 4)
    done = [0]
    for delay in delays[:3]:
        code, _ = interrupt(disc_folder, out, signal.SIGKILL, delay)
        assert code == -signal.SIGKILL
        done.append(steps_saved(out))
    code, errors = interrupt(disc_folder, out, signal.SIGTERM, delays[3])
    assert code == 143
    done.append(steps_saved(out))
    assert done == sorted(set(done))  # each attempt got further
    assert f"its state after step {done[-1]} of 60 is saved" in errors
    assert "Run the same command again" in errors
    assert "Traceback" not in errors
    assert not out.exists()
    assert finish(disc_folder, out) == straight
    assert not list(tmp_path.glob("*.partial*"))
