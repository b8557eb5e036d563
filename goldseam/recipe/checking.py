"""Checking recipes: every wrong key is named with its line and the nearest right one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic

from goldseam.errors import InvalidRecipe, closest
from goldseam.recipe.sections import DEFAULT, RECIPES, AnyRecipe


def recipe_model(body: Any, where: str = "recipe") -> type[AnyRecipe]:
    """What a recipe may say, by its key `pipeline`.

    Raises:
        InvalidRecipe: there is no such pipeline.
    """
    name = body.get("pipeline", DEFAULT) if isinstance(body, Mapping) else DEFAULT
    if name not in RECIPES:
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
    for key, field in type(recipe).model_fields.items():
        if name == (field.alias or key):
            return getattr(recipe, key)
    raise InvalidRecipe(
        f"the recipe '{recipe.name}' is for {recipe.pipeline}, which has no section '{name}'.",
        remedy="Name a recipe of another pipeline, or leave --recipe out.",
    )


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


def describe(
    recipe: type[AnyRecipe], problem: Any, where: str, lines: Mapping[tuple[str, ...], int]
) -> str:
    """One thing that is wrong, with its line and the nearest right key."""
    path = tuple(str(part) for part in problem["loc"])
    known = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    place = f"{where}, line {known}" if known else where
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        options = _keys_at(recipe, path[:-1])
        return f"{place}: no such key '{key}'; closest: {closest(path[-1], options)}."
    if problem["type"] == "missing":
        return f"{place}: key '{key}' is needed."
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(problem["input"], Mapping) else f" (found {problem['input']!r})"
    return f"{place}: key '{key}': {message}{shown}."


def _keys_at(model: Any, path: Sequence[str]) -> list[str]:
    """The keys that a section may have."""
    for name in path:
        fields = getattr(model, "model_fields", {})
        found = next((f for key, f in fields.items() if name in (key, f.alias)), None)
        if found is None:
            return []
        model = next(models_in(found.annotation), None)
        if model is None:
            return []
    return [field.alias or key for key, field in getattr(model, "model_fields", {}).items()]


def models_in(annotation: Any) -> Iterator[Any]:
    """The model classes named in a type such as `DiffusionConfig | None`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from models_in(inner)
