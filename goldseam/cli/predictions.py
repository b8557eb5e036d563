"""A trained model at work: `goldseam predict` and `goldseam export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from goldseam.cli.options import Out, checkpoint, log, words
from goldseam.errors import InvalidConfig

ModelFolder = Annotated[
    Path, typer.Option("--model", help="A checkpoint, or the output of the stage that made it.")
]
Tasks = Annotated[
    str,
    typer.Option(help="Tasks to write, such as a,b,c.", show_default="all that the model has"),
]
Initial = Annotated[
    bool, typer.Option("--initial", help="Take the predictions before the denoiser.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace OUT if it is there.")]


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...", help="PNG, JPEG or TIFF pictures, folders of them, or datasets."
        ),
    ],
    model: ModelFolder,
    out: Out,
    tile: Annotated[int, typer.Option(help="Side of a tile in px.")] = 512,
    overlap: Annotated[int, typer.Option(help="Px that neighboring tiles share.")] = 64,
    batch: Annotated[int, typer.Option(help="Tiles that pass the model together.")] = 8,
    tasks: Tasks = "",
    arrays: Annotated[
        str, typer.Option(metavar="npz|npy|none", help="Files of full precision.")
    ] = "npz",
    split: Annotated[
        str,
        typer.Option(help="Of a dataset folder: train, validation or test.", show_default="all"),
    ] = "",
    initial: Initial = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_megapixels: Annotated[
        int, typer.Option(help="Refuse a picture that unpacks to more.")
    ] = 500,
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Leave out pictures that cannot be read.")
    ] = False,
    replace: Replace = False,
) -> None:
    """Predict pictures of any size: maps, drawings, arrays and a page that shows them."""
    from goldseam.prediction.config import PredictConfig
    from goldseam.prediction.stage import predict as stage

    log()
    config = _config(
        "predict",
        PredictConfig,
        device=device,
        tiling={"tile": tile, "overlap": overlap, "batch": batch},
        tasks=words(tasks),
        initial=initial,
        arrays=arrays,
        split=split,
        max_megapixels=max_megapixels,
        skip_faulty=skip_faulty,
    )
    result = stage(config, images, checkpoint(model), out, replace=replace)
    for skipped in result.skipped:
        typer.echo(f"left out: {skipped.why}", err=True)
    count = len(result.images)
    typer.echo(f"{count} {'picture' if count == 1 else 'pictures'}: {out / 'index.html'}")


def export(
    model: ModelFolder,
    out: Out,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="torch|onnx", help="A .pt2 program, or ONNX."),
    ] = "torch",
    size: Annotated[
        str,
        typer.Option(metavar="dynamic|HxW", help="Picture size that the exported model takes."),
    ] = "dynamic",
    tasks: Tasks = "",
    initial: Initial = False,
    replace: Replace = False,
) -> None:
    """Write a model as a program that runs without goldseam."""
    from goldseam.export.config import ExportConfig
    from goldseam.export.stage import export as stage

    log()
    config = _config(
        "export",
        ExportConfig,
        format=format_,
        size=_size(size),
        tasks=words(tasks),
        initial=initial,
    )
    result = stage(config, checkpoint(model), out, replace=replace)
    typer.echo(f"{out / result.file}: input {result.input_text()}")
    typer.echo(f"largest difference to the checkpoint: {result.largest_difference:.2g}")


def _size(text: str) -> tuple[int, ...]:
    """(height, width); empty is dynamic."""
    if text == "dynamic":
        return ()
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise InvalidConfig(
            f"--size is '{text}'.", remedy="Write dynamic, or height x width such as 512x512."
        )
    return int(parts[0]), int(parts[1])


def _config(command: str, kind: Any, **options: Any) -> Any:
    """Options of a command as a stage's configuration.

    Raises:
        InvalidConfig: a value is not allowed; names the option.
    """
    import pydantic

    try:
        return kind(**options)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        said = fault["msg"].removeprefix("Value error, ")
        if not isinstance(fault["input"], dict):  # else several options do not fit together
            name = str(fault["loc"][0 if fault["loc"][0] != "tiling" else 1]).replace("_", "-")
            said = f"--{name} is {fault['input']!r}: {said}"
        raise InvalidConfig(f"{said}.", remedy=f"See 'goldseam {command} --help'.") from error
