"""Checking recipes: every wrong key is named with its line and the nearest right one."""

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
    keys = _sections(type(recipe))
    if name in keys:
        return getattr(recipe, keys[name])
    others = " or ".join(other for other, model in RECIPES.items() if name in _sections(model))
    raise InvalidRecipe(
        f"the recipe '{recipe.name}' is for {recipe.pipeline}, which has no section '{name}'.",
        remedy=f"Name a recipe for {others}, or leave --recipe out."
        if others
        else "No pipeline has this section: leave the recipe out.",
    )


def _sections(model: type[AnyRecipe]) -> dict[str, str]:
    """Name in the file → name in the model."""
    return {field.alias or key: key for key, field in model.model_fields.items()}


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
