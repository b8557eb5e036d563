"""`goldseam dataset import nyuv2|cityscapes|nyud|pascal-context`: published multi-task sets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from goldseam.cli.imports.options import (
    SPLITS,
    GroupPattern,
    Replace,
    Seed,
    make_config,
    show,
)
from goldseam.cli.options import Out, log, words
from goldseam.errors import InvalidConfig, MissingInput

Root = Annotated[
    Path, typer.Argument(metavar="ROOT", help="Folder in which the published archive was unpacked.")
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="MASK",
        help="Label mask: a published .pth or .npy, or .csv or .parquet; other labels are unknown.",
    ),
]
Name = Annotated[str, typer.Option(help="Of the dataset.", show_default="the set's name")]
License = Annotated[str, typer.Option("--license", help="Of the dataset.")]
Tasks = Annotated[str, typer.Option(help="Tasks to import, such as a,b.", show_default="all")]
Validation = Annotated[
    float,
    typer.Option(
        help="Share of the published training part; the published validation part is the test "
        "split.",
        rich_help_panel=SPLITS,
    ),
]
SkipFaulty = Annotated[
    bool, typer.Option("--skip-faulty", help="Count faulty files and leave them out.")
]
Axes = Annotated[
    str,
    typer.Option(
        help="Which stored component of a normal points right, up and towards the viewer, such as "
        "x,-y,-z; auto measures it against depth."
    ),
]
FieldOfView = Annotated[
    float,
    typer.Option(help="Angle that the image's width spans, degrees.", show_default="the Kinect's"),
]


def _kinect(importer: Literal["nyuv2", "nyud"], sentence: str) -> Callable[..., None]:
    """The command of one of the two published forms of NYU Depth v2, whose options are the same."""

    def command(
        root: Root,
        out: Out,
        labels: Labels = None,
        name: Name = "",
        license_: License = "",
        tasks: Tasks = "",
        validation: Validation = 0.1,
        seed: Seed = 0,
        group_pattern: GroupPattern = "",
        axes: Axes = "auto",
        field_of_view: FieldOfView = 0.0,
        skip_faulty: SkipFaulty = False,
        replace: Replace = False,
    ) -> None:
        from goldseam.dataset import formats

        config = make_config(
            formats.NyuImport,
            name=name,
            license=license_,
            tasks=words(tasks),
            validation=validation,
            seed=seed,
            group_pattern=group_pattern,
            axes=axes,
            field_of_view=field_of_view,
            skip_faulty=skip_faulty,
        )
        log()
        read = {"nyuv2": formats.import_nyuv2, "nyud": formats.import_nyud}[importer]
        show(out, read(root, out, labels=labels, config=config, replace=replace))

    command.__doc__ = sentence
    return command


nyuv2 = _kinect(
    "nyuv2", "Import NYUv2 as MTAN and MTPSL publish it: 13 classes, depth, normals (npy)."
)
nyud = _kinect("nyud", "Import the archive NYUD_MT: 40 classes, depth, normals, boundaries.")


def cityscapes(
    root: Root,
    out: Out,
    labels: Labels = None,
    name: Name = "",
    license_: License = "",
    tasks: Tasks = "",
    classes: Annotated[str, typer.Option(help="7 or 19.")] = "7",
    validation: Validation = 0.1,
    seed: Seed = 0,
    group_pattern: GroupPattern = "",
    skip_faulty: SkipFaulty = False,
    replace: Replace = False,
) -> None:
    """Import Cityscapes as MTAN and MTPSL publish it: 7 or 19 classes, inverse depth (npy)."""
    from goldseam.dataset.formats import CityscapesImport, import_cityscapes

    config = make_config(
        CityscapesImport,
        name=name,
        license=license_,
        tasks=words(tasks),
        classes=classes,
        validation=validation,
        seed=seed,
        group_pattern=group_pattern,
        skip_faulty=skip_faulty,
    )
    log()
    show(out, import_cityscapes(root, out, labels=labels, config=config, replace=replace))


def pascal_context(
    root: Root,
    out: Out,
    labels: Labels = None,
    name: Name = "",
    license_: License = "",
    tasks: Tasks = "",
    normal_classes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON list of the ids of PASCAL-Context's classes on which the distilled normals "
            "are kept.",
            show_default="all classes",
        ),
    ] = None,
    validation: Validation = 0.1,
    seed: Seed = 0,
    group_pattern: GroupPattern = "",
    skip_faulty: SkipFaulty = False,
    replace: Replace = False,
) -> None:
    """Import the archive PASCAL_MT: segmentation, human parts, saliency, normals, boundaries."""
    from goldseam.dataset.formats import PascalImport, import_pascal_context

    config = make_config(
        PascalImport,
        name=name,
        license=license_,
        tasks=words(tasks),
        normal_classes=_ids(normal_classes),
        validation=validation,
        seed=seed,
        group_pattern=group_pattern,
        skip_faulty=skip_faulty,
    )
    log()
    show(out, import_pascal_context(root, out, labels=labels, config=config, replace=replace))


def _ids(path: Path | None) -> tuple[int, ...]:
    if path is None:
        return ()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingInput(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InvalidConfig(
            f"{path} is no JSON ({error}).", remedy="Write a list of ids."
        ) from error
    if not isinstance(found, list) or not found or any(type(one) is not int for one in found):
        raise InvalidConfig(f"{path} holds no list of ids.", remedy="Write such as [2, 9, 18].")
    return tuple(found)
