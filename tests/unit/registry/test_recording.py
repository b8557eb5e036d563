"""Names, limits and secrets of what a run records."""

from collections.abc import Callable
from pathlib import Path

import pytest

from goldseam.registry.recording import (
    HIDDEN,
    metric_values,
    parameters,
    without_secrets,
)
from goldseam.results import EvaluationResult
from goldseam.tracking import public_uri, registry_keys


def test_secrets_are_hidden() -> None:
    recipe = {
        "promote": {"tracking_uri": "postgresql://ann:pa55@db/mlflow", "password": "pa55"},
        "storage": [{"aws_secret_access_key": "pa55", "endpoint": "https://host/x"}],
        "train": {"hf_token": "pa55", "stage_key": "kept", "max_tokens": 7},
    }
    clean = without_secrets(recipe)
    assert "pa55" not in str(clean)
    assert clean["promote"] == {"tracking_uri": "postgresql://***@db/mlflow", "password": HIDDEN}
    assert clean["storage"][0]["endpoint"] == "https://host/x"
    assert clean["train"]["stage_key"] == "kept"
    assert clean["train"]["max_tokens"] == 7


def test_public_uri() -> None:
    assert public_uri("https://user:pw@host/path@1") == "https://***@host/path@1"
    assert public_uri("https://user:p@ss@host, https://host") == "https://***@host, https://host"
    assert public_uri("sqlite:////a/b@c/mlflow.db") == "sqlite:////a/b@c/mlflow.db"


def test_parameters_are_flat_and_short() -> None:
    flat = parameters({"train": {"steps": 5, "tasks": ["a", "b"], "init": None}, "x": "y" * 9000})
    assert flat["train.steps"] == "5"
    assert flat["train.tasks"] == '["a", "b"]'
    assert flat["train.init"] == "null"
    assert len(flat["x"]) == 6000


def test_keys_stay_different_and_legal() -> None:
    names = ["iou.a(b)", "iou.a[b]", "é", "../up", "/", "a" * 300, "a" * 301]
    keys = registry_keys(names)
    assert len(set(keys.values())) == len(names)
    assert keys["é"] == "é"
    assert keys["../up"] == "up"
    assert all(len(key) <= 250 for key in keys.values())


def test_metrics_have_intervals_and_leave_undefined_out(
    checkpoint: Callable[..., Path], evaluate: Callable[..., EvaluationResult]
) -> None:
    values = metric_values(evaluate(checkpoint(0)))
    assert values["cover.miou"] == 0.75
    assert values["cover.miou.low"] == pytest.approx(0.73)
    assert values["scratch/cover.miou"] == 0.6
    assert values["minus_noisy_direct/cover.miou.high"] == -0.02
    assert not any("lake" in name for name in values)
