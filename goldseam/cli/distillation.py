"""What follows training, one stage alone: `goldseam distil | affinity`.

No pipeline has these stages, so that no recipe has their options: `--set` gives them.
"""

from pathlib import Path
from typing import Annotated

import typer

from goldseam.cli.options import (
    DatasetFolder,
    Device,
    Out,
    Set,
    checkpoint,
    log,
    named_checkpoints,
    section,
    show_training,
)


def distil(
    folder: DatasetFolder,
    teacher: Annotated[Path, typer.Option(help="Output of 'goldseam train'.")],
    out: Out,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Teach a model that needs one pass what a slower one predicts."""
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.distillation import distil as stage

    log()
    options = section("distil", None, folder, set_, device)
    show_training(stage(options, open_dataset(folder), checkpoint(teacher), out))


def affinity(
    folder: DatasetFolder,
    model: Annotated[Path, typer.Option("--model", help="Output of 'goldseam train'.")],
    out: Out,
    single: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=DIR", help="A model that was trained for one task alone."),
    ] = None,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Measure which tasks help which inside a model, and warn of tasks that lose by company."""
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.affinity import affinity as stage

    log()
    alone = named_checkpoints("--single", single or (), "TASK")
    options = section("affinity", None, folder, set_, device)
    result = stage(options, open_dataset(folder), checkpoint(model), out, single=alone)
    for sentence in result.sentences:
        typer.echo(f"- {sentence}")
    typer.echo(f"page {out / result.page}")
