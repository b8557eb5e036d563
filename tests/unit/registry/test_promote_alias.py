"""Who becomes champion: the gates' choice, compared with the champion of this very moment."""

from pathlib import Path
from typing import Any

import pytest

from goldseam.artifacts import digest_folder
from goldseam.registry import stage, versions
from goldseam.registry.config import Gate, PromoteConfig
from tests.unit.registry.promotions import Checkpoint, Evaluate, client, run


def test_refused_model_is_registered_but_not_champion(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    good, bad = checkpoint(0), checkpoint(1)
    run(config, evaluate(good), good, tmp_path / "good")
    champion = (digest_folder(good), 0.75)
    result = run(config, evaluate(bad, miou=0.72, champion=champion), bad, tmp_path / "bad")
    assert not result.promoted
    assert result.registered
    assert [gate.passed for gate in result.gates] == [True, False]
    there = client(config)
    assert str(there.get_model_version_by_alias("coast", "champion").version) == "1"
    tags = there.get_model_version("coast", "2").tags
    assert tags["goldseam.gates"] == "failed"
    assert "0.03 worse" in tags["goldseam.gate_reasons"]


def test_better_model_takes_the_alias(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    old, new = checkpoint(0), checkpoint(1)
    run(config, evaluate(old), old, tmp_path / "old")
    champion = (digest_folder(old), 0.75)
    assert run(config, evaluate(new, miou=0.8, champion=champion), new, tmp_path / "new").promoted
    assert str(client(config).get_model_version_by_alias("coast", "champion").version) == "2"


def test_champion_that_changed_since_the_evaluation_stays(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    """Two runs were evaluated while there was no champion; the later one must be compared anew."""
    one, two = checkpoint(0), checkpoint(1)
    run(config, evaluate(one), one, tmp_path / "one")
    unaware = run(config, evaluate(two, miou=0.9), two, tmp_path / "two")
    assert not unaware.promoted
    assert "was not evaluated; evaluate again" in unaware.gates[-1].reason
    stale = evaluate(two, miou=0.9, champion=("sha256:" + "0" * 64, 0.7))
    result = run(config, stale, two, tmp_path / "stale")
    assert not result.promoted
    assert "became champion meanwhile" in result.gates[-1].reason
    aware = evaluate(two, miou=0.9, champion=(digest_folder(one), 0.75))
    assert run(config, aware, two, tmp_path / "aware").promoted


def test_old_run_again_does_not_take_the_alias_back(
    config: PromoteConfig, checkpoint: Checkpoint, evaluate: Evaluate, tmp_path: Path
) -> None:
    config = config.model_copy(update={"gates": GATE_WITHOUT_CHAMPION})
    old, new = checkpoint(0), checkpoint(1)
    run(config, evaluate(old), old, tmp_path / "old")
    assert run(config, evaluate(new), new, tmp_path / "new").promoted
    again = run(config, evaluate(old), old, tmp_path / "again")
    assert not again.promoted
    assert "does not take it back" in again.gates[-1].reason
    assert str(client(config).get_model_version_by_alias("coast", "champion").version) == "2"
    assert client(config).get_model_version("coast", "1").tags["goldseam.gates"] == "passed"


GATE_WITHOUT_CHAMPION = (Gate(metric="cover.miou", at_least=0.7),)


def test_alias_is_compared_and_swapped(
    config: PromoteConfig,
    checkpoint: Checkpoint,
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody without our lock moves the alias between look and move: his move stands."""
    one, two = checkpoint(0), checkpoint(1)
    run(config, evaluate(one), one, tmp_path / "one")
    run(config, evaluate(two, miou=0.5), two, tmp_path / "two")
    honest = versions.may_replace

    def disturb(*arguments: Any, **options: Any) -> Any:
        client(config).set_registered_model_alias("coast", "champion", "2")
        return honest(*arguments, **options)

    monkeypatch.setattr(stage, "may_replace", disturb)
    three = checkpoint(2)
    evaluation = evaluate(three, miou=0.9, champion=(digest_folder(one), 0.75))
    result = run(config, evaluation, three, tmp_path / "three")
    assert not result.promoted
    assert "at this very moment" in result.gates[-1].reason
    assert str(client(config).get_model_version_by_alias("coast", "champion").version) == "2"
