"""The affinity stage: which tasks help which inside one model, and which would rather be alone.

A condition is withheld by setting its channels to zero. A model that never saw such zeros in
training also suffers from their strangeness, so that an effect is an upper bound of what the
guess tells; train with dropped conditions to be rid of that. It says nothing of what tasks teach
each other through the shared weights: for that, give models of single tasks to compare with.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from goldseam.artifacts import digest_folder, digest_of, stage_key
from goldseam.dataset.loading import Batch, evaluation_batches
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig, closest
from goldseam.metrics import Metric, bootstrap, paired_difference
from goldseam.models.checkpoint import CheckpointConfig, load_checkpoint
from goldseam.models.multitask import MultitaskModel
from goldseam.multitask.affinity.ablation import NOTHING, ablate
from goldseam.multitask.affinity.config import AffinityConfig
from goldseam.multitask.affinity.page import write_page
from goldseam.multitask.affinity.sentences import effect_sentence, transfer_sentence
from goldseam.multitask.agreement import require_same_meaning
from goldseam.results import AffinityResult, ConditionEffect, Estimate, Transfer
from goldseam.storage.atomic import atomic_folder
from goldseam.trainer.devices import choose_device
from goldseam.trainer.validation import score


def affinity(
    config: AffinityConfig,
    dataset: Dataset,
    model: Path,
    out: Path,
    *,
    single: Mapping[str, Path] | None = None,
) -> AffinityResult:
    """Measure what each task's first guess is worth to each other task.

    Args:
        config: options.
        dataset: with labels in `config.split`.
        model: checkpoint folder of a model whose denoiser is conditioned on all tasks.
        out: folder to make, with `result.json` and `index.html`.
        single: task → checkpoint folder of a model trained for it alone, on the same labels; a
            warning is given where such a model is better.

    Raises:
        InvalidConfig: the model conditions no task on others, none of its tasks is labeled in the
            split, a single-task model does not predict its task, or a model means something else by
            a task's name than the dataset.
    """
    single = single or {}
    digests = {f"single.{task}": digest_folder(folder) for task, folder in single.items()}
    digests |= {"dataset": dataset.info.digest, "model": digest_folder(model)}
    key = stage_key(AffinityResult.stage, config, **digests)
    if (done := AffinityResult.completed(out, key)) is not None:
        return done
    network = load_checkpoint(model, choose_device(config.device))
    _require_conditions(network, model)
    tasks = _tasks(config, dataset, network, model)
    _require_single(config, single, tasks)
    metrics = ablate(network, _batches(config, dataset, tasks), tasks)
    effects = _effects(config, metrics)
    transfers = _transfers(config, dataset, metrics[NOTHING], single)
    scores = {
        name: bootstrap(metric, config.resamples, config.seed)[metric.primary]
        for name, metric in metrics[NOTHING].items()
    }
    groups = dataset.table(config.split, ["group"]).column("group").to_pylist()
    with atomic_folder(out) as folder:
        result = AffinityResult(
            key=key,
            digest=digest_of({"scores": scores, "effects": effects, "transfers": transfers}),
            dataset_digest=dataset.info.digest,
            model_digest=digests["model"],
            split=config.split,
            images=len(groups),
            groups=len(set(groups)),
            resamples=config.resamples,
            tasks=tuple(tasks),
            conditions=network.dense,
            scores=scores,
            effects=effects,
            transfers=transfers,
            sentences=_summary(effects, transfers),
        ).write(folder)
        write_page(result, dataset.info.name, config.smallest, folder)
    return result.at(out)


def _require_conditions(network: MultitaskModel, folder: Path) -> None:
    diffusion = network.config.diffusion
    if not network.refines or diffusion is None or diffusion.condition == "none":
        raise InvalidConfig(
            f"{folder}: this model conditions no task on the guesses of others, so that none can "
            "be withheld.",
            remedy="Name a model that was trained with a denoiser and a condition.",
        )


def _tasks(
    config: AffinityConfig, dataset: Dataset, network: MultitaskModel, folder: Path
) -> dict[str, Task]:
    """The dense tasks of the model that are labeled in the split."""
    known = dataset.known(config.split)
    tasks = {
        name: dataset.info.tasks[name]
        for name in network.dense
        if name in dataset.info.tasks and known[name].any()
    }
    if not tasks:
        raise InvalidConfig(
            f"{folder}: no task of this model is labeled in split '{config.split}'.",
            remedy=f"It predicts {', '.join(network.dense)}; name another split or dataset.",
        )
    require_same_meaning(network.tasks, tasks, folder)
    return tasks


def _require_single(
    config: AffinityConfig, single: Mapping[str, Path], tasks: Mapping[str, Task]
) -> None:
    for task, folder in single.items():
        if task not in tasks:
            raise InvalidConfig(
                f"a model of '{task}' alone is given, which the multi-task model does not predict "
                f"or nobody labeled in split '{config.split}'.",
                remedy=f"Closest: {closest(task, tasks)}.",
            )
        theirs = CheckpointConfig.read(folder).tasks
        if task not in theirs:
            raise InvalidConfig(
                f"{folder}: the model of '{task}' alone predicts {', '.join(theirs)}.",
                remedy="Name a model that was trained for this task.",
            )
        require_same_meaning(theirs, {task: tasks[task]}, folder)


def _batches(
    config: AffinityConfig, dataset: Dataset, tasks: Mapping[str, Task]
) -> Iterator[Batch]:
    return evaluation_batches(dataset, config.split, list(tasks), config.batch_size)


def _effects(
    config: AffinityConfig, metrics: Mapping[str, Mapping[str, Metric]]
) -> tuple[ConditionEffect, ...]:
    effects = []
    for task, whole in metrics[NOTHING].items():
        for condition, scored in metrics.items():
            if condition == NOTHING:
                continue
            difference = paired_difference(whole, scored[task], config.resamples, config.seed)[
                whole.primary
            ]
            matters = _matters(config, whole, difference)
            sentence = effect_sentence(task, condition, whole.primary, difference, matters=matters)
            effects.append(
                ConditionEffect(task, condition, whole.primary, difference, matters, sentence)
            )
    return tuple(effects)


def _matters(config: AffinityConfig, scored: Metric, difference: Estimate) -> bool:
    """Whether a difference from a score is beyond doubt, and large enough to care about."""
    score = scored.compute()[scored.primary]
    if score is None or difference.value is None or difference.verdict == "unclear":
        return False
    return abs(difference.value) >= config.smallest * abs(score)


def _transfers(
    config: AffinityConfig,
    dataset: Dataset,
    together: Mapping[str, Metric],
    single: Mapping[str, Path],
) -> tuple[Transfer, ...]:
    transfers = []
    for task, folder in single.items():
        network = load_checkpoint(folder, choose_device(config.device))
        spec = {task: dataset.info.tasks[task]}
        alone = score(network, _batches(config, dataset, spec), spec)[task]
        metric = alone.primary
        difference = paired_difference(together[task], alone, config.resamples, config.seed)[metric]
        matters = _matters(config, alone, difference)
        transfers.append(
            Transfer(
                task=task,
                metric=metric,
                difference=difference,
                matters=matters,
                negative=matters and difference.verdict == "worse",
                sentence=transfer_sentence(task, metric, difference, matters=matters),
            )
        )
    return tuple(transfers)


def _summary(
    effects: tuple[ConditionEffect, ...], transfers: tuple[Transfer, ...]
) -> tuple[str, ...]:
    """Warnings first, then what matters, then how the other tasks fare in company."""
    warnings = [one.sentence for one in transfers if one.negative]
    clear = [one.sentence for one in effects if one.matters]
    others = [one.sentence for one in transfers if not one.negative]
    if not clear:
        clear = ["No first guess changes any task clearly and by enough to matter."]
    return (*warnings, *clear, *others)
