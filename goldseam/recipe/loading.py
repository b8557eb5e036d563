"""Reading recipes: a file or one that ships, overrides, the small form."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from goldseam.errors import InvalidRecipe, MissingInput, closest
from goldseam.recipe.checking import describe, models_in, parse_recipe
from goldseam.recipe.sections import AnyRecipe, LooseSections, share


def load_recipe(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    tiny: bool = False,
    folders: Sequence[Path] = (),
) -> AnyRecipe:
    """Read, override, check and resolve a recipe.

    Args:
        source: a YAML file, or the name of one in `folders`.
        overrides: `section.key=value`, each value read as YAML.
        tiny: apply the recipe's own section `tiny`: dotted keys that make the run small.
        folders: where recipes that ship with a pipeline stand.

    Raises:
        MissingInput: there is no such recipe.
        InvalidRecipe: names every wrong key with its line and the nearest right one.
    """
    path = _find(source, folders)
    try:
        text = path.read_text(encoding="utf-8")
        body = yaml.safe_load(text)
    except OSError as error:
        raise MissingInput(path, f"cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRecipe(f"{path} is no YAML: {error}", remedy="Mend the file.") from error
    if not isinstance(body, dict):
        raise InvalidRecipe(
            f"{path} holds no sections.", remedy="Start from 'goldseam recipe init'."
        )
    small = body.pop("tiny", None) or {}
    if not isinstance(small, dict):
        raise InvalidRecipe(
            f"{path}: section 'tiny' is {small!r}.",
            remedy="Write dotted keys, each with its value: train.optimizer.steps: 20.",
        )
    if tiny:
        if not small:
            raise InvalidRecipe(
                f"{path} has no section 'tiny'.", remedy="Leave out --tiny, or add the section."
            )
        for key, value in small.items():
            _set(body, str(key), value)
    _override(body, overrides)
    _read_suite(body, path)
    return parse_recipe(body, where=str(path), lines=lines_of(text))


def _find(source: str | Path, folders: Sequence[Path]) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    for folder in folders:
        if (folder / f"{source}.yaml").is_file():
            return folder / f"{source}.yaml"
    shipped = sorted(
        file.relative_to(folder).with_suffix("").as_posix()
        for folder in folders
        for file in folder.rglob("*.yaml")
    )
    raise MissingInput(
        path,
        "is no recipe",
        f"Name a YAML file, or one of the recipes that ship: {', '.join(shipped) or 'none'}.",
    )


def resolve_section(name: str, body: Mapping[str, Any], overrides: Sequence[str] = ()) -> Any:
    """One section of a recipe that need not be whole, for a stage that runs alone.

    Args:
        name: of the section.
        body: sections by name, as far as they are known.
        overrides: `section.key=value`, as for a whole recipe.

    Raises:
        InvalidRecipe: names every wrong key.
    """
    sections = copy.deepcopy(dict(body))
    _override(sections, overrides)
    known = {field.alias or key: field for key, field in LooseSections.model_fields.items()}
    for key in sections:
        if key not in known:
            raise InvalidRecipe(f"no such key '{key}'.", remedy=f"Closest: {closest(key, known)}.")
    section = share(sections, LooseSections).get(name) or {}
    model = next(models_in(known[name].annotation))
    try:
        return model.model_validate(section)
    except pydantic.ValidationError as error:
        problems = [
            describe(
                LooseSections, {**problem, "loc": (name, *problem["loc"])}, f"section '{name}'", {}
            )
            for problem in error.errors()
        ]
        raise InvalidRecipe("\n".join(problems), remedy="Mend these keys with --set.") from error


def _override(body: dict[str, Any], overrides: Sequence[str]) -> None:
    """Apply `section.key=value` to nested mappings."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InvalidRecipe(f"--set {override} has no '='.", remedy="Write section.key=value.")
        try:
            _set(body, key, yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise InvalidRecipe(
                f"--set {override}: the value is no YAML.", remedy="Quote the value."
            ) from error


def _set(body: dict[str, Any], dotted: str, value: Any) -> None:
    """Set `a.b.c` in nested mappings; a wrong key is named by the check that follows."""
    *sections, key = dotted.split(".")
    for name in sections:
        inner = body.get(name)
        if inner is None:
            inner = body[name] = {}
        if not isinstance(inner, dict):
            raise InvalidRecipe(
                f"--set {dotted}: '{name}' is no section.", remedy="Write section.key=value."
            )
        body = inner
    body[key] = value


def _read_suite(body: dict[str, Any], recipe: Path) -> None:
    """Replace the paths of expectation suites by its content: a cluster has no such file."""
    audit = body.get("audit")
    for section in (body.get("validate"), audit.get("gate") if isinstance(audit, dict) else None):
        if isinstance(section, dict) and isinstance(section.get("suite"), str):
            path = recipe.parent / section["suite"]
            try:
                section["suite"] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise MissingInput(path, f"is no expectation suite in JSON ({error})") from error


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Path of keys → line, from 1."""
    found: dict[tuple[str, ...], int] = {}

    def visit(node: yaml.Node, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                found[inner] = key.start_mark.line + 1
                visit(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                visit(value, (*path, str(number)))

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        visit(root, ())
    return found
