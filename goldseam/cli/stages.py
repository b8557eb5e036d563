"""One stage alone: `goldseam validate | audit | pretrain | train | distil | evaluate | …`.

A stage takes its options from its section of a recipe, so that what was tried by hand is what the
pipeline runs. A command that is repeated finds its output and says so.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from goldseam.cli import audits, distillation
from goldseam.cli.options import (
    DatasetFolder,
    Device,
    Out,
    RecipeName,
    Set,
    checkpoint,
    log,
    named_checkpoints,
    recipe,
    section,
    show_training,
)

ModelFolder = Annotated[Path, typer.Option("--model", help="Output of an earlier stage.")]


def validate(folder: DatasetFolder, out: Out, source: RecipeName = None, set_: Set = None) -> None:
    """Test the label table against expectations; exit code 2 when it fails."""
    from goldseam.audit.expectations.validate import validate as stage
    from goldseam.dataset.reading import open_dataset
    from goldseam.errors import GateClosed

    options = section("validate", source, folder, set_)
    result = stage(options, open_dataset(folder), out)
    typer.echo(f"{result.verdict}: {result.checks} checks; {out / 'docs' / 'index.html'}")
    if result.verdict == "fail":
        raise GateClosed("data", result.reasons, remedy="Mend the rows that are named.")


def pretrain(
    folder: DatasetFolder,
    out: Out,
    source: RecipeName = None,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Learn an encoder and decoder from a noisy task."""
    from goldseam.dataset.reading import open_dataset
    from goldseam.pretraining.stage import pretrain as stage

    log()
    options = section("pretrain", source, folder, set_, device)
    show_training(stage(options, open_dataset(folder), out))


def train(
    folder: DatasetFolder,
    out: Out,
    init: Annotated[
        Path | None, typer.Option(help="Output of 'goldseam pretrain' to start from.")
    ] = None,
    source: RecipeName = None,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Train the multi-task model from partial labels."""
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.stage import train as stage

    log()
    options = section("train", source, folder, set_, device)
    start = None if init is None else checkpoint(init)
    show_training(stage(options, open_dataset(folder), out, init=start))


def finetune(
    folder: DatasetFolder,
    model: ModelFolder,
    out: Out,
    source: RecipeName = None,
    features: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the features, for the next repair of this model."),
    ] = None,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Repair the tag heads of a model, each category on its known labels."""
    from rich.console import Console
    from rich.table import Table

    from goldseam.dataset.reading import open_dataset
    from goldseam.finetuning.stage import finetune as stage

    log()
    options = section("finetune", source, folder, set_, device)
    result = stage(options, open_dataset(folder), checkpoint(model), out, features=features)
    table = Table("category", "present", "absent", "head", "why", title=result.task)
    for row in result.categories:
        head = "kept" if row.kept else "repaired"
        table.add_row(row.category, str(row.known_present), str(row.known_absent), head, row.why)
    console = Console(soft_wrap=True)
    console.print(table)
    for sentence in result.sentences:
        console.print(sentence, markup=False)


def evaluate(
    folder: DatasetFolder,
    model: Annotated[
        list[str],
        typer.Option("--model", metavar="NAME=DIR", help="A model; one is named 'pipeline'."),
    ],
    out: Out,
    source: RecipeName = None,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Score models on the same held-out images, with intervals."""
    from rich.console import Console
    from rich.table import Table

    from goldseam.dataset.reading import open_dataset
    from goldseam.evaluation.stage import evaluate as stage

    log()
    models = named_checkpoints("--model", model, "NAME")
    config = section("evaluate", source, folder, set_, device)
    baselines = tuple(name for name in models if name != "pipeline")
    config = config.model_copy(update={"baselines": baselines})
    result = stage(config, open_dataset(folder), models, out)
    table = Table("metric", *result.models, title=f"{result.split}: {result.images} images")
    for key in result.models["pipeline"].metrics:
        table.add_row(key, *(_number(s.metrics.get(key)) for s in result.models.values()))
    Console(soft_wrap=True).print(table)


def promote(
    evaluation: Annotated[Path, typer.Option(help="Output of 'goldseam evaluate'.")],
    model: ModelFolder,
    out: Out,
    source: Annotated[str, typer.Option("--recipe", help="Recipe with the gates.")],
    set_: Set = None,
) -> None:
    """Register a model, and make it champion when the gates let it."""
    from goldseam.recipe import section_of
    from goldseam.registry.stage import promote as stage
    from goldseam.results import EvaluationResult

    options = recipe(source, set_, None)
    result = stage(
        section_of(options, "promote"),
        EvaluationResult.read(evaluation),
        checkpoint(model),
        out,
        recipe=options.model_dump(mode="json", exclude_none=True),
        lineage={},
    )
    for gate in result.gates:
        typer.echo(f"{'open  ' if gate.passed else 'closed'} {gate.gate}: {gate.reason}")
    standing = f"now {result.alias}" if result.promoted else f"not {result.alias}"
    typer.echo(f"{result.model_name} version {result.version}: {standing}")


def _number(estimate: Any) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    if estimate.low is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


COMMANDS: dict[str, Callable[..., None]] = {
    "validate": validate,
    "audit": audits.audit,
    "pretrain": pretrain,
    "train": train,
    "distil": distillation.distil,
    "finetune": finetune,
    "evaluate": evaluate,
    "affinity": distillation.affinity,
    "promote": promote,
}
