"""`goldseam dataset import FORMAT`: labels in another format become a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldseam.cli.options import Out
from goldseam.errors import InvalidConfig

if TYPE_CHECKING:
    from goldseam.dataset.formats import ImportConfig, Imported

app = typer.Typer(help="Make a dataset from labels in another format.", no_args_is_help=True)

LABELS, SPLITS, COLUMNS = "Labels", "Splits and groups", "Columns and values"
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
TaskName = Annotated[str, typer.Option("--task", help="Name of the task.")]
Source = Annotated[str, typer.Option(help="Who made the labels: human, map, model …")]
Name = Annotated[str, typer.Option(help="Of the dataset.", show_default="the file's name")]


@app.command()
def coco(
    out: Out,
    file: OneFile = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    images: Images = None,
    copy: Copy = True,
    name: Name = "",
    task: TaskName = "objects",
    source: Source = "unstated",
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    group_pattern: GroupPattern = "",
    group_field: Annotated[
        str, typer.Option(help="Field of an image that names its group.", rich_help_panel=SPLITS)
    ] = "",
    image_id: Annotated[
        str, typer.Option(help="file_name, id, split/file_name or split/id.")
    ] = "file_name",
    meta: Annotated[str, typer.Option(help="Fields of images to keep, such as a,b.")] = "",
    masks: Annotated[
        bool, typer.Option("--masks", help="Draw segmentations as a semantic mask.")
    ] = False,
    unlabeled_is_unknown: Annotated[
        bool,
        typer.Option(
            "--unlabeled-is-unknown",
            help="An image without annotations is unlabeled; else somebody looked and found none.",
        ),
    ] = False,
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Count faulty annotations and leave them out.")
    ] = False,
    replace: Replace = False,
) -> None:
    """Import COCO json: boxes, captions, and LVIS's lists of absent categories."""
    from goldseam.dataset.formats import CocoImport, import_coco

    config = _config(
        CocoImport,
        name=name,
        task=task,
        source=source,
        split=split,
        fractions=_numbers(fractions),
        seed=seed,
        group_pattern=group_pattern,
        copy_pictures=copy,
        image_id=image_id,
        masks=masks,
        unlabeled_is_unknown=unlabeled_is_unknown,
        skip_faulty=skip_faulty,
        group_field=group_field,
        meta=_words(meta),
    )
    files = _files(file, train=train, validation=validation, test=test)
    _show(out, import_coco(files, out, images=images, config=config, replace=replace))


@app.command("csv")
def csv_labels(
    out: Out,
    file: OneFile = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    images: Images = None,
    copy: Copy = True,
    name: Name = "",
    task: TaskName = "tags",
    source: Source = "unstated",
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    group_pattern: GroupPattern = "",
    group_column: Annotated[
        str, typer.Option(rich_help_panel=SPLITS, help="Names the group.")
    ] = "",
    split_column: Annotated[
        str, typer.Option(rich_help_panel=SPLITS, help="Names the split.")
    ] = "",
    form: Annotated[
        str, typer.Option(help="auto, wide or long.", rich_help_panel=COLUMNS)
    ] = "auto",
    image_column: Annotated[str, typer.Option(rich_help_panel=COLUMNS)] = "",
    source_column: Annotated[str, typer.Option(rich_help_panel=COLUMNS)] = "",
    annotator_column: Annotated[str, typer.Option(rich_help_panel=COLUMNS)] = "",
    categories: Annotated[
        str, typer.Option(help="Such as a,b; else all that is left.", rich_help_panel=COLUMNS)
    ] = "",
    meta: Annotated[
        str, typer.Option(help="Columns to keep as metadata.", rich_help_panel=COLUMNS)
    ] = "",
    drop: Annotated[str, typer.Option(help="Columns to leave out.", rich_help_panel=COLUMNS)] = "",
    value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT=STATE",
            help="What a text means: present, absent, unknown or uncertain.",
            rich_help_panel=COLUMNS,
        ),
    ] = None,
    uncertain: Annotated[
        str,
        typer.Option(
            help="What uncertain is taken for: unknown, present, absent.", rich_help_panel=COLUMNS
        ),
    ] = "unknown",
    conflicts: Annotated[
        str,
        typer.Option(
            help="Of the long form's annotators: error, unknown or majority.",
            rich_help_panel=COLUMNS,
        ),
    ] = "error",
    delimiter: Annotated[str, typer.Option(rich_help_panel=COLUMNS)] = ",",
    encoding: Annotated[str, typer.Option(rich_help_panel=COLUMNS)] = "utf8",
    replace: Replace = False,
) -> None:
    """Import a CSV of tags: 1 present, 0 absent, blank unknown, -1 uncertain."""
    from goldseam.dataset.formats import CsvImport, import_csv

    config = _config(
        CsvImport,
        name=name,
        task=task,
        source=source,
        split=split,
        fractions=_numbers(fractions),
        seed=seed,
        group_pattern=group_pattern,
        copy_pictures=copy,
        form=form,
        delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter),
        encoding=encoding,
        image_column=image_column,
        categories=_words(categories),
        drop=_words(drop),
        meta=_words(meta),
        group_column=group_column,
        split_column=split_column,
        source_column=source_column,
        annotator_column=annotator_column,
        values=dict(_meaning(one) for one in value or ()),
        uncertain=uncertain,
        conflicts=conflicts,
    )
    files = _files(file, train=train, validation=validation, test=test)
    _show(out, import_csv(files, out, images=images, config=config, replace=replace))


def _config(kind: "type[ImportConfig]", **options: Any) -> Any:
    import pydantic

    try:
        return kind(**options)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-").replace("values", "value")
        raise InvalidConfig(
            f"--{option}: {first['msg'].removeprefix('Value error, ')} (found {first['input']!r}).",
            remedy="'goldseam dataset import coco|csv --help' lists what is possible.",
        ) from error


def _files(file: Path | None, **of_split: Path | None) -> Path | dict[str, Path]:
    named = {split: path for split, path in of_split.items() if path is not None}
    if (file is None) == (not named):
        raise InvalidConfig(
            "one file, or one for each split, is needed.",
            remedy="Write FILE, or --train FILE --validation FILE --test FILE.",
        )
    return named if file is None else file


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in _words(text))
    except ValueError as error:
        raise InvalidConfig(
            f"--fractions {text}: no numbers.", remedy="Write such as 0.8,0.1,0.1."
        ) from error


def _meaning(given: str) -> tuple[str, str]:
    text, equals, state = given.rpartition("=")
    if not equals:
        raise InvalidConfig(
            f"--value {given} has no '='.", remedy="Write TEXT=present|absent|unknown|uncertain."
        )
    return text, state


def _show(out: Path, made: "Imported") -> None:
    info = made.info
    counts = ", ".join(f"{info.rows(split):,} {split}" for split in info.splits)
    typer.echo(f"{out}: {counts}; tasks {', '.join(info.tasks)}; digest {info.digest}")
    for note in made.notes:
        typer.echo(note)
    for what, many in sorted(made.skipped.items()):
        typer.echo(f"left out: {many:,} with {what}")
