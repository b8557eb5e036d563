"""From a dataset folder to a promoted model and a page, as a user types it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STAGES = {
    "read_recipe",
    "ingest",
    "validate",
    "audit",
    "pretrain",
    "train",
    "finetune",
    "scratch",
    "noisy_direct",
    "evaluate",
    "gate",
    "promote",
    "publish",
    "report_status",
}
SMALL = [
    "network.encoder.width=8",
    "network.encoder.levels=2",
    "network.decoder_width=8",
    "pretrain.optimizer.steps=6",
    "train.optimizer.steps=6",
    "finetune.minimum_known=3",
    "finetune.folds=2",
    "evaluate.intervals.resamples=20",
    "evaluate.examples=4",
]


def goldseam(*arguments: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, "-c", "from goldseam.cli import main; main()", *map(str, arguments)],
        cwd=at,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run(at: Path, *more: str) -> subprocess.CompletedProcess[str]:
    changes = [part for change in (*SMALL, *more) for part in ("--set", change)]
    return goldseam("run", "recipe.yaml", "--out", "out", *changes, at=at)


def summary(at: Path) -> Any:
    return json.loads((at / "out" / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(disc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("run")
    drafted = goldseam("recipe", "init", disc_folder, "--out", "recipe.yaml", at=at)
    assert drafted.returncode == 0, drafted.stderr
    done = run(at)
    assert done.returncode == 0, done.stderr
    return at


def test_the_run_leaves_a_summary_and_a_page(finished: Path) -> None:
    body = summary(finished)
    assert body["status"] == "succeeded"
    assert set(body["stages"]) == STAGES
    assert all(stage["status"] == "succeeded" for stage in body["stages"].values())
    assert all(stage["peak_rss_mib"] > 10 for stage in body["stages"].values())
    assert set(body["metrics"]["baselines"]) == {"scratch", "noisy_direct"}
    assert 0 <= body["metrics"]["pipeline"]["cover.miou"] <= 1
    assert body["metrics"]["baselines"]["noisy_direct"]["cover.miou"] is not None
    assert body["model_version"] == "discs/1"
    page = (finished / "out" / body["page"]).read_text()
    for word in ("noisy_direct", "scratch", "cover", "discs"):
        assert word in page
    # nothing on the page is fetched from anywhere; plotly's own source has links to its makers
    own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(https?:)?//', own)
    for link in ("audit/index.html", "docs/index.html"):
        assert link in page
        assert (finished / "out" / link).is_file()


def test_baselines_had_as_many_steps(finished: Path) -> None:
    records = finished / "out" / "workspace" / "runs" / summary(finished)["run"]

    def steps(task: str) -> int:
        output = Path(json.loads((records / f"{task}.json").read_text())["output"])
        return int(json.loads((output / "result.json").read_text())["steps"])

    assert steps("scratch") == steps("noisy_direct") == steps("pretrain") + steps("train")


def test_the_same_run_again_learns_and_registers_nothing(finished: Path) -> None:
    again = run(finished)
    assert again.returncode == 0, again.stderr
    body = summary(finished)
    assert body["model_version"] == "discs/1"
    for stage in ("pretrain", "train", "finetune", "scratch", "noisy_direct"):
        assert body["stages"][stage]["reused"], stage


def test_a_closed_gate_stops_the_run_and_says_why(finished: Path) -> None:
    stopped = run(finished, "promote.gates=[{metric: cover.miou, at_least: 0.999}]")
    assert stopped.returncode == 2
    assert "cover.miou at least 0.999" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    body = summary(finished)
    assert body["status"] == "failed"
    assert body["model_version"] is None
    assert "0.999" in (finished / "out" / "index.html").read_text()


def test_labels_that_fail_their_expectations_train_nothing(finished: Path) -> None:
    stopped = run(finished, "validate.minimum_known=1000")
    assert stopped.returncode == 2
    body = summary(finished)
    assert body["status"] == "failed"
    assert "pretrain" not in body["stages"]


def test_a_stages_own_message_reaches_the_user(finished: Path) -> None:
    failed = run(finished, "train.tasks=[cover, cuver]")
    assert failed.returncode == 2
    assert "no task 'cuver'" in failed.stderr
    assert "Closest: cover" in failed.stderr
    assert "Traceback" not in failed.stderr
