"""A recipe on its way through a pipeline: as one parameter of the run, and as one of each task."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldseam.dashboard.config import PublishConfig
from goldseam.errors import InvalidRecipe
from goldseam.recipe.checking import parse_recipe
from goldseam.recipe.sections import AnyRecipe, PartialRecipe, Recipe, TagsRecipe

# what a run that trains leaves, and an audit does not
BEYOND_AUDIT = ("pretrain", "train", "finetune", "scratch", "noisy_direct", "evaluate", "promote")


def as_struct(recipe: AnyRecipe) -> dict[str, Any]:
    """A recipe as a parameter of a pipeline: kfp takes no null inside a struct.

    Raises:
        InvalidRecipe: a value is null that is not null by default, so that it cannot be left out.
    """
    body: dict[str, Any] = recipe.model_dump(mode="json", exclude_none=True)
    if type(recipe).model_validate(body) != recipe:
        raise InvalidRecipe(
            "the recipe sets a value to null that has another default, and Kubeflow Pipelines "
            "takes no null.",
            remedy="Leave that key out, or give it a value.",
        )
    return body


def from_struct(body: Mapping[str, Any]) -> AnyRecipe:
    """The recipe behind a parameter of a pipeline, whose whole numbers arrive as floats.

    Raises:
        InvalidRecipe: names every wrong key.
    """

    def whole(text: str) -> int | float:
        number = float(text)
        return int(number) if number.is_integer() else number

    # fields that are floats by type become floats again when they are checked
    return parse_recipe(json.loads(json.dumps(body), parse_float=whole))


def task_sections(body: Mapping[str, Any], workspace: str | Path) -> dict[str, Any]:
    """What the tasks of a run are told, by name: a change in one section is one task's alone.

    Args:
        body: the recipe as a parameter of the pipeline.
        workspace: folder that all tasks share.

    Returns:
        The recipe's sections, baselines among them. `promote` says where the registry is: where
        neither recipe nor environment do, in the workspace. An address in the environment is left
        there, where every task finds it: it may hold a password, and parameters are shown to all.
        `resolved` is the whole recipe with every default.

    Raises:
        InvalidRecipe: names every wrong key.
    """
    resolved = as_struct(from_struct(body))
    baselines: dict[str, Any] = resolved.get("baselines", {})
    sections = resolved | baselines | {"resolved": resolved}
    if "promote" in resolved and not os.environ.get("MLFLOW_TRACKING_URI"):
        own = {"tracking_uri": f"sqlite:///{Path(workspace).resolve()}/mlflow.db"}
        sections["promote"] = own | resolved["promote"]
    return sections


def page_options(body: Mapping[str, Any]) -> PublishConfig:
    """Options of the page of a run that ended before it published one; no recipe is too wrong."""
    try:
        recipe = from_struct(body)
    except InvalidRecipe:  # then that is what the page is about
        return PublishConfig()
    if isinstance(recipe, Recipe | PartialRecipe | TagsRecipe):
        return recipe.publish
    return PublishConfig(left_out=BEYOND_AUDIT)
