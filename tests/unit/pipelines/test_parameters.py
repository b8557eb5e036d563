"""A recipe on its way through a pipeline: kfp knows no null and no whole number."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from goldseam.artifacts import StageConfig
from goldseam.errors import InvalidRecipe
from goldseam.recipe import as_struct, from_struct, load_recipe
from pipelines import label_audit, label_to_model, partial_to_model, tags_to_model

SHIPPED = sorted(label_to_model.RECIPES.glob("*.yaml"))
EVERY = [
    path
    for pipeline in (label_audit, label_to_model, partial_to_model, tags_to_model)
    for path in sorted(pipeline.RECIPES.rglob("*.yaml"))
]


def through_kfp(body: dict[str, Any]) -> dict[str, Any]:
    """What a task receives of a struct."""
    struct = struct_pb2.Struct()
    json_format.ParseDict(body, struct)
    received: dict[str, Any] = json_format.MessageToDict(struct)
    return received


def nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(nulls(item) for item in value.values())
    if isinstance(value, list):
        return any(nulls(item) for item in value)
    return value is None


def is_tiny(path: Path) -> bool:
    return "\ntiny:" in path.read_text()


@pytest.mark.parametrize(
    ("path", "tiny"),
    [(path, tiny) for path in EVERY for tiny in (False, True) if is_tiny(path) or not tiny],
    ids=lambda value: value.stem if isinstance(value, Path) else "tiny" if value else "whole",
)
def test_a_shipped_recipe_arrives_as_it_left(path: Path, tiny: bool) -> None:
    recipe = load_recipe(path, tiny=tiny)
    struct = as_struct(recipe)
    assert not nulls(struct)
    arrived = from_struct(through_kfp(struct))
    assert arrived == recipe
    assert arrived.digest == recipe.digest, "also the digest, so whole numbers are whole again"
    # a section travels once more between tasks: each is checked there by itself
    again = through_kfp(as_struct(arrived))
    for name, section in arrived:
        if isinstance(section, StageConfig):
            key = "validate" if name == "validation" else name
            assert type(section).model_validate(again[key]) == section


def test_a_null_that_would_be_lost_is_refused() -> None:
    recipe = load_recipe(SHIPPED[0])
    with pytest.raises(InvalidRecipe, match="null"):
        as_struct(recipe.model_copy(update={"seed": None}))


def test_a_wrong_key_is_named_on_the_cluster_too() -> None:
    body = as_struct(load_recipe(SHIPPED[0]))
    with pytest.raises(InvalidRecipe, match=r"no such key 'audit\.crossfitt'; closest: crossfit"):
        from_struct(body | {"audit": {"crossfitt": 2}})
