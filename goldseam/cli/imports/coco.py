"""`goldseam dataset import coco`."""

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
    make_config,
    numbers,
    show,
    split_files,
)
from goldseam.cli.options import Out, words


def coco(
    out: Out,
    file: OneFile = None,
    train: TrainFile = None,
    validation: ValidationFile = None,
    test: TestFile = None,
    images: Images = None,
    copy: Copy = True,
    skip_missing: SkipMissing = False,
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

    config = make_config(
        CocoImport,
        name=name,
        task=task,
        source=source,
        split=split,
        fractions=numbers(fractions),
        seed=seed,
        group_pattern=group_pattern,
        copy_pictures=copy,
        skip_missing=skip_missing,
        image_id=image_id,
        masks=masks,
        unlabeled_is_unknown=unlabeled_is_unknown,
        skip_faulty=skip_faulty,
        group_field=group_field,
        meta=words(meta),
    )
    files = split_files(file, train=train, validation=validation, test=test)
    show(out, import_coco(files, out, images=images, config=config, replace=replace))
