"""`goldseam recipe …`: start a recipe for a dataset, check one, print one with every default."""

from pathlib import Path
from typing import Annotated

import typer

from goldseam.cli.options import DatasetFolder, Set, recipe

app = typer.Typer(help="Write and check recipes.", no_args_is_help=True)
Source = Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or a name that ships.")]


@app.command()
def init(
    folder: DatasetFolder,
    out: Annotated[Path, typer.Option(help="YAML file to write.")] = Path("recipe.yaml"),
) -> None:
    """Write a recipe that fits a dataset."""
    from goldseam.errors import OutputExists
    from goldseam.recipe_draft import draft_recipe
    from goldseam.storage.atomic import write_text

    if out.exists():
        raise OutputExists(out, "it is not overwritten")
    write_text(out, draft_recipe(folder))
    typer.echo(f"wrote {out}; run it with: goldseam run {out}")


@app.command()
def check(source: Source, set_: Set = None) -> None:
    """Check a recipe; names every wrong key with its line and the nearest right one."""
    resolved = recipe(source, set_, None)
    typer.echo(f"{source}: in order; digest {resolved.digest}")


@app.command()
def show(source: Source, set_: Set = None) -> None:
    """Print a recipe with every default filled in."""
    import yaml

    body = recipe(source, set_, None).model_dump(mode="json", exclude_none=True)
    typer.echo(yaml.safe_dump(body, sort_keys=False, width=100).rstrip())
