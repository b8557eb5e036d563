"""Splits a recipe for partly known tags into one set of options a stage."""

from typing import NamedTuple

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def read_tags_recipe(
    *,
    recipe: dict,
    workspace: str,
) -> NamedTuple(
    "Sections",
    [
        ("validate", dict),
        ("audit", dict),
        ("train", dict),
        ("finetune", dict),
        ("evaluate", dict),
        ("promote", dict),
        ("publish", dict),
        ("scratch", dict),
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

    with running_task("read_tags_recipe", workspace):
        from goldseam.recipe import task_sections

        section = task_sections(recipe, workspace)
    return (
        section["validate"],
        section["audit"],
        section["train"],
        section["finetune"],
        section["evaluate"],
        section["promote"],
        section["publish"],
        section["scratch"],
        section["resolved"],
    )
