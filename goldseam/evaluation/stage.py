"""Every model on the same held-out images, with intervals, and the pipeline's against each other.

The test split chooses nothing: weights were chosen on validation, and thresholds are those that the
model brings, or 0.5.
"""

from collections.abc import Mapping
from pathlib import Path

from goldseam.artifacts import digest_folder, digest_of, stage_key
from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig, closest
from goldseam.evaluation.config import EvaluateConfig
from goldseam.evaluation.examples import draw_examples
from goldseam.metrics import Metric, bootstrap, paired_difference
from goldseam.models.checkpoint import load_checkpoint
from goldseam.models.multitask import MultitaskModel
from goldseam.models.outputs import predicted_by
from goldseam.progress import progress
from goldseam.results import Estimate, EvaluationResult, ModelScores
from goldseam.storage.atomic import atomic_folder
from goldseam.trainer.devices import choose_device
from goldseam.trainer.validation import score

PIPELINE = "pipeline"
BATCH = 64

Metrics = dict[str, dict[str, Metric]]


def evaluate(
    config: EvaluateConfig, dataset: Dataset, models: Mapping[str, Path], out: Path
) -> EvaluationResult:
    """Score models on a held-out split.

    Args:
        config: options.
        dataset: with clean labels in `config.split`.
        models: name → checkpoint folder; `pipeline` is the one that others are compared with.
        out: folder to make; pictures stand in `out/examples`.

    Raises:
        InvalidConfig: `pipeline` or a named baseline is missing, or no task can be scored.
    """
    for name in (PIPELINE, *config.baselines):
        if name not in models:
            raise InvalidConfig(
                f"evaluate has no model '{name}'.",
                remedy=f"Models are {', '.join(models) or 'none'}; mend evaluate.baselines.",
            )
    digests = {name: digest_folder(folder) for name, folder in models.items()}
    key = stage_key(EvaluationResult.stage, config, dataset=dataset.info.digest, **digests)
    if (done := EvaluationResult.completed(out, key)) is not None:
        return done
    tasks = _tasks(config, dataset)
    device = choose_device(config.device)
    networks = {name: load_checkpoint(folder, device) for name, folder in models.items()}
    metrics = _score_all(config, dataset, networks, tasks)
    scores = {
        name: ModelScores(
            digests[name], _estimates(config, found), _thresholds(networks[name], tasks)
        )
        for name, found in metrics.items()
    }
    differences = _differences(config, metrics)
    counts = dataset.table(config.split, ["group"]).column("group").to_pylist()
    with atomic_folder(out) as folder:
        result = EvaluationResult(
            key=key,
            digest=digest_of({"models": scores, "differences": differences}),
            dataset_digest=dataset.info.digest,
            split=config.split,
            images=len(counts),
            groups=len(set(counts)),
            resamples=config.intervals.resamples,
            models=scores,
            differences=differences,
            examples=draw_examples(
                dataset, config.split, networks, config.examples, folder / "examples"
            ),
        ).write(folder)
    return result.at(out)


def _tasks(config: EvaluateConfig, dataset: Dataset) -> dict[str, Task]:
    """The tasks to score: clean ones, of a kind that has a metric and labels in the split."""
    known = dataset.known(config.split)
    for name in config.tasks:
        dataset.info.task(name)
    return {
        name: task
        for name, task in dataset.info.tasks.items()
        if (name in config.tasks or not config.tasks)
        and task.noisy_version_of is None
        and known[name].any()
    }


def _score_all(
    config: EvaluateConfig,
    dataset: Dataset,
    networks: Mapping[str, MultitaskModel],
    tasks: Mapping[str, Task],
) -> Metrics:
    found: Metrics = {}
    with progress("evaluate", len(networks)) as step:
        for name, network in networks.items():
            own = {task: tasks[task] for task in predicted_by(network.tasks, tasks)}
            if not own:
                raise InvalidConfig(
                    f"model '{name}' predicts none of the tasks {', '.join(tasks)}.",
                    remedy=f"It predicts {', '.join(network.tasks)}; closest: "
                    f"{closest(next(iter(network.tasks)), tasks)}.",
                )
            batches = evaluation_batches(dataset, config.split, list(own), BATCH)
            found[name] = score(network, batches, own)
            step(note=name)
    return found


def _estimates(config: EvaluateConfig, metrics: Mapping[str, Metric]) -> dict[str, Estimate]:
    return {
        f"{task}.{key}": estimate
        for task, metric in metrics.items()
        for key, estimate in bootstrap(
            metric, config.intervals.resamples, config.intervals.seed
        ).items()
    }


def _thresholds(
    network: MultitaskModel, tasks: Mapping[str, Task]
) -> dict[str, dict[str, float | None]]:
    """Scored tags task → the thresholds that the model has."""
    own = network.preprocessing.tag_thresholds
    return {
        task: dict(own[source])
        for task, source in predicted_by(network.tasks, tasks).items()
        if own.get(source)
    }


def _differences(config: EvaluateConfig, metrics: Metrics) -> dict[str, dict[str, Estimate]]:
    """Other model → metric → pipeline minus other, on the same draws of groups."""
    mine = metrics[PIPELINE]
    return {
        other: {
            f"{task}.{key}": estimate
            for task in mine
            if task in theirs
            for key, estimate in paired_difference(
                mine[task], theirs[task], config.intervals.resamples, config.intervals.seed
            ).items()
        }
        for other, theirs in metrics.items()
        if other != PIPELINE
    }
