"""`goldseam dataset partial`: a copy of a dataset whose training labels are partial."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldseam.cli.options import Out, words
from goldseam.errors import InvalidConfig, OutputExists

if TYPE_CHECKING:
    from rich.table import Table

    from goldseam.dataset.partial.apply import PartialLabels
    from goldseam.dataset.partial.masks import LabelMask
    from goldseam.dataset.partial.tag_protocols import TagScheme
    from goldseam.dataset.reading import Dataset


def partial(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A dataset folder.")],
    out: Out,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="one-label|random-label",
            help="One label an image, or a random number of them, never all.",
        ),
    ] = "",
    mask: Annotated[
        Path | None, typer.Option(help="A label mask to follow: .parquet or .csv.")
    ] = None,
    tag_scheme: Annotated[
        str,
        typer.Option(
            metavar="YAML", help="Which tags stay known, such as '{name: uniform, rate: 0.2}'."
        ),
    ] = "",
    tag_task: Annotated[
        str, typer.Option(help="Whose tags they are.", show_default="the only clean ones")
    ] = "",
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks whose labels are dealt out, such as a,b,c; other tasks stay as they are.",
            show_default="clean tasks with picture labels, or those of the mask",
        ),
    ] = "",
    budget: Annotated[
        float, typer.Option(help="Times as many labels of each task; budgets are nested.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the choice of labels and tags.")] = 0,
    save_mask: Annotated[
        Path | None, typer.Option(help="Where to write the mask: .parquet or .csv.")
    ] = None,
    allow_lacking: Annotated[
        bool,
        typer.Option("--allow-lacking", help="The mask may name labels that SRC does not have."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace OUT and the saved mask if they are there.")
    ] = False,
) -> None:
    """Make training labels or tags unknown; validation and test stay whole."""
    from rich.console import Console

    from goldseam.dataset.partial.apply import make_partial
    from goldseam.dataset.partial.drawn_tags import draw_tags
    from goldseam.dataset.partial.masks import mask_format
    from goldseam.dataset.reading import open_dataset

    scheme = read_tag_scheme(tag_scheme) if tag_scheme else None
    of_labels = {
        "--tasks": bool(tasks),
        "--budget": budget != 1,
        "--save-mask": save_mask is not None,
        "--allow-lacking": allow_lacking,
    }
    _require_one_way(protocol, mask, scheme, of_labels, tag_task)
    # what can fail early fails before a large dataset is written
    if save_mask is not None:
        mask_format(save_mask)
        if save_mask.exists() and not replace:
            raise OutputExists(save_mask, "it is not overwritten")
    dataset = open_dataset(source)
    names = words(tasks)
    chosen = None
    if protocol or mask is not None:
        chosen = _mask(dataset, protocol, mask, names, budget=budget, seed=seed)
    tags = None
    if scheme is not None:
        tags = draw_tags(dataset, scheme, seed=seed, task=tag_task, mask=chosen)
    made = make_partial(
        dataset, out, mask=chosen, tags=tags, allow_lacking=allow_lacking, replace=replace
    )
    if save_mask is not None and chosen is not None:
        chosen.write(save_mask, replace=replace)
    Console(soft_wrap=True).print(_histogram(made))
    if chosen is None:
        typer.echo(f"{out}: digest {made.info.digest}")
        return
    by_labels = ", ".join(
        f"{images:,} with {labels} label{'s' * (labels != 1)}"
        for labels, images in chosen.images_by_labels.items()
    )
    typer.echo(f"{out}: training images {by_labels or 'none'}; digest {made.info.digest}")
    typer.echo(f"mask {chosen.digest}")


def _require_one_way(
    protocol: str,
    mask: Path | None,
    scheme: "TagScheme | None",
    of_labels: Mapping[str, bool],
    tag_task: str,
) -> None:
    """Refuse options that contradict each other or say nothing.

    Args:
        protocol: for labels.
        mask: for labels.
        scheme: for tags.
        of_labels: option that belongs to protocol or mask → whether it is given.
        tag_task: belongs to the scheme.
    """
    if (protocol and mask is not None) or not (protocol or mask is not None or scheme is not None):
        raise InvalidConfig(
            "a partial dataset follows either a protocol or a mask, or else a scheme of tags, "
            "which may also stand beside one of the two.",
            remedy="Give one of --protocol and --mask, or --tag-scheme.",
        )
    if tag_task and scheme is None:
        raise InvalidConfig(
            f"--tag-task {tag_task} says whose tags a scheme is for, and there is none.",
            remedy="Add --tag-scheme, or leave --tag-task out.",
        )
    for option, given in of_labels.items():
        if given and not protocol and mask is None:
            raise InvalidConfig(
                f"{option} belongs to --protocol and --mask, and there is only a scheme of tags.",
                remedy="Leave it out: --tag-task names the task, the scheme has its own rates, and "
                "the same scheme and --seed draw the same tags again.",
            )


def _mask(
    dataset: "Dataset",
    protocol: str,
    file: Path | None,
    tasks: Sequence[str],
    *,
    budget: float,
    seed: int,
) -> "LabelMask":
    from goldseam.dataset.partial.apply import draw_mask, scale_mask
    from goldseam.dataset.partial.masks import read_mask

    if file is None:
        mask = draw_mask(dataset, protocol, seed=seed, tasks=tasks)
    else:
        mask = read_mask(file)
        mask = mask.select(tasks) if tasks else mask
    return mask if budget == 1 else scale_mask(dataset, mask, budget, seed=seed)


def _histogram(made: "PartialLabels") -> "Table":
    from rich.table import Table

    from goldseam.page.numbers import count, percent

    table = Table(title="training labels")
    table.add_column("task")
    for name in ("before", "kept", "share"):
        table.add_column(name, justify="right")
    for task, kept in made.kept.items():
        before = made.before[task]
        share = percent(kept / before if before else None)
        table.add_row(task, count(before), count(kept), share)
    for state, (before, kept) in made.entries.items():
        share = percent(kept / before if before else None)
        table.add_row(f"{state} tags", count(before), count(kept), share)
    return table


def read_tag_scheme(text: str) -> "TagScheme":
    """A scheme for tags, written as YAML: `{name: uniform, rate: 0.2}`.

    `{name: rates_of_dataset, dataset: DIR, blank_present: 0.1, categories: […]}` takes the rates of
    `rates_from_table` from a real dataset.

    Raises:
        InvalidConfig: it is no YAML, or none of the schemes.
        MissingInput: the dataset of rates is not there.
    """
    import pydantic
    import yaml

    from goldseam.dataset.partial.drawn_tags import RatesOfDataset
    from goldseam.dataset.partial.tag_protocols import TagScheme

    try:
        body = yaml.safe_load(text)
        if isinstance(body, dict) and body.get("name") == "rates_of_dataset":
            return RatesOfDataset.model_validate(body).read()
        found: TagScheme = pydantic.TypeAdapter(TagScheme).validate_python(body)
    except (yaml.YAMLError, pydantic.ValidationError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else error
        raise InvalidConfig(
            f"--tag-scheme {text}: {first}.", remedy="Write such as '{name: uniform, rate: 0.2}'."
        ) from error
    return found
