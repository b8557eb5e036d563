"""Is the demo's model better than the plain ways to train, on clean labels of other coasts?

Controls that a sceptic asks for, each with as many optimizer steps as the pipeline: clean labels
only from scratch, and the noisy map's model used directly; with the demo's 20 clean images a task,
and with 5. With 20 also the pipeline without its denoiser. Resumable: every model stands in
runs/benchmark and is found again.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import arguments, report

from goldseam.artifacts import Result, StageConfig, stage_key
from goldseam.dataset.examples import build_example
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.evaluation.stage import evaluate
from goldseam.finetuning.stage import finetune
from goldseam.multitask.stage import train
from goldseam.pretraining.stage import pretrain
from goldseam.progress import log_to_stderr
from goldseam.recipe import Recipe, load_recipe
from goldseam.workspace import Workspace
from pipelines.label_to_model import RECIPES

SEEDS = (0, 1, 2)
CLEAN_PER_TASK = (20, 5)
WORK = Path("runs/benchmark")
SHOWN = {
    "cover.miou": "higher",
    "cover.iou.lake": "higher",
    "shoreline.f1": "higher",
    "distance.mae": "lower",
    "tags.map": "higher",
    "tags.ece": "lower",
}
PLAIN = "pipeline_without_denoiser"


@dataclasses.dataclass(frozen=True)
class Row:
    """One model of one seed on the test split.

    Attributes:
        clean_per_task: training images with a clean label, for each dense task.
        seconds: of training; 0 where the model was found or serves both budgets.
    """

    seed: int
    clean_per_task: int
    model: str
    seconds: float
    metrics: dict[str, float | None]


def measure(seed: int, clean_per_task: int, quick: bool) -> list[Row]:
    """Train and score all models of one seed and one budget of clean labels."""
    recipe = load_recipe("coast", [f"seed={seed}"], tiny=quick, folders=[RECIPES])
    dataset = _dataset(recipe, clean_per_task, quick)
    # the noisy map is the same with every budget of clean labels, and so is its model
    full = _dataset(recipe, CLEAN_PER_TASK[0], quick)
    seconds, models = _models(recipe, dataset, full)
    config = recipe.evaluate.model_copy(
        update={"baselines": tuple(name for name in models if name != "pipeline"), "examples": 0}
    )
    keys = {model: str(path) for model, path in models.items()}
    evaluation = _stage("evaluate", evaluate, config, dataset, models, keyed_by=keys)
    return [
        Row(
            seed,
            clean_per_task,
            model,
            round(seconds.get(model, 0.0), 1),
            {key: value.value for key, value in scores.metrics.items()},
        )
        for model, scores in evaluation.models.items()
    ]


def _dataset(recipe: Recipe, clean_per_task: int, quick: bool) -> Dataset:
    folder = WORK / f"coast{'-tiny' if quick else ''}-{clean_per_task}"
    if not folder.is_dir():
        assert recipe.dataset.build is not None
        options = {**recipe.dataset.options, "clean_per_task": clean_per_task}
        build_example(recipe.dataset.build, folder, **options)
    return open_dataset(folder)


def _models(
    recipe: Recipe, dataset: Dataset, full: Dataset
) -> tuple[dict[str, float], dict[str, Path]]:
    """Model → training time in this call, and its checkpoint."""
    seconds: dict[str, float] = {}

    def timed(name: str, *arguments: Any, **options: Any) -> Path:
        start = time.perf_counter()
        result = _stage(*arguments, **options)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
        return Path(result.folder) / "checkpoint"

    def learned(name: str, config: Any, init: Path) -> Path:
        keys = {"init": str(init)}
        trained = timed(name, "train", train, config, dataset, init=init, keyed_by=keys)
        keys = {"model": str(trained)}
        return timed(name, "finetune", finetune, recipe.finetune, dataset, trained, keyed_by=keys)

    base = recipe.baselines
    init = timed("pipeline", "pretrain", pretrain, recipe.pretrain, full, keyed_by={})
    models = {
        "pipeline": learned("pipeline", recipe.train, init),
        "scratch": timed("scratch", "train", train, base.scratch, dataset, keyed_by={}),
        "noisy_direct": timed(
            "noisy_direct", "pretrain", pretrain, base.noisy_direct, full, keyed_by={}
        ),
    }
    if dataset.info.digest == full.info.digest:
        plain = recipe.train.model_copy(update={"diffusion": None})
        models[PLAIN] = learned(PLAIN, plain, init)
    return seconds, models


def _stage(
    stage: str,
    function: Callable[..., Any],
    config: StageConfig,
    dataset: Dataset,
    *inputs: Any,
    keyed_by: dict[str, str],
    **options: Any,
) -> Any:
    key = stage_key(stage, config, dataset=dataset.info.digest, **keyed_by)
    out = Workspace(WORK).output_folder(stage, key)
    result: Result = function(config, dataset, *inputs, out=out, **options)
    return result


def table(rows: list[Row]) -> str:
    """Mean ± standard deviation over the seeds, one line a model."""
    lines = [
        "| model | " + " | ".join(SHOWN) + " |",
        "| --- |" + " ---: |" * len(SHOWN),
    ]
    for model in dict.fromkeys(row.model for row in rows):
        cells = []
        for key in SHOWN:
            values = [row.metrics.get(key) for row in rows if row.model == model]
            known = [value for value in values if value is not None]
            spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
            cells.append(f"{statistics.mean(known):.3f}{spread}" if known else "–")
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gains(rows: list[Row], other: str, key: str) -> list[float]:
    """Pipeline minus other, seed by seed, positive where the pipeline is better."""
    sign = 1 if SHOWN[key] == "higher" else -1
    values = {(row.seed, row.model): row.metrics.get(key) for row in rows}
    found = []
    for seed in dict.fromkeys(row.seed for row in rows):
        mine, theirs = values[seed, "pipeline"], values[seed, other]
        if mine is not None and theirs is not None:
            found.append(sign * (mine - theirs))
    return found


def main(quick: bool, out: Path | None) -> None:
    """Run all seeds of both budgets and write the result."""
    log_to_stderr()
    seeds = SEEDS[:1] if quick else SEEDS
    rows: list[Row] = []
    figures, wins = [], []
    for budget in CLEAN_PER_TASK:
        of_budget = [row for seed in seeds for row in measure(seed, budget, quick)]
        print(f"\n{budget} clean images a task\n{table(of_budget)}", flush=True)
        for other in ("scratch", "noisy_direct"):
            values = gains(of_budget, other, "cover.miou")
            wins += values
            listed = ", ".join(f"{value:+.3f}" for value in values)
            figures.append(
                f"{budget} clean: {statistics.mean(values):+.3f} against {other} ({listed})"
            )
        rows += of_budget
    report(
        claim="At equal steps the pipeline's cover mIoU is above both baselines in every seed, "
        "with 20 and with 5 clean images a task.",
        holds=all(value > 0 for value in wins),
        figure="cover mIoU, pipeline minus baseline; " + "; ".join(figures),
        rows=rows,
        seeds=seeds,
        out=out,
    )


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
