"""The typed configuration of a run: one YAML file, one section a stage.

`seed`, `device` and `network` at the top are handed to every section that learns, unless it has its
own. Every wrong key is named with its line and the nearest right one.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
import yaml

from goldseam.artifacts import StageConfig, digest_of
from goldseam.audit.config import AuditConfig, ValidateConfig
from goldseam.dashboard.config import PublishConfig
from goldseam.errors import InvalidRecipe, MissingInput, closest
from goldseam.evaluation.config import EvaluateConfig
from goldseam.finetuning.config import FinetuneConfig
from goldseam.models.config import NetworkConfig
from goldseam.multitask.config import TrainConfig
from goldseam.pretraining.config import PretrainConfig
from goldseam.registry.config import PromoteConfig

LEARNING = ("pretrain", "train")


class DatasetSection(StageConfig):
    """Which data: an example that is built, or a folder.

    Attributes:
        build: name of an example dataset, built into the run's folder.
        options: of the build, such as `size` or `clean_per_task`.
        uri: a folder with `dataset.yaml`, relative to where the command runs.
        digest: the digest that is expected; other data is refused.
        revision: name of the data's version; read off DVC where the folder is tracked.
    """

    build: str | None = None
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    uri: str | None = None
    digest: str | None = None
    revision: str | None = None

    @pydantic.field_validator("options", mode="after")
    @classmethod
    def _whole_numbers(cls, options: dict[str, Any]) -> dict[str, Any]:
        # Kubeflow Pipelines hands every number on as a float
        return {
            key: int(value) if isinstance(value, float) and value.is_integer() else value
            for key, value in options.items()
        }

    @pydantic.model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.build is None) == (self.uri is None):
            raise ValueError("give either 'build' (an example) or 'uri' (a folder)")
        return self


class BaselineSection(StageConfig):
    """What the pipeline's model is compared with, trained in the same run.

    Where `optimizer.steps` is not given, a baseline gets as many as pretrain and train together.

    Attributes:
        scratch: clean labels only, plain multi-task, nothing pretrained.
        noisy_direct: the noisy labels' model, used as it is.
    """

    scratch: TrainConfig
    noisy_direct: PretrainConfig


class Recipe(pydantic.BaseModel):
    """A whole run. See `docs/recipe.md` for every key."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    name: Annotated[str, pydantic.Field(min_length=1)] = "run"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    network: NetworkConfig = NetworkConfig()
    dataset: DatasetSection
    validation: ValidateConfig = pydantic.Field(default=ValidateConfig(), alias="validate")
    audit: AuditConfig = AuditConfig()
    pretrain: PretrainConfig = PretrainConfig()
    train: TrainConfig
    baselines: BaselineSection
    finetune: FinetuneConfig = FinetuneConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    promote: PromoteConfig = PromoteConfig()
    publish: PublishConfig = PublishConfig()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _complete(cls, body: Any) -> Any:
        return _share(body) if isinstance(body, Mapping) else body

    @property
    def digest(self) -> str:
        """Digest of the resolved recipe."""
        return digest_of(self.model_dump(mode="json"))


def _share(body: Mapping[str, Any]) -> dict[str, Any]:
    """Hand what stands at the top to the sections, and the summed steps to the baselines."""
    shared = copy.deepcopy(dict(body))
    baselines = _mapping(shared, "baselines")
    learning = [_mapping(shared, name) for name in LEARNING]
    steps = [_steps(section) for section in learning]
    for section in (_mapping(baselines, name) for name in ("scratch", "noisy_direct")):
        if all(isinstance(count, int | float) for count in steps):
            _mapping(section, "optimizer").setdefault("steps", sum(steps))
        learning.append(section)
    for section in learning:
        if "network" in shared:
            section.setdefault("network", shared["network"])
        for key in ("seed", "device"):
            if key in shared:
                _mapping(section, "loop").setdefault(key, shared[key])
    for name in ("finetune", "evaluate"):
        if "device" in shared:
            _mapping(shared, name).setdefault("device", shared["device"])
    return shared


def _mapping(body: dict[str, Any], key: str) -> dict[str, Any]:
    """The section under `key`, made when missing; a stray value is left for the checks to name."""
    if body.get(key) is None:
        body[key] = {}
    return body[key] if isinstance(body[key], dict) else {}


def _steps(section: Mapping[str, Any]) -> Any:
    optimizer = section.get("optimizer")
    default = PretrainConfig.model_fields["optimizer"].default.steps
    return optimizer.get("steps", default) if isinstance(optimizer, Mapping) else default


def load_recipe(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    tiny: bool = False,
    folders: Sequence[Path] = (),
) -> Recipe:
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
    if tiny:
        if not small:
            raise InvalidRecipe(
                f"{path} has no section 'tiny'.", remedy="Leave out --tiny, or add the section."
            )
        for key, value in small.items():
            _set(body, key, value)
    _override(body, overrides)
    _read_suite(body, path)
    return parse_recipe(body, where=str(path), lines=_lines(text))


def _find(source: str | Path, folders: Sequence[Path]) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    for folder in folders:
        if (folder / f"{source}.yaml").is_file():
            return folder / f"{source}.yaml"
    shipped = sorted(file.stem for folder in folders for file in folder.glob("*.yaml"))
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
    known = {field.alias or key: field for key, field in Recipe.model_fields.items()}
    for key in sections:
        if key not in known:
            raise InvalidRecipe(f"no such key '{key}'.", remedy=f"Closest: {closest(key, known)}.")
    section = _share(sections).get(name) or {}
    model = next(_models(known[name].annotation))
    try:
        return model.model_validate(section)
    except pydantic.ValidationError as error:
        problems = [
            _describe({**problem, "loc": (name, *problem["loc"])}, f"section '{name}'", {})
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
    """Replace the path of an expectation suite by its content: a cluster has no such file."""
    section = body.get("validate")
    if isinstance(section, dict) and isinstance(section.get("suite"), str):
        path = recipe.parent / section["suite"]
        try:
            section["suite"] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MissingInput(path, f"is no expectation suite in JSON ({error})") from error


def parse_recipe(
    body: Any, *, where: str = "recipe", lines: Mapping[tuple[str, ...], int] | None = None
) -> Recipe:
    """Check and resolve a recipe that is already a mapping.

    Args:
        body: sections by name.
        where: what errors call it.
        lines: path of keys → line in the file.

    Raises:
        InvalidRecipe: names every wrong key.
    """
    try:
        return Recipe.model_validate(body)
    except pydantic.ValidationError as error:
        problems = [_describe(problem, where, lines or {}) for problem in error.errors()]
        raise InvalidRecipe(
            "\n".join(problems),
            remedy="Mend these keys; 'goldseam recipe show' prints a recipe with every default.",
        ) from error


def as_struct(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a parameter of a pipeline: kfp takes no null inside a struct.

    Raises:
        InvalidRecipe: a value is null that is not null by default, so that it cannot be left out.
    """
    body: dict[str, Any] = recipe.model_dump(mode="json", exclude_none=True)
    if Recipe.model_validate(body) != recipe:
        raise InvalidRecipe(
            "the recipe sets a value to null that has another default, and Kubeflow Pipelines "
            "takes no null.",
            remedy="Leave that key out, or give it a value.",
        )
    return body


def from_struct(body: Mapping[str, Any]) -> Recipe:
    """The recipe behind a parameter of a pipeline, whose whole numbers arrive as floats.

    Raises:
        InvalidRecipe: names every wrong key.
    """

    def whole(text: str) -> int | float:
        number = float(text)
        return int(number) if number.is_integer() else number

    # fields that are floats by type become floats again when they are checked
    return parse_recipe(json.loads(json.dumps(body), parse_float=whole))


def _describe(problem: Any, where: str, lines: Mapping[tuple[str, ...], int]) -> str:
    path = tuple(str(part) for part in problem["loc"])
    known = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    place = f"{where}, line {known}" if known else where
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        options = _keys_at(path[:-1])
        return f"{place}: no such key '{key}'; closest: {closest(path[-1], options)}."
    if problem["type"] == "missing":
        return f"{place}: key '{key}' is needed."
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(problem["input"], Mapping) else f" (found {problem['input']!r})"
    return f"{place}: key '{key}': {message}{shown}."


def _keys_at(path: Sequence[str]) -> list[str]:
    """The keys that a section may have."""
    model: Any = Recipe
    for name in path:
        fields = getattr(model, "model_fields", {})
        found = next((f for key, f in fields.items() if name in (key, f.alias)), None)
        if found is None:
            return []
        model = next(_models(found.annotation), None)
        if model is None:
            return []
    return [field.alias or key for key, field in getattr(model, "model_fields", {}).items()]


def _models(annotation: Any) -> Iterator[Any]:
    """The model classes named in a type such as `DiffusionConfig | None`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _lines(text: str) -> dict[tuple[str, ...], int]:
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
