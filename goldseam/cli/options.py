"""Options that several commands share."""

import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldseam.errors import InvalidConfig, MissingExtra

if TYPE_CHECKING:
    from goldseam.recipe import AnyRecipe
    from goldseam.results import TrainingResult

PIPELINES = "goldseam.pipelines"
PIPELINE = "label_to_model"

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value of the recipe."),
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu or cuda.", show_default="auto, or the recipe's")
]
Out = Annotated[Path, typer.Option(help="Folder to make.")]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="Recipe whose section is used.", show_default="what fits DIR"),
]
DatasetFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder.")]


def words(text: str) -> tuple[str, ...]:
    """`a,b` as a tuple."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def pipeline(name: str = PIPELINE) -> Any:
    """The module of an installed pipeline; the library itself knows none.

    Raises:
        MissingExtra: no package provides it, or kfp is not installed.
    """
    found = [point for point in entry_points(group=PIPELINES) if point.name == name]
    if not found:
        raise MissingExtra("goldseam", "kubeflow", f"The pipeline '{name}'")
    try:
        return found[0].load()
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "kubeflow", f"The pipeline '{name}'") from error


def recipe(
    source: str | Path, overrides: Sequence[str] | None, device: str | None, *, tiny: bool = False
) -> "AnyRecipe":
    """The recipe of a command, resolved."""
    from goldseam.recipe import load_recipe

    changes = list(overrides or ())
    if device is not None:
        changes.append(f"device={device}")
    # a recipe says itself which pipeline it is for
    folders = [pipeline(point.name).RECIPES for point in entry_points(group=PIPELINES)]
    return load_recipe(source, changes, tiny=tiny, folders=folders)


def section(
    name: str,
    source: str | None,
    folder: Path,
    set_: list[str] | None,
    device: str | None = None,
) -> Any:
    """A stage's options: its section of the recipe, or of what fits the dataset."""
    if source is not None:
        from goldseam.recipe import section_of

        return section_of(recipe(source, set_, device), name)
    from goldseam.dataset.reading import open_dataset
    from goldseam.recipe import resolve_section
    from goldseam.recipe_draft import draft_sections

    changes = [*(set_ or ()), *([f"device={device}"] if device else [])]
    return resolve_section(name, draft_sections(open_dataset(folder, verify=False)), changes)


def checkpoint(folder: Path) -> Path:
    """The checkpoint of a stage's output, or the folder itself when it is one."""
    inner = folder / "checkpoint"
    return inner if inner.is_dir() else folder


def named_checkpoints(option: str, given: Sequence[str], name: str) -> dict[str, Path]:
    """`NAME=DIR` texts as name → checkpoint folder.

    Args:
        option: that they were given with.
        given: the texts.
        name: what stands before the `=`, for the message.

    Raises:
        InvalidConfig: a text has no `=`.
    """
    found: dict[str, Path] = {}
    for text in given:
        key, equals, path = text.partition("=")
        if not equals:
            raise InvalidConfig(f"{option} {text} has no '='.", remedy=f"Write {name}=DIR.")
        found[key] = checkpoint(Path(path))
    return found


def show_training(result: "TrainingResult") -> None:
    """Say which weights were kept and what they score on validation."""
    if os.environ.get("RANK", "0") != "0":  # one of the processes of `torchrun` says it
        return
    typer.echo(f"best weights at step {result.best_step} of {result.steps}, on validation:")
    for name, value in result.validation.items():
        if value is not None:
            typer.echo(f"  {name:24} {value:.4f}")
    typer.echo(f"model {result.checkpoint}")


def log() -> None:
    """Say on standard error how far a stage is."""
    from goldseam.progress import log_to_stderr

    log_to_stderr()
