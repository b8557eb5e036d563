"""Gates: directions, margins, undefined metrics, missing champions, wrong names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from goldseam.errors import InvalidConfig
from goldseam.registry.config import Gate
from goldseam.registry.gates import decide
from goldseam.results import EvaluationResult

Evaluate = Callable[..., EvaluationResult]


@pytest.fixture
def model(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint(0)


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ({"metric": "cover.miou", "at_least": 0.75}, True),
        ({"metric": "cover.miou", "at_least": 0.7501}, False),
        ({"metric": "distance.mae", "at_most": 1.5}, True),
        ({"metric": "distance.mae", "at_most": 1.49}, False),
        # higher is better: 0.75 against 0.6 and 0.8
        ({"metric": "cover.miou", "not_worse_than": "scratch"}, True),
        ({"metric": "cover.miou", "not_worse_than": "noisy_direct"}, False),
        ({"metric": "cover.miou", "not_worse_than": "noisy_direct", "margin": 0.05}, True),
        ({"metric": "cover.miou", "not_worse_than": "noisy_direct", "margin": 0.049}, False),
        # lower is better: 1.5 against 2.0 and 1.4
        ({"metric": "distance.mae", "not_worse_than": "scratch"}, True),
        ({"metric": "distance.mae", "not_worse_than": "champion"}, False),
        ({"metric": "distance.mae", "not_worse_than": "champion", "margin": 0.1}, True),
        # undefined on the split: nobody could measure it, so it is not shown to be good
        ({"metric": "cover.iou.lake", "at_least": 0.0}, False),
        ({"metric": "cover.iou.lake", "at_most": 1.0}, False),
        ({"metric": "cover.iou.lake", "not_worse_than": "scratch", "margin": 1.0}, False),
        ({"metric": "distance.mae", "not_worse_than": "noisy_direct"}, False),
    ],
)
def test_decision(model: Path, evaluate: Evaluate, gate: dict[str, Any], passed: bool) -> None:
    evaluation = evaluate(model, champion=("sha256:c", 0.7))
    (decision,) = decide([Gate(**gate)], evaluation)
    assert decision.passed is passed
    assert decision.gate == Gate(**gate).sentence
    assert decision.reason


def test_undefined_is_said(model: Path, evaluate: Evaluate) -> None:
    (decision,) = decide([Gate(metric="cover.iou.lake", at_least=0.1)], evaluate(model))
    assert decision.reason == "cover.iou.lake is undefined on this split"


def test_no_champion_yet_passes(model: Path, evaluate: Evaluate) -> None:
    (decision,) = decide([Gate(metric="cover.miou", not_worse_than="champion")], evaluate(model))
    assert decision.passed
    assert decision.reason == "there is no champion yet"


def test_reason_has_the_numbers(model: Path, evaluate: Evaluate) -> None:
    gates = [
        Gate(metric="cover.miou", at_least=0.8),
        Gate(metric="distance.mae", not_worse_than="scratch", margin=0.2),
    ]
    first, second = decide(gates, evaluate(model))
    assert first.reason == "0.75 < 0.8"
    assert second.reason == "1.5 px against 2 px of scratch: 0.5 better, margin 0.2"


def test_other_model_may_be_decided(model: Path, evaluate: Evaluate) -> None:
    gate = Gate(metric="cover.miou", at_least=0.7)
    assert decide([gate], evaluate(model), model="noisy_direct")[0].passed
    assert not decide([gate], evaluate(model), model="scratch")[0].passed


def test_unknown_metric_names_the_closest(model: Path, evaluate: Evaluate) -> None:
    with pytest.raises(InvalidConfig, match=r"no metric 'cover.mIoU'") as caught:
        decide([Gate(metric="cover.mIoU", at_least=0.5)], evaluate(model))
    assert "cover.miou" in caught.value.remedy


def test_unknown_model_names_the_closest(model: Path, evaluate: Evaluate) -> None:
    with pytest.raises(InvalidConfig, match="'scrach'") as caught:
        decide([Gate(metric="cover.miou", not_worse_than="scrach")], evaluate(model))
    assert "scratch" in caught.value.remedy


@pytest.mark.parametrize(
    "gate",
    [
        {"metric": "cover.miou"},
        {"metric": "cover.miou", "at_least": 0.5, "at_most": 0.9},
        {"metric": "cover.miou", "at_least": 0.5, "margin": 0.1},
        {"metric": "cover.miou", "not_worse_than": "champion", "margin": -0.1},
        {"metric": "cover.miou", "atleast": 0.5},
    ],
)
def test_contradicting_gates_are_refused(gate: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Gate(**gate)
