"""Checking recipes: every wrong key is named with its line and the nearest right one."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic

from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import InvalidConfig, InvalidRecipe, closest
from goldseam.recipe.sections import DEFAULT, RECIPES, AnyRecipe

# keys that name a split; `finetune.held_out` may name one that is not there
SPLIT_KEYS = (("finetune", "split"), ("finetune", "random_split"), ("evaluate", "split"))


def recipe_model(body: Any, where: str = "recipe") -> type[AnyRecipe]:
    """What a recipe may say, by its key `pipeline`.

    Raises:
        InvalidRecipe: there is no such pipeline.
    """
    name = body.get("pipeline", DEFAULT) if isinstance(body, Mapping) else DEFAULT
    if not isinstance(name, str) or name not in RECIPES:
        raise InvalidRecipe(
            f"{where}: there is no pipeline {name!r}.", remedy=f"Closest: {closest(name, RECIPES)}."
        )
    return RECIPES[name]


def parse_recipe(
    body: Any, *, where: str = "recipe", lines: Mapping[tuple[str, ...], int] | None = None
) -> AnyRecipe:
    """Check and resolve a recipe that is already a mapping.

    Args:
        body: sections by name.
        where: what errors call it.
        lines: path of keys → line in the file.

    Raises:
        InvalidRecipe: names every wrong key.
    """
    model = recipe_model(body, where)
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        problems = [describe(model, problem, where, lines or {}) for problem in error.errors()]
        raise InvalidRecipe(
            "\n".join(problems),
            remedy="Mend these keys; 'goldseam recipe show' prints a recipe with every default.",
        ) from error


def section_of(recipe: AnyRecipe, name: str) -> Any:
    """A section by the name that it has in the file.

    Raises:
        InvalidRecipe: recipes of this pipeline have no such section.
    """
    keys = _names(type(recipe))
    if name in keys:
        return getattr(recipe, keys[name])
    others = " or ".join(other for other, model in RECIPES.items() if name in _names(model))
    raise InvalidRecipe(
        f"the recipe '{recipe.name}' is for {recipe.pipeline}, which has no section '{name}'.",
        remedy=f"Name a recipe for {others}, or leave --recipe out."
        if others
        else "No pipeline has this section: leave the recipe out.",
    )


def require_splits(recipe: AnyRecipe, info: DatasetInfo) -> None:
    """Refuse a recipe that names a split which the dataset lacks, before anything is learned.

    Raises:
        InvalidConfig: names the key.
    """
    for section, key in SPLIT_KEYS:
        options = getattr(recipe, section, None)
        split = getattr(options, key, "")
        if split and split not in info.splits:
            raise InvalidConfig(
                f"{section}.{key}: the dataset '{info.name}' has no split '{split}'.",
                remedy=f"It has {', '.join(info.splits)}.",
            )


def _names(model: type[pydantic.BaseModel]) -> dict[Any, str]:
    """Name in the file → name in the model."""
    return {field.alias or key: key for key, field in model.model_fields.items()}


def describe(
    recipe: type[AnyRecipe], problem: Any, where: str, lines: Mapping[tuple[str, ...], int]
) -> str:
    """One thing that is wrong, with its line and the nearest right key."""
    path, models = _follow(recipe, problem["loc"])
    kind, message = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, problem["ctx"]["discriminator"].strip("'"))
        message = _which(
            problem["ctx"].get("tag"), [tag for model in models for tag in _tags(model)]
        )
    known = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    place = f"{where}, line {known}" if known else where
    key = ".".join(path)
    if kind == "extra_forbidden":
        options = [name for model in models for name in _names(model)]
        return f"{place}: no such key '{key}'; closest: {closest(path[-1], options)}."
    if kind == "missing":
        return f"{place}: key '{key}' is needed."
    shown = "" if isinstance(problem["input"], Mapping) else f" (found {problem['input']!r})"
    subject = f"key '{key}': " if key else ""  # what concerns several sections is about no one key
    return f"{place}: {subject}{message}{shown}."


def _follow(
    recipe: type[AnyRecipe], place: Sequence[str | int]
) -> tuple[tuple[str, ...], list[type[pydantic.BaseModel]]]:
    """The place of a problem as the file has it, and the models that it leads to.

    Returns:
        Its keys, without the tags by which pydantic tells apart the members of a union; and what
        may stand there. A key that no model has leads to those that lack it.
    """
    keys: list[str] = []
    models: list[type[pydantic.BaseModel]] = [recipe]
    for part in place:
        tagged = [model for model in models if part in _tags(model)] if len(models) > 1 else []
        if tagged:
            models = tagged
            continue
        keys.append(str(part))
        fields = [m.model_fields[_names(m)[part]] for m in models if part in _names(m)]
        if fields:
            models = [model for field in fields for model in models_in(field.annotation)]
    return tuple(keys), models


def _tags(model: type[pydantic.BaseModel]) -> list[Any]:
    """What a union may know this model by: values of fields that have but one."""
    options = [
        typing.get_args(field.annotation)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
    ]
    return [values[0] for values in options if len(values) == 1]


def _which(tag: str | None, tags: Sequence[Any]) -> str:
    """What is wrong with the key by which the members of a union are told apart."""
    if tag is None:
        return f"this key is needed: one of {', '.join(map(str, tags))}"
    return f"there is no '{tag}'; closest: {closest(tag, tags)}"


def models_in(annotation: Any) -> Iterator[Any]:
    """The model classes named in a type such as `DiffusionConfig | None`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from models_in(inner)
