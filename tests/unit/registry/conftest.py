"""A checkpoint, its evaluation, and a fresh MLflow database that was made only once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import goldseam  # noqa: F401 (telemetry off before MLflow is imported)
from goldseam.artifacts import digest_folder
from goldseam.registry.config import Gate, PromoteConfig
from goldseam.registry.tracking import open_tracking
from goldseam.results import Estimate, EvaluationResult, ModelScores

DATASET = "sha256:" + "d" * 64
GATES = (
    Gate(metric="cover.miou", at_least=0.70),
    Gate(metric="cover.miou", not_worse_than="champion", margin=0.01),
)


@pytest.fixture(autouse=True)
def _no_mlflow_around_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[int], Path]:
    """`checkpoint(seed)` makes a checkpoint folder; equal seeds give equal content."""

    def make(seed: int = 0) -> Path:
        folder = tmp_path / f"train-{seed}" / "checkpoint"
        if not folder.exists():
            folder.mkdir(parents=True)
            tasks = {"cover": {"kind": "segmentation", "categories": ["sea", "land", "lake"]}}
            (folder / "config.json").write_text(json.dumps({"tasks": tasks}))
            weights = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
            save_file({"weight": weights}, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def evaluate() -> Callable[..., EvaluationResult]:
    """`evaluate(model, miou=…, champion=…)` makes the evaluation of a checkpoint."""

    def make(
        model: Path,
        miou: float | None = 0.75,
        champion: tuple[str, float] | None = None,
        error: float = 1.5,
    ) -> EvaluationResult:
        def scores(digest: str, miou: float | None, error: float) -> ModelScores:
            known = miou is not None
            return ModelScores(
                digest,
                {
                    "cover.miou": Estimate(
                        miou, miou - 0.02 if known else None, miou + 0.02 if known else None
                    ),
                    "cover.iou.lake": Estimate(None),
                    "distance.mae": Estimate(error, error - 0.1, error + 0.1, "px", "lower"),
                },
            )

        digest = digest_folder(model)
        models = {
            "pipeline": scores(digest, miou, error),
            "scratch": scores("sha256:" + "5" * 64, 0.6, 2.0),
            "noisy_direct": ModelScores("sha256:" + "6" * 64, {"cover.miou": Estimate(0.8)}),
        }
        if champion is not None:
            models["champion"] = scores(champion[0], champion[1], 1.4)
        difference = Estimate(0.15, 0.1, 0.2)
        return EvaluationResult(
            key="sha256:evaluation",
            digest=f"sha256:{digest[-8:]}-{miou}-{champion}",
            dataset_digest=DATASET,
            split="test",
            images=48,
            groups=6,
            resamples=1000,
            models=models,
            differences={
                "scratch": {"cover.miou": difference},
                "noisy_direct": {"cover.miou": Estimate(-0.05, -0.08, -0.02)},
            },
            examples=(),
        )

    return make


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialized database without content; making one takes seconds."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    with open_tracking(PromoteConfig(tracking_uri=f"sqlite:///{file}")) as tracking:
        tracking.client.search_experiments()
    return file


@pytest.fixture
def config(tmp_path: Path, fresh_database: Path) -> PromoteConfig:
    """A registry of the test's own."""
    place = tmp_path / "registry"
    place.mkdir()
    shutil.copy(fresh_database, place / "mlflow.db")
    return PromoteConfig(
        tracking_uri=f"sqlite:///{place / 'mlflow.db'}", model_name="coast", gates=GATES
    )
