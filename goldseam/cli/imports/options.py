"""What the import commands share: options, and how their texts become a configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldseam.cli.options import words
from goldseam.errors import InvalidConfig

if TYPE_CHECKING:
    from rich.table import Table

    from goldseam.dataset.formats import Imported
    from goldseam.dataset.formats.options import DescribedImport
    from goldseam.dataset.formats.tag_entries import TagCounts

SPLITS = "Splits and groups"
# rows of the printed table; a set of thousands of categories is looked at with `dataset show`
SHOWN = 40
Replace = Annotated[bool, typer.Option("--replace", help="Replace OUT if it is there.")]
OneFile = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="All labels.")]
TrainFile = Annotated[
    Path | None,
    typer.Option("--train", metavar="FILE", help="Of training.", rich_help_panel=SPLITS),
]
ValidationFile = Annotated[
    Path | None,
    typer.Option("--validation", metavar="FILE", help="Of validation.", rich_help_panel=SPLITS),
]
TestFile = Annotated[
    Path | None, typer.Option("--test", metavar="FILE", help="Of test.", rich_help_panel=SPLITS)
]
Split = Annotated[str, typer.Option(help="Split of all images.", rich_help_panel=SPLITS)]
Fractions = Annotated[
    str,
    typer.Option(
        help="Shares of train, validation and test, such as 0.8,0.1,0.1, dealt out by group.",
        rich_help_panel=SPLITS,
    ),
]
Seed = Annotated[int, typer.Option(help="Of the dealing.", rich_help_panel=SPLITS)]
GroupPattern = Annotated[
    str,
    typer.Option(
        help="Regular expression whose first group, found in the image's id, names its group.",
        rich_help_panel=SPLITS,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder below which the pictures stand; without it, labels alone."),
]
Copy = Annotated[
    bool, typer.Option("--copy/--no-copy", help="Store the pictures, or their paths alone.")
]
SkipMissing = Annotated[
    bool,
    typer.Option(
        "--skip-missing", help="Count images whose picture is not there and leave them out."
    ),
]
TaskName = Annotated[str, typer.Option("--task", help="Name of the task.")]
Source = Annotated[str, typer.Option(help="Who made the labels: human, map, model …")]
Name = Annotated[str, typer.Option(help="Of the dataset.", show_default="the file's name")]


def make_config(kind: "type[DescribedImport]", **options: Any) -> Any:
    """The options of an import.

    Raises:
        InvalidConfig: a value is none of those possible; names the option.
    """
    import pydantic

    try:
        return kind(**options)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-").replace("values", "value")
        raise InvalidConfig(
            f"--{option}: {first['msg'].removeprefix('Value error, ')} (found {first['input']!r}).",
            remedy="'goldseam dataset import FORMAT --help' lists what is possible.",
        ) from error


def split_files(file: Path | None, **of_split: Path | None) -> Path | dict[str, Path]:
    """The file of labels, or one for each split.

    Raises:
        InvalidConfig: neither or both are named.
    """
    named = {split: path for split, path in of_split.items() if path is not None}
    if (file is None) == (not named):
        raise InvalidConfig(
            "one file, or one for each split, is needed.",
            remedy="Write FILE, or --train FILE --validation FILE --test FILE.",
        )
    return named if file is None else file


def numbers(text: str) -> tuple[float, ...]:
    """`0.8,0.1,0.1` as a tuple.

    Raises:
        InvalidConfig: a word is no number.
    """
    try:
        return tuple(float(word) for word in words(text))
    except ValueError as error:
        raise InvalidConfig(
            f"--fractions {text}: no numbers.", remedy="Write such as 0.8,0.1,0.1."
        ) from error


def assigned(option: str, given: list[str] | None) -> dict[str, str]:
    """`NAME=STATE`, repeated, as a mapping; a name may hold an equals sign.

    Raises:
        InvalidConfig: an equals sign is missing.
    """
    found = {}
    for one in given or ():
        name, equals, state = one.rpartition("=")
        if not equals:
            raise InvalidConfig(f"{option} {one} has no '='.", remedy=f"Write {option} NAME=STATE.")
        found[name] = state
    return found


def show(out: Path, made: "Imported") -> None:
    """Say what was imported, what a person should know, and what was left out."""
    if made.tags:
        from rich.console import Console

        Console(soft_wrap=True).print(_tags_table(made.tags))
    info = made.info
    counts = ", ".join(f"{info.rows(split):,} {split}" for split in info.splits)
    typer.echo(f"{out}: {counts}; tasks {', '.join(info.tasks)}; digest {info.digest}")
    for note in made.notes:
        typer.echo(note)
    for what, many in sorted(made.skipped.items()):
        typer.echo(f"left out: {many:,} with {what}")


def _tags_table(tags: "tuple[TagCounts, ...]") -> "Table":
    """Images in which each category is present, absent and unknown; the most known ones."""
    from rich.table import Table

    table = Table("category", "present", "absent", "unknown", "uncertain in the file")
    # those of which most is known, in the order of their ids
    most = sorted(tags, key=lambda one: one.unknown)[:SHOWN]
    for one in tags:
        if one in most:
            counts = (one.present, one.absent, one.unknown, one.uncertain)
            table.add_row(one.category, *(f"{count:,}" for count in counts))
    if len(tags) > SHOWN:
        table.caption = f"the {SHOWN} best known of {len(tags):,} categories"
    return table
