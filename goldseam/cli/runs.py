"""`goldseam run` and `goldseam compile`: the whole pipeline, here or for a cluster."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldseam.cli.options import PIPELINE, Device, Set, pipeline, recipe

if TYPE_CHECKING:
    from goldseam.recipe import DatasetSection
    from goldseam.workspace import TaskRecord

SUMMARY_FILE = "summary.json"


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A YAML file, or one that ships: coast, rooms, closet, coast_audit, cft/…, "
            "diffusionmtl/….",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")
    ] = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="The same run, small: a minute or two.")
    ] = False,
    device: Device = None,
    set_: Set = None,
) -> None:
    """Run the whole pipeline on this machine; started again, it goes on where it was.

    Leaves OUT/index.html for people and OUT/summary.json for programs. A stage whose inputs and
    options did not change is not run again.
    """
    from goldseam.dataset.schema import DATASET_FILE, DatasetInfo
    from goldseam.recipe import require_splits

    resolved = recipe(source, set_, device, tiny=tiny)
    out = out or Path("runs") / (resolved.name + ("-tiny" if tiny else ""))
    data = _dataset(resolved.dataset, out)
    if (data / DATASET_FILE).is_file():
        require_splits(resolved, DatasetInfo.read_yaml(data))
    run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    status = "failed"
    try:
        pipeline(resolved.pipeline).run_local(
            resolved,
            dataset=data,
            out=out,
            run=run_id,
            digest=resolved.dataset.digest,
            revision=resolved.dataset.revision,
        )
        status = "succeeded"
    finally:
        # a run that failed leaves its page and summary too: they say where and why
        if (out / "workspace").is_dir():
            _tell(_summarize(run_id, status, out), out)


def _dataset(section: "DatasetSection", out: Path) -> Path:
    """The folder of the run's data; an example is built once for each set of options."""
    if section.uri is not None:
        return Path(section.uri)
    from goldseam.artifacts import digest_of
    from goldseam.dataset.examples import build_example

    assert section.build is not None  # the recipe's validator saw to it
    name = digest_of(section.options).removeprefix("sha256:")[:8]
    folder = out / "data" / f"{section.build}-{name}"
    if not folder.is_dir():
        typer.echo(f"building the dataset '{section.build}' …", err=True)
        build_example(section.build, folder, **section.options)
    return folder


def _summarize(run_id: str, status: str, out: Path) -> dict[str, Any]:
    """Write `summary.json`, and the run's page with what it links to, into `out`."""
    from goldseam.storage.atomic import write_text
    from goldseam.workspace import Workspace

    records = Workspace(out / "workspace").records(run_id)
    stages = {
        name: {
            "status": record.status,
            "seconds": record.seconds,
            "peak_rss_mib": record.peak_rss_mib,
            "reused": record.reused,
            **({"error": record.error} if record.error else {}),
        }
        for name, record in records.items()
    }
    summary = {
        "run": run_id,
        "status": status,
        "stages": stages,
        "metrics": _metrics(records.get("evaluate")),
        "model_version": _model_version(records.get("promote")),
        "checkpoint": _checkpoint(records, out),
        "page": _page(records, out),
    }
    write_text(out / SUMMARY_FILE, json.dumps(summary, indent=1) + "\n")
    return summary


def _metrics(record: "TaskRecord | None") -> dict[str, Any]:
    from goldseam.results import EvaluationResult

    if record is None or record.output is None:
        return {"pipeline": {}, "baselines": {}}
    evaluation = EvaluationResult.read(Path(record.output))
    values = {
        name: {key: estimate.value for key, estimate in scores.metrics.items()}
        for name, scores in evaluation.models.items()
    }
    return {"pipeline": values.pop("pipeline", {}), "baselines": values}


def _model_version(record: "TaskRecord | None") -> str | None:
    from goldseam.results import PromotionResult

    if record is None or record.output is None:
        return None
    promotion = PromotionResult.read(Path(record.output))
    return None if promotion.version is None else f"{promotion.model_name}/{promotion.version}"


def _checkpoint(records: Mapping[str, "TaskRecord"], out: Path) -> str | None:
    """Folder of the run's model below `out`: what the last stage that learns made."""
    for name in ("finetune", "train"):
        record = records.get(name)
        if record is not None and record.output is not None:
            folder = Path(record.output) / "checkpoint"
            if folder.is_dir() and folder.is_relative_to(out.resolve()):
                return folder.relative_to(out.resolve()).as_posix()
    return None


def _page(records: Mapping[str, "TaskRecord"], out: Path) -> str | None:
    """Copy the page of the run, made by `publish` or by the exit handler, into `out`."""
    import shutil

    from goldseam.storage.atomic import copy_folder

    for name in ("publish", "report_status"):
        record = records.get(name)
        folder = Path(record.output) if record is not None and record.output else None
        if folder is not None and (folder / "index.html").is_file():
            for part in sorted(folder.iterdir()):
                if part.is_dir():
                    copy_folder(part, out / part.name)
                elif part.name != "result.json":
                    shutil.copyfile(part, out / part.name)
            return "index.html"
    return None


def _tell(summary: Mapping[str, Any], out: Path) -> None:
    """Where to look."""
    from rich.console import Console

    console = Console(stderr=summary["status"] == "failed", soft_wrap=True, highlight=False)
    if summary["page"]:
        console.print(f"page     {out / summary['page']}")
    if summary["model_version"]:
        console.print(f"model    {summary['model_version']}")
    if summary["checkpoint"]:
        console.print(f"weights  {out / summary['checkpoint']}")
    console.print(f"summary  {out / SUMMARY_FILE}")
    if (out / "mlflow.db").is_file():
        database = (out / "mlflow.db").resolve()
        console.print(f"tracking mlflow ui --backend-store-uri sqlite:///{database}")


def compile_pipeline(
    out: Annotated[Path, typer.Option(help="YAML file to write.")],
    name: Annotated[str, typer.Argument(metavar="PIPELINE")] = PIPELINE,
    image: Annotated[
        str | None, typer.Option(help="Container image of the tasks, pinned by digest.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Ask for a GPU where a model runs.")] = False,
    workspace_claim: Annotated[
        str | None, typer.Option(help="Volume claim on which killed tasks find their state.")
    ] = None,
) -> None:
    """Compile a pipeline for Kubeflow Pipelines."""
    settings: dict[str, Any] = {"gpu": gpu}
    if image is not None:
        settings["image"] = image
    if workspace_claim is not None:
        settings["workspace_claim"] = workspace_claim
    pipeline(name).compile_to(out, **settings)
    typer.echo(f"wrote {out}")
