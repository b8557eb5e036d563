"""`goldseam dataset …`: build an example, check a dataset, look at it."""

from pathlib import Path
from typing import Annotated

import typer

from goldseam.cli import imports, partial
from goldseam.cli.options import DatasetFolder, Out, words

app = typer.Typer(help="Build, check and look at datasets.", no_args_is_help=True)
app.add_typer(imports.app, name="import")
app.command()(partial.partial)


@app.command()
def build(
    name: Annotated[str, typer.Argument(metavar="coast|rooms|closet", help="Which example.")],
    out: Out,
    size: Annotated[
        int | None, typer.Option(help="Side of an image in px; 64 if not given.")
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="A small version, in seconds.")] = False,
    clean_per_task: Annotated[
        int | None,
        typer.Option(help="coast: training images with a clean label, for each dense task; 20."),
    ] = None,
    train: Annotated[
        int | None, typer.Option(help="rooms, closet: training images; 1200, 2000.")
    ] = None,
    validation: Annotated[
        int | None, typer.Option(help="rooms, closet: of validation; 200, 400.")
    ] = None,
    test: Annotated[int | None, typer.Option(help="rooms, closet: of test; 400, 800.")] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="a,b,c", help="rooms, closet: which tasks it has; all.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="full|one-label|random-label",
            help="rooms, closet: which labels of a training image are known; full.",
        ),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="rooms: folder of furniture catalogues (.sh3f) to furnish from."),
    ] = None,
    tag_scheme: Annotated[
        str | None,
        typer.Option(
            metavar="{name: …}",
            help="closet: which tags of an image are known, such as '{name: uniform, rate: 0.2}'.",
        ),
    ] = None,
    tag_splits: Annotated[
        str | None,
        typer.Option(metavar="a,b", help="closet: whose tags --tag-scheme is for; train."),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="closet: folder of Fashion-MNIST's idx files.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice; 0.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace OUT if it is there.")] = False,
) -> None:
    """Build an example dataset from data that installs offline."""
    from goldseam.dataset.examples import build_example

    options = {
        "size": size,
        "tiny": tiny or None,
        "clean_per_task": clean_per_task,
        "train": train,
        "validation": validation,
        "test": test,
        "tasks": None if tasks is None else words(tasks),
        "protocol": protocol,
        "models": models,
        "tag_scheme": None if tag_scheme is None else partial.read_tag_scheme(tag_scheme),
        "tag_splits": None if tag_splits is None else words(tag_splits),
        "photos": photos,
        "seed": seed,
        "replace": replace or None,
    }
    # what was not given is the example's own business, and an error where it has no such option
    given = {key: value for key, value in options.items() if value is not None}
    info = build_example(name, out, **given)
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
