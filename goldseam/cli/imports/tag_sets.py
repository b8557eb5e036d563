"""`goldseam dataset import chexpert|chest-xray14|open-images|coco-tags`: partially labeled tags."""

from pathlib import Path
from typing import Annotated

import typer

from goldseam.cli.imports.options import (
    SPLITS,
    Copy,
    Fractions,
    GroupPattern,
    Images,
    OneFile,
    Replace,
    Seed,
    SkipMissing,
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

PublishedFiles = Annotated[
    Path | None,
    typer.Argument(metavar="[SRC]", help="The table, or the folder of the published files."),
]
PublishedName = Annotated[str, typer.Option(help="Of the dataset.", show_default="the set's name")]
Findings = Annotated[str, typer.Option("--categories", help="Such as a,b.", show_default="all 14")]
MinedBy = Annotated[str, typer.Option(help="Who made the labels that were mined from reports.")]
UncertainOf = Annotated[
    list[str] | None,
    typer.Option(
        "--uncertain-of", metavar="CATEGORY=STATE", help="The same for one category; repeatable."
    ),
]


def chexpert(
    out: Out,
    source: PublishedFiles = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    images: Images = None,
    copy: Copy = True,
    skip_missing: SkipMissing = False,
    name: PublishedName = "chexpert",
    task: TaskName = "findings",
    made_by: Annotated[str, typer.Option("--source", help="Who made the labels of train.")] = (
        "text-mined"
    ),
    categories: Findings = "",
    uncertain: Annotated[
        str,
        typer.Option(
            help="What -1.0 is taken for: unknown, absent (U-Zeros), present; unsure keeps it."
        ),
    ] = "unknown",
    uncertain_of: UncertainOf = None,
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    replace: Replace = False,
) -> None:
    """Import CheXpert: 1.0 present, 0.0 absent, -1.0 uncertain, blank unknown."""
    from goldseam.dataset.formats import ChexpertImport, import_chexpert

    config = make_config(
        ChexpertImport,
        name=name,
        task=task,
        source=made_by,
        categories=words(categories),
        uncertain=uncertain,
        uncertain_of=assigned("--uncertain-of", uncertain_of),
        split=split,
        fractions=numbers(fractions),
        seed=seed,
        copy_pictures=copy,
        skip_missing=skip_missing,
    )
    files = split_files(source, train=train, validation=validation, test=test)
    show(out, import_chexpert(files, out, images=images, config=config, replace=replace))


def chest_xray14(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Data_Entry_2017.csv, or its folder.")
    ],
    out: Out,
    images: Images = None,
    copy: Copy = True,
    skip_missing: SkipMissing = False,
    name: PublishedName = "chest_xray14",
    task: TaskName = "findings",
    made_by: Annotated[str, typer.Option("--source", help="Who made the labels.")] = "text-mined",
    categories: Findings = "",
    unlisted: Annotated[
        str,
        typer.Option(
            help="What a finding is that a row does not list: absent, unknown, or "
            "absent-without-findings."
        ),
    ] = "absent",
    validation: Annotated[
        float,
        typer.Option(help="Share of train_val_list.txt, by patient.", rich_help_panel=SPLITS),
    ] = 0.1,
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    replace: Replace = False,
) -> None:
    """Import NIH ChestX-ray14, whose labels were mined from reports."""
    from goldseam.dataset.formats import ChestXray14Import, import_chest_xray14

    config = make_config(
        ChestXray14Import,
        name=name,
        task=task,
        source=made_by,
        categories=words(categories),
        unlisted=unlisted.replace("-", "_"),
        validation=validation,
        split=split,
        fractions=numbers(fractions),
        seed=seed,
        copy_pictures=copy,
        skip_missing=skip_missing,
    )
    show(out, import_chest_xray14(source, out, images=images, config=config, replace=replace))


def open_images(
    out: Out,
    source: PublishedFiles = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    descriptions: Annotated[
        Path | None,
        typer.Option(help="LabelName,DisplayName: names and order of the categories."),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="LabelName line by line: the categories that are wanted.")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="csv of boxes, of the images of --split; needs --images.")
    ] = None,
    images: Images = None,
    copy: Copy = True,
    skip_missing: SkipMissing = False,
    name: PublishedName = "open_images",
    task: TaskName = "tags",
    boxes_task: Annotated[str, typer.Option(help="Name of the boxes' task.")] = "objects",
    made_by: Annotated[
        str, typer.Option("--source", help="Who made the labels, where no column says so.")
    ] = "human",
    conflicts: Annotated[
        str, typer.Option(help="Present and absent on one image: unknown, majority or error.")
    ] = "unknown",
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Count faulty boxes and leave them out.")
    ] = False,
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    group_pattern: GroupPattern = "",
    replace: Replace = False,
) -> None:
    """Import Open Images: labels that a person verified; what a machine proposed is unknown."""
    from goldseam.dataset.formats import OpenImagesImport, import_open_images

    config = make_config(
        OpenImagesImport,
        name=name,
        task=task,
        boxes_task=boxes_task,
        source=made_by,
        conflicts=conflicts,
        skip_faulty=skip_faulty,
        split=split,
        fractions=numbers(fractions),
        seed=seed,
        group_pattern=group_pattern,
        copy_pictures=copy,
        skip_missing=skip_missing,
    )
    files = split_files(source, train=train, validation=validation, test=test)
    made = import_open_images(
        files,
        out,
        images=images,
        descriptions=descriptions,
        classes=classes,
        boxes=boxes,
        config=config,
        replace=replace,
    )
    show(out, made)


def coco_tags(
    out: Out,
    file: OneFile = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    images: Images = None,
    copy: Copy = True,
    skip_missing: SkipMissing = False,
    name: Annotated[str, typer.Option(help="Of the dataset.", show_default="the file's name")] = "",
    task: TaskName = "tags",
    made_by: Annotated[str, typer.Option("--source", help="Who made the labels.")] = "unstated",
    exhaustive: Annotated[
        str,
        typer.Option(
            help="Categories whose absence counts, such as a,b.",
            show_default="all",
        ),
    ] = "",
    crowds: Annotated[
        str, typer.Option(help="What a category is that a crowd alone shows: present or unknown.")
    ] = "present",
    unlabeled_is_unknown: Annotated[
        bool,
        typer.Option(
            "--unlabeled-is-unknown",
            help="An image without annotations is unlabeled; else somebody looked and found none.",
        ),
    ] = False,
    image_id: Annotated[
        str, typer.Option(help="file_name, id, split/file_name or split/id.")
    ] = "file_name",
    meta: Annotated[str, typer.Option(help="Fields of images to keep, such as a,b.")] = "",
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Count faulty annotations and leave them out.")
    ] = False,
    split: Split = "train",
    fractions: Fractions = "",
    seed: Seed = 0,
    group_field: Annotated[
        str, typer.Option(help="Field of an image that names its group.", rich_help_panel=SPLITS)
    ] = "",
    group_pattern: GroupPattern = "",
    replace: Replace = False,
) -> None:
    """Import COCO json as tags: present where an annotation shows the category."""
    from goldseam.dataset.formats import CocoTagsImport, import_coco_tags

    config = make_config(
        CocoTagsImport,
        name=name,
        task=task,
        source=made_by,
        exhaustive=words(exhaustive),
        crowds=crowds,
        unlabeled_is_unknown=unlabeled_is_unknown,
        image_id=image_id,
        meta=words(meta),
        skip_faulty=skip_faulty,
        split=split,
        fractions=numbers(fractions),
        seed=seed,
        group_field=group_field,
        group_pattern=group_pattern,
        copy_pictures=copy,
        skip_missing=skip_missing,
    )
    files = split_files(file, train=train, validation=validation, test=test)
    show(out, import_coco_tags(files, out, images=images, config=config, replace=replace))
