"""Calls of promote with one recipe and lineage, and what the registry holds afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow

from goldseam.registry.config import PromoteConfig
from goldseam.registry.stage import promote
from goldseam.results import EvaluationResult, PromotionResult

Evaluate = Callable[..., EvaluationResult]
Checkpoint = Callable[..., Path]
RECIPE = {"train": {"steps": 10, "seed": 0}, "promote": {"password": "pa55word"}}
LINEAGE = {"git_commit": "abc123", "dvc_revision": "r1", "store": "https://u:pa55word@host"}


def run(
    config: PromoteConfig, evaluation: EvaluationResult, model: Path, out: Path, **more: Any
) -> PromotionResult:
    options: dict[str, Any] = {"recipe": RECIPE, "lineage": LINEAGE, **more}
    return promote(config, evaluation, model, out, **options)


def client(config: PromoteConfig) -> Any:
    return mlflow.MlflowClient(config.tracking_uri, config.tracking_uri)


def all_versions(config: PromoteConfig) -> list[Any]:
    return list(client(config).search_model_versions(f"name = '{config.model_name}'"))


def all_runs(config: PromoteConfig) -> list[Any]:
    there = client(config)
    return list(there.search_runs([e.experiment_id for e in there.search_experiments()]))
