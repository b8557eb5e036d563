"""What does running as a pipeline cost, against calling the stage functions in one process?

Both ways run the same small recipe on the same data, taking turns, each from an empty workspace.
"""

import contextlib
import dataclasses
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from report import arguments, report

from goldseam.dataset.examples import build_example
from goldseam.dataset.ingest import IngestConfig, ingest
from goldseam.dataset.reading import open_dataset
from goldseam.recipe import Recipe, load_recipe
from goldseam.workspace import Workspace
from pipelines.label_to_model import RECIPES, run_local

TASKS = 14


@dataclasses.dataclass(frozen=True)
class Row:
    """One run each way.

    Attributes:
        pipeline_seconds: `run_local`, every task in a process of its own.
        function_seconds: the stage functions in this process, imports included once before.
        peak_task_mib: largest resident size of any task of the pipeline.
    """

    seed: int
    pipeline_seconds: float
    function_seconds: float
    peak_task_mib: float


def call_functions(recipe: Recipe, data: Path, out: Path) -> None:
    """All stages, one after the other, as a program would call them."""
    from goldseam.audit.expectations.validate import validate
    from goldseam.audit.stage import audit
    from goldseam.dashboard.stage import publish
    from goldseam.evaluation.stage import evaluate
    from goldseam.finetuning.stage import finetune
    from goldseam.multitask.stage import train
    from goldseam.pretraining.stage import pretrain
    from goldseam.registry.stage import promote

    results: dict[str, Any] = {
        "ingest": ingest(IngestConfig(uri=str(data)), out / "ingest"),
    }
    dataset = open_dataset(data)
    results["validate"] = validate(recipe.validation, dataset, out / "validate")
    results["audit"] = audit(recipe.audit, dataset, out / "audit")
    results["pretrain"] = pretrain(recipe.pretrain, dataset, out / "pretrain")
    init = out / "pretrain" / "checkpoint"
    results["train"] = train(recipe.train, dataset, out / "train", init=init)
    trained = out / "train" / "checkpoint"
    results["finetune"] = finetune(recipe.finetune, dataset, trained, out / "finetune")
    results["scratch"] = train(recipe.baselines.scratch, dataset, out / "scratch")
    results["noisy_direct"] = pretrain(recipe.baselines.noisy_direct, dataset, out / "noisy_direct")
    models = {
        name: out / folder / "checkpoint"
        for name, folder in {"pipeline": "finetune", "scratch": "scratch"}.items()
    } | {"noisy_direct": out / "noisy_direct" / "checkpoint"}
    results["evaluate"] = evaluate(recipe.evaluate, dataset, models, out / "evaluate")
    config = recipe.promote.model_copy(update={"tracking_uri": f"sqlite:///{out}/mlflow.db"})
    results["promote"] = promote(
        config,
        results["evaluate"],
        models["pipeline"],
        out / "promote",
        recipe=recipe.model_dump(mode="json", exclude_none=True),
        lineage={},
    )
    publish(recipe.publish, {name: out / name for name in results}, out / "publish")


def measure(seed: int, data: Path) -> Row:
    """Both ways once."""
    recipe = load_recipe("coast", [f"seed={seed}"], tiny=True, folders=[RECIPES])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        call_functions(recipe, data, Path(folder))
        functions = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            run_local(recipe, dataset=data, out=Path(folder), run="benchmark")
        pipeline = time.perf_counter() - start
        records = Workspace(Path(folder) / "workspace").records("benchmark")
        peak = max(record.peak_rss_mib for record in records.values())
    return Row(seed, round(pipeline, 1), round(functions, 1), peak)


def main(quick: bool, out: Path | None) -> None:
    """Take turns and write the result."""
    seeds = range(1 if quick else 3)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "coast"
        build_example("coast", data, tiny=True, clean_per_task=8)
        rows = [measure(seed, data) for seed in seeds]
    extra = statistics.median(row.pipeline_seconds - row.function_seconds for row in rows)
    ratio = statistics.median(row.pipeline_seconds / row.function_seconds for row in rows)
    peak = max(row.peak_task_mib for row in rows)
    report(
        claim="As a pipeline of processes a run costs at most 6 s a task more than as functions, "
        "and no task needs more than 3 GiB.",
        holds=extra / TASKS <= 6 and peak <= 3072,
        figure=f"{extra:.0f} s more in all ({extra / TASKS:.1f} s a task, {ratio:.2f}x of the tiny "
        f"run); largest task {peak:.0f} MiB",
        rows=rows,
        seeds=list(seeds),
        out=out,
    )


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
