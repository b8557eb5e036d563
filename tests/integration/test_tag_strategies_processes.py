"""Two processes that `torchrun` starts choose the same entries as one that sees the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

DEADLINE_SECONDS = 180


def test_two_processes_agree_on_losses_gradients_and_memories():
    worker = Path(__file__).with_name("tag_strategies_worker.py")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(worker.parents[2]),
    }
    launcher = ("-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1")
    process = subprocess.run(
        [sys.executable, *launcher, "--nproc-per-node", "2", str(worker)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert process.returncode == 0, process.stdout + process.stderr
