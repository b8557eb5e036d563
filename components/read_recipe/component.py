"""Splits a recipe into one set of options a stage."""

from typing import NamedTuple

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def read_recipe(
    *,
    recipe: dict,
    workspace: str,
) -> NamedTuple(
    "Sections",
    [
        ("validate", dict),
        ("audit", dict),
        ("pretrain", dict),
        ("train", dict),
        ("finetune", dict),
        ("evaluate", dict),
        ("promote", dict),
        ("publish", dict),
        ("scratch", dict),
        ("noisy_direct", dict),
        ("resolved", dict),
    ],
):
    """Check a recipe, fill in its defaults, and hand each stage its own section.

    A change in one section leaves the parameters of the other stages, and with them their cache
    keys, as they were.

    Args:
        recipe: the recipe as a struct.
        workspace: folder where stages keep their outputs and records.
    """
    from goldseam.workspace import running_task

    with running_task("read_recipe", workspace):
        import os
        from pathlib import Path

        from goldseam.errors import InvalidRecipe
        from goldseam.recipe import Recipe

        given = Recipe.model_validate(recipe)
        # kfp takes no null inside a struct; left out, it has to mean the same
        resolved = given.model_dump(mode="json", exclude_none=True)
        if Recipe.model_validate(resolved) != given:
            raise InvalidRecipe(
                "the recipe sets a value to null that is not null by default.",
                remedy="Leave that key out, or give it a value.",
            )
        registry = (
            resolved["promote"].get("tracking_uri")
            or os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{Path(workspace).resolve()}/mlflow.db"
        )
    return (
        resolved["validate"],
        resolved["audit"],
        resolved["pretrain"],
        resolved["train"],
        resolved["finetune"],
        resolved["evaluate"],
        {**resolved["promote"], "tracking_uri": registry},
        resolved["publish"],
        resolved["baselines"]["scratch"],
        resolved["baselines"]["noisy_direct"],
        resolved,
    )
