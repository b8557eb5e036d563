"""Splits a recipe into one set of options a stage."""

from typing import NamedTuple

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def read_recipe(
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

        from goldseam.recipe import Recipe

        resolved = Recipe.model_validate(recipe).model_dump(mode="json")
        resolved["promote"]["tracking_uri"] = (
            resolved["promote"]["tracking_uri"]
            or os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{Path(workspace).resolve()}/mlflow.db"
        )
    names = "validate audit pretrain train finetune evaluate promote publish".split()
    baselines = resolved["baselines"]
    return (
        *(resolved[name] for name in names),
        baselines["scratch"],
        baselines["noisy_direct"],
        resolved,
    )
