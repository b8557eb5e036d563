"""`goldseam audit`: one call on a dataset, a COCO json or a CSV."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldseam.cli.options import Device, Out, RecipeName, Set, checkpoint, log, section
from goldseam.errors import GateClosed, InvalidConfig, OutputExists

if TYPE_CHECKING:
    from goldseam.audit.config import AuditConfig
    from goldseam.dataset.reading import Dataset

REMEDY = (
    "The page shows what closed the gate, label by label; 'goldseam findings' hands the labels to "
    "an annotation tool. The limits stand in the recipe's section 'audit.gate'."
)


def audit(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A dataset folder, a COCO json or a CSV.")
    ],
    out: Out,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures of a json or CSV.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Your model's predictions, folder or CSV; instead of training models."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Model whose features are used; else small ones learn."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Earlier version of the dataset: what changed?")
    ] = None,
    against_revision: Annotated[
        str | None, typer.Option(help="The same, as a git revision of a folder that DVC tracks.")
    ] = None,
    source_recipe: RecipeName = None,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Say what labels are worth: gaps, errors, noise, leaks, and what to annotate next.

    Leaves OUT/index.html for people, OUT/audit.json and OUT/findings.parquet for programs. What is
    made on the way stands beside OUT and is found again: OUT-data, OUT-predictions, OUT-against.
    Exit code 2 where the labels break a limit of the recipe.
    """
    from goldseam.audit.stage import audit as stage
    from goldseam.dataset.formats import open_source

    log()
    if predictions is not None and model is not None:
        raise InvalidConfig(
            "--predictions are there already, so no model of --checkpoint is needed to make them.",
            remedy="Give one of them.",
        )
    if against is not None and against_revision is not None:
        raise InvalidConfig(
            "--against and --against-revision both name an earlier version.",
            remedy="Give one of them.",
        )
    dataset = open_source(source, images, into=_beside(out, "data"))
    options = section("audit", source_recipe, dataset.path, set_)
    if device is not None:
        learning = options.predictions.model_copy(update={"device": device})
        options = options.model_copy(update={"predictions": learning})
    predictions = predictions or _predictions(options, dataset, model, out)
    earlier = _earlier(dataset, against, against_revision, out)
    result = stage(options, dataset, out, predictions=predictions, against=earlier)
    for sentence in result.sentences:
        typer.echo(f"- {sentence}")
    typer.echo(f"page {out / 'index.html'}")
    if result.verdict == "fail":
        raise GateClosed("labels", result.reasons, remedy=REMEDY)


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}-{what}")


def _predictions(
    options: "AuditConfig", dataset: "Dataset", model: Path | None, out: Path
) -> Path | None:
    """Predictions of small models, made beside the output; None where nothing can be predicted."""
    from goldseam.audit.predictions.faults import NothingToPredict
    from goldseam.audit.predictions.stage import crossfit

    if not options.crossfit:
        return None
    folder = _beside(out, "predictions")
    start = None if model is None else checkpoint(model)
    try:
        crossfit(options.predictions, dataset, folder, checkpoint=start)
    except NothingToPredict as error:
        typer.echo(f"no search for label errors: {error.message}", err=True)
        return None
    return folder


def _earlier(
    dataset: "Dataset", against: Path | None, revision: str | None, out: Path
) -> "Dataset | None":
    from goldseam.dataset.reading import open_dataset
    from goldseam.dataset.schema import DATASET_FILE

    if revision is None:
        return None if against is None else open_dataset(against)
    from goldseam.storage.dvc import fetch_revision

    folder = _beside(out, "against")
    # a revision such as HEAD~1 means another commit tomorrow, so it is fetched again
    earlier = folder.exists()
    if earlier and not (folder / DATASET_FILE).is_file():
        raise OutputExists(folder, "it holds no earlier version of a dataset")
    fetch_revision(dataset.path, revision, folder, replace=earlier)
    return open_dataset(folder)
