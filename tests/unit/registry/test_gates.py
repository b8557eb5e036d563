"""Gates: directions, margins, undefined metrics, missing champions, wrong names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from goldseam.errors import InvalidConfig
from goldseam.registry.config import Gate
from goldseam.registry.gates import decide
from goldseam.results import Estimate, EvaluationResult, ModelScores

Evaluate = Callable[..., EvaluationResult]
RECIPES = Path(__file__).parents[3] / "pipelines/label_to_model/recipes"


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


# category → average precision of the pipeline's model and of the champion; None is undefined
KEPT = {"hat": (0.62, 0.64), "shoe": (0.9, 0.5), "bag": (0.3, 0.3)}


def by_category(
    values: dict[str, tuple[float | None, float | None]], better: str = "higher"
) -> EvaluationResult:
    """An evaluation with `tags.ap` (or `tags.ece`) by category, and one of a champion."""
    metric = "ap" if better == "higher" else "ece"

    def scores(side: int) -> ModelScores:
        found = {
            f"tags.{metric}.{name}": Estimate(pair[side], better=better)  # type: ignore[arg-type]
            for name, pair in values.items()
        }
        return ModelScores(f"sha256:{side}", {"tags.map": Estimate(0.5), **found})

    return EvaluationResult(
        key="k",
        digest="d",
        dataset_digest="sha256:data",
        split="test",
        images=9,
        groups=9,
        resamples=10,
        models={"pipeline": scores(0), "champion": scores(1)},
        differences={},
        examples=(),
    )


GUARD = Gate(metric="tags.ap.*", not_worse_than="champion", margin=0.02)
UNDEFINED = "undefined on this split"
SOCK = "worst: sock, 0.1 against 0.3 of champion: 0.2 worse, margin 0.02"
HAT = "worst: hat, 0.62 against 0.64 of champion: 0.02 worse, margin 0.02"


@pytest.mark.parametrize(
    ("more", "passed", "reason"),
    [
        ({}, True, f"all 3 categories pass; {HAT}"),
        (
            {"coat": (0.5, 0.6), "sock": (0.1, 0.3)},
            False,
            f"2 of 5 categories fail; {SOCK}",
        ),
        # nobody can measure them before or after: nothing became worse
        (
            {"coat": (None, None), "sock": (None, None)},
            True,
            f"all 3 categories pass; {HAT}; 2 undefined for both",
        ),
        (
            {"coat": (None, 0.4)},
            False,
            f"1 of 4 categories fails; {HAT}; {UNDEFINED}: coat",
        ),
        (
            {"coat": (0.4, None)},
            True,
            f"all 3 categories pass; {HAT}; 1 undefined for champion alone",
        ),
    ],
)
def test_no_category_may_get_worse(more: dict[str, Any], passed: bool, reason: str) -> None:
    (decision,) = decide([GUARD], by_category(KEPT | more))
    assert (decision.passed, decision.reason) == (passed, reason)
    assert decision.gate == "tags.ap.* not worse than champion (margin 0.02)"


def test_where_lower_is_better_the_worst_has_risen_most() -> None:
    gate = Gate(metric="tags.ece.*", not_worse_than="champion", margin=0.1)
    values = {"hat": (0.3, 0.1), "shoe": (0.05, 0.3), "bag": (0.2, 0.15)}
    (decision,) = decide([gate], by_category(values, better="lower"))
    assert not decision.passed
    assert decision.reason == (
        "1 of 3 categories fails; worst: hat, 0.3 against 0.1 of champion: 0.2 worse, margin 0.1"
    )


@pytest.mark.parametrize(
    ("limit", "values", "passed", "reason"),
    [
        ({"at_least": 0.3}, KEPT, True, "all 3 categories pass; worst: bag, 0.3 ≥ 0.3"),
        ({"at_least": 0.65}, KEPT, False, "2 of 3 categories fail; worst: bag, 0.3 < 0.65"),
        ({"at_most": 0.7}, KEPT, False, "1 of 3 categories fails; worst: shoe, 0.9 > 0.7"),
        ({"at_most": 0.9}, KEPT, True, "all 3 categories pass; worst: shoe, 0.9 ≤ 0.9"),
        # a limit says how good a category is: what nobody could measure is not shown to be
        (
            {"at_least": 0.1},
            KEPT | dict.fromkeys("abcd", (None, None)),
            False,
            f"4 of 7 categories fail; worst: bag, 0.3 ≥ 0.1; {UNDEFINED}: a, b, c and 1 more",
        ),
    ],
)
def test_a_limit_holds_for_every_category(
    limit: dict[str, float], values: dict[str, Any], passed: bool, reason: str
) -> None:
    (decision,) = decide([Gate(metric="tags.ap.*", **limit)], by_category(values))
    assert (decision.passed, decision.reason) == (passed, reason)


def test_a_guard_that_compares_nothing_does_not_pass() -> None:
    (decision,) = decide([GUARD], by_category({"hat": (None, None), "bag": (0.5, None)}))
    assert not decision.passed
    assert decision.reason == (
        "no category can be judged on this split; 1 undefined for both; 1 undefined for champion "
        "alone"
    )


def test_while_there_is_no_champion_the_guard_passes(model: Path, evaluate: Evaluate) -> None:
    gate = Gate(metric="cover.iou.*", not_worse_than="champion")
    (decision,) = decide([gate], evaluate(model))
    assert (decision.passed, decision.reason) == (True, "there is no champion yet")


def test_a_pattern_without_categories_names_the_closest() -> None:
    with pytest.raises(InvalidConfig, match=r"no metric 'tags\.app\.\*'") as caught:
        decide([Gate(metric="tags.app.*", at_least=0.5)], by_category(KEPT))
    assert "tags.ap.*" in caught.value.remedy
    # a mean has no categories
    with pytest.raises(InvalidConfig, match=r"no metric 'tags\.map\.\*'"):
        decide([Gate(metric="tags.map.*", at_least=0.5)], by_category(KEPT))


def test_the_recipe_is_checked_for_where_the_star_stands(
    goldseam: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    body = yaml.safe_load((RECIPES / "coast.yaml").read_text())
    for metric, expected in (("tags.ap.*", 0), ("tags.*", 2)):
        gate = {"metric": metric, "not_worse_than": "champion", "margin": 0.02}
        body["promote"] = {"gates": [gate]}
        recipe.write_text(yaml.safe_dump(body))
        code, _, err = goldseam("recipe", "check", recipe)
        assert code == expected, err
    assert "promote.gates" in err
    assert "tags.ap.*" in err


@pytest.mark.parametrize(
    "gate",
    [
        {"metric": "tags.*", "at_least": 0.5},
        {"metric": "*.ap.hat", "at_least": 0.5},
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
