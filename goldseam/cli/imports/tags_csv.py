"""`goldseam dataset import csv`."""

from typing import Annotated

import typer

from goldseam.cli.imports.options import (
    SPLITS,
    Copy,
    Fractions,
    GroupPattern,
    Images,
    Name,
    OneFile,
    Replace,
    Seed,
    SkipMissing,
    Source,
    Split,
    TaskName,
    TestFile,
    TrainFile,
    ValidationFile,
    assigned,
    make_config,
    numbers,
    show,
    split_files,
)
from goldseam.cli.options import Out, words

COLUMNS = "Columns and values"
GroupColumn = Annotated[str, typer.Option(rich_help_panel=SPLITS, help="Names the group.")]
SplitColumn = Annotated[str, typer.Option(rich_help_panel=SPLITS, help="Names the split.")]
Column = Annotated[str, typer.Option(rich_help_panel=COLUMNS)]
Form = Annotated[str, typer.Option(help="auto, wide or long.", rich_help_panel=COLUMNS)]
Categories = Annotated[
    str, typer.Option(help="Such as a,b; else all that is left.", rich_help_panel=COLUMNS)
]
Meta = Annotated[str, typer.Option(help="Columns to keep as metadata.", rich_help_panel=COLUMNS)]
Drop = Annotated[str, typer.Option(help="Columns to leave out.", rich_help_panel=COLUMNS)]
Meaning = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT=STATE",
        help="What a text means: present, absent, unknown or uncertain.",
        rich_help_panel=COLUMNS,
    ),
]
Uncertain = Annotated[
    str,
    typer.Option(
        help="What uncertain is taken for: unknown, present, absent; unsure keeps it.",
        rich_help_panel=COLUMNS,
    ),
]
UncertainOf = Annotated[
    list[str] | None,
    typer.Option(
        "--uncertain-of",
        metavar="CATEGORY=STATE",
        help="The same for one category; repeatable.",
        rich_help_panel=COLUMNS,
    ),
]
Conflicts = Annotated[
    str,
    typer.Option(
        help="Of the long form's annotators: error, unknown or majority.", rich_help_panel=COLUMNS
    ),
]


def csv_labels(
    out: Out,
    file: OneFile = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    images: Images = None,
    copy: Copy = True,
    skip_missing: SkipMissing = False,
    name: Name = "",
    task: TaskName = "tags",
    source: Source = "unstated",
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    group_pattern: GroupPattern = "",
    group_column: GroupColumn = "",
    split_column: SplitColumn = "",
    form: Form = "auto",
    image_column: Column = "",
    source_column: Column = "",
    annotator_column: Column = "",
    categories: Categories = "",
    meta: Meta = "",
    drop: Drop = "",
    value: Meaning = None,
    uncertain: Uncertain = "unknown",
    uncertain_of: UncertainOf = None,
    conflicts: Conflicts = "error",
    delimiter: Column = ",",
    encoding: Column = "utf8",
    replace: Replace = False,
) -> None:
    """Import a CSV of tags: 1 present, 0 absent, blank unknown, -1 uncertain."""
    from goldseam.dataset.formats import CsvImport, import_csv

    config = make_config(
        CsvImport,
        name=name,
        task=task,
        source=source,
        split=split,
        fractions=numbers(fractions),
        seed=seed,
        group_pattern=group_pattern,
        copy_pictures=copy,
        skip_missing=skip_missing,
        form=form,
        delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter),
        encoding=encoding,
        image_column=image_column,
        categories=words(categories),
        drop=words(drop),
        meta=words(meta),
        group_column=group_column,
        split_column=split_column,
        source_column=source_column,
        annotator_column=annotator_column,
        values=assigned("--value", value),
        uncertain=uncertain,
        uncertain_of=assigned("--uncertain-of", uncertain_of),
        conflicts=conflicts,
    )
    files = split_files(file, train=train, validation=validation, test=test)
    show(out, import_csv(files, out, images=images, config=config, replace=replace))
