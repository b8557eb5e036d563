"""`goldseam dataset …`: build an example, check a dataset, look at it."""

from pathlib import Path
from typing import Annotated

import typer

from goldseam.cli import imports
from goldseam.cli.options import DatasetFolder, Out

app = typer.Typer(help="Build, check and look at datasets.", no_args_is_help=True)
app.add_typer(imports.app, name="import")


@app.command()
def build(
    name: Annotated[str, typer.Argument(metavar="coast", help="Which example.")],
    out: Out,
    size: Annotated[int, typer.Option(help="Side of an image in px.")] = 64,
    tiny: Annotated[bool, typer.Option("--tiny", help="A small version, in seconds.")] = False,
    clean_per_task: Annotated[
        int, typer.Option(help="Training images with a clean label, for each dense task.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of the choice of labels.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Replace OUT if it is there.")] = False,
) -> None:
    """Build an example dataset from data that installs offline."""
    from goldseam.dataset.examples import build_example

    info = build_example(
        name,
        out,
        size=size,
        tiny=tiny,
        clean_per_task=clean_per_task,
        seed=seed,
        replace=replace,
    )
    counts = ", ".join(f"{info.rows(split)} {split}" for split in info.splits)
    typer.echo(f"{out}: {counts}; digest {info.digest}")


@app.command()
def check(folder: DatasetFolder) -> None:
    """Check every row of a dataset; names file, row, column, value and remedy."""
    from rich.console import Console

    from goldseam.dataset.checking import check_dataset, problems_table
    from goldseam.dataset.reading import open_dataset
    from goldseam.errors import InvalidDataset

    problems = check_dataset(folder)
    if problems:
        Console(soft_wrap=True).print(problems_table(problems))
        raise InvalidDataset(
            f"{folder}: {len(problems)} problem{'s' * (len(problems) > 1)}.",
            remedy="Mend the rows above, then check again.",
        )
    missing = open_dataset(folder, verify=False).without_picture()
    note = f"; {missing:,} images are stored without their picture" if missing else ""
    typer.echo(f"{folder}: no problem found{note}")


@app.command()
def show(
    folder: DatasetFolder,
    sheet: Annotated[Path | None, typer.Option(help="PNG of sample pictures to write.")] = None,
    images: Annotated[int, typer.Option(help="Sample pictures of each split.")] = 4,
) -> None:
    """Show how much of each task and category is present, absent and unknown."""
    from rich.console import Console

    from goldseam.dataset.showing import coverage_table, show_dataset

    rows = show_dataset(folder, sheet=sheet, images_per_split=images)
    Console(soft_wrap=True).print(coverage_table(rows))
    if sheet is not None:
        typer.echo(f"wrote {sheet}")
