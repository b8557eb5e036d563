"""The rooms of predicting and exporting stand apart from what decides the results of stages."""

from pathlib import Path

import pytest

import goldseam
from goldseam.artifacts import ROOMS, code_digest

ROOT = Path(goldseam.__file__).parent


def test_every_room_of_a_stage_is_there():
    assert [room for room in ROOMS.values() if not (ROOT / room).is_dir()] == []


@pytest.mark.parametrize("room", ["prediction", "export"])
def test_code_that_only_uses_a_model_does_not_age_trained_ones(room, monkeypatch):
    """A trained model is not trained again because a drawing of its predictions has changed."""
    files = [path for path in ROOT.rglob("*") if (ROOT / room) not in path.parents]
    code_digest.cache_clear()
    with monkeypatch.context() as patch:
        whole = {stage: code_digest(stage) for stage in ("train", "evaluate", "promote")}
        code_digest.cache_clear()
        patch.setattr(Path, "rglob", lambda *_: iter(files))
        assert {stage: code_digest(stage) for stage in whole} == whole
    code_digest.cache_clear()
