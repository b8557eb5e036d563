"""From a dataset and options to a checkpoint: what pretrain and train have in common."""

import functools
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from goldseam.artifacts import RESULT_FILE, digest_folder
from goldseam.dataset.augmentation import Augmentation
from goldseam.dataset.codecs import Array
from goldseam.dataset.loading import (
    Batch,
    JoinedTable,
    TrainingTable,
    draw_batches,
    evaluation_batches,
)
from goldseam.dataset.memory import SampleTable
from goldseam.dataset.reading import Dataset
from goldseam.dataset.resizing import resize_record
from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig, closest
from goldseam.metrics import Metric, metric_for
from goldseam.models.checkpoint import CheckpointConfig, Depth, save_checkpoint, transfer
from goldseam.models.config import DiffusionConfig, ModelConfig, deep_supervision_at
from goldseam.models.multitask import MultitaskModel
from goldseam.models.outputs import Preprocessing, predicted_by
from goldseam.results import TrainingResult
from goldseam.trainer.balancing import build_balance
from goldseam.trainer.config import LearningConfig
from goldseam.trainer.devices import choose_device
from goldseam.trainer.distributed import (
    is_main,
    joined,
    rank,
    share_of,
    world_size,
    written_by_main,
)
from goldseam.trainer.loop import fit
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import Objective, Supervised
from goldseam.trainer.pictures import draw_sheet
from goldseam.trainer.preparation import measure_preprocessing
from goldseam.trainer.recording import recorded
from goldseam.trainer.state import Progress
from goldseam.trainer.validation import score, selection_score

EVALUATION_BATCH = 64


def _as_they_are(table: TrainingTable) -> SampleTable:
    return table


def learn(
    what: str,
    dataset: Dataset,
    tasks: Sequence[str],
    config: LearningConfig,
    *,
    key: str,
    out: Path,
    diffusion: DiffusionConfig | None = None,
    init: Path | None = None,
    depth: Depth = "encoder",
    objective_from: Callable[[MultitaskLoss], Objective] = Supervised,
    samples_from: Callable[[TrainingTable], SampleTable] = _as_they_are,
) -> TrainingResult:
    """Train one model on the training split; validation chooses its weights.

    A run that was killed goes on from its last state when it is called again with the same `out`.
    Processes that `torchrun` started train together; all of them get the result, one writes it.

    Args:
        what: name shown beside the progress bar.
        dataset: with a train and a validation split.
        tasks: what to predict; a batch gives each an equal share.
        config: network, optimizer, losses, loop.
        key: digest of everything the result depends on.
        out: folder to make; the model stands in `out/checkpoint`.
        diffusion: the denoiser; None trains the plain model.
        init: checkpoint whose weights are copied first.
        depth: how much of it; see `goldseam.models.checkpoint.transfer`.
        objective_from: makes the losses of a step from the losses of known labels.
        samples_from: makes the training samples from those of the dataset.

    Raises:
        InvalidConfig: a task has no known label in the training split, an option names no task or
            no metric, or the batch cannot be shared by the processes.
        Diverged: the loss or its gradient is no finite number.
        Interrupted: SIGTERM came; the same call goes on from the state that was saved.
    """
    device = choose_device(config.loop.device)
    specs = {name: dataset.info.task(name) for name in tasks}
    _require_names(config, specs, dataset)
    with joined(device):
        if (done := TrainingResult.completed(out, key)) is not None:
            return done
        share_of(config.optimizer.batch_size)
        with written_by_main(out, key) as folder:
            # a kill between the result and the renaming leaves both here: nothing is left to learn
            if not (folder / RESULT_FILE).is_file():
                # what unsure entries count for is the loss' business, "nothing" too: taken for
                # unknown, a strategy would make absent of them
                table = samples_from(
                    TrainingTable(dataset, "train", tasks, cache=folder / "data", unsure=True)
                )
                _require_labels(table.known)
                model, transferred = _start(
                    dataset, specs, config, diffusion=diffusion, init=init, depth=depth
                )
                image_ids = _remembered_images(dataset, ("train",), config)
                loss = _supervision(model, config, image_ids)
                with recorded(what, key, config) as recorder:
                    state = fit(
                        what,
                        model.to(device),
                        objective=objective_from(loss),
                        balance=build_balance(config.loss, specs),
                        batches_from=lambda step: _batches(table, config, step),
                        validate=lambda kept: _validate(kept, dataset, specs),
                        optimization=config.optimizer,
                        loop=config.loop,
                        state_folder=folder / "state",
                        transferred=transferred,
                        balance_rate=config.loss.balance_rate,
                        memory=loss.memory,
                        recorder=recorder,
                        draw=lambda kept: {"validation": draw_sheet(kept, dataset, specs)},
                    )
                if is_main():
                    _write_checkpoint(key, folder, model, dataset)
                    scored = predicted_by(specs, dataset.info.tasks)
                    _write_result(key, folder, model, state.progress, scored)
            if is_main():
                for used in ("state", "data"):
                    shutil.rmtree(folder / used, ignore_errors=True)
    return TrainingResult.read(out)


def learn_rows(
    what: str,
    dataset: Dataset,
    rows: Mapping[str, Array],
    tasks: Sequence[str],
    config: LearningConfig,
    *,
    state_folder: Path,
    cache: Path | None = None,
    size: tuple[int, int] | None = None,
) -> MultitaskModel:
    """Train one plain model on chosen images of any splits; nothing validates it.

    Nothing but these rows reaches the model: not its pixel statistics, not its scales, not its
    weights, which are those after the last step. A killed call goes on from its last state.

    Args:
        what: name shown beside the progress bar.
        dataset: an open dataset.
        rows: split → positions in it, ascending; rows without a label of `tasks` are not drawn.
        tasks: what to predict; a batch gives each an equal share.
        config: network, optimizer, losses, loop.
        state_folder: where states are kept while training.
        cache: folder for a memory-mapped copy of the columns; see `TrainingTable`.
        size: (height, width) to which samples are stretched; None leaves them as they are.

    Raises:
        InvalidConfig: a task has no known label in these rows.
    """
    specs = {name: dataset.info.task(name) for name in tasks}
    known = {split: dataset.known(split) for split in rows}
    _require_labels(
        {name: np.array([known[s][name][rows[s]].any() for s in rows], bool) for name in tasks}
    )
    parts = [
        TrainingTable(dataset, split, tasks, rows=labeled_M, cache=cache, unsure=True)
        for split, rows_M in rows.items()
        if len(labeled_M := rows_M[np.any([known[split][t][rows_M] for t in tasks], axis=0)])
    ]
    change = None if size is None else functools.partial(resize_record, size=size)
    table = JoinedTable(parts, change)
    preprocessing = measure_preprocessing(dataset, specs, rows)
    torch.manual_seed(config.loop.seed)
    model = MultitaskModel(ModelConfig(network=config.network), specs, preprocessing)
    loss = _supervision(model, config, _remembered_images(dataset, rows, config))
    fit(
        what,
        model.to(choose_device(config.loop.device)),
        objective=Supervised(loss),
        balance=build_balance(config.loss, specs),
        batches_from=lambda step: _batches(table, config, step),
        validate=None,
        optimization=config.optimizer,
        loop=config.loop,
        state_folder=state_folder,
        balance_rate=config.loss.balance_rate,
        memory=loss.memory,
    )
    return model


def _require_names(config: LearningConfig, specs: Mapping[str, Task], dataset: Dataset) -> None:
    """Refuse names that nothing has before training, not at its first use of them."""
    tasks, loss = dataset.info.tasks, config.loss
    for option in ("weights", "category_weights"):
        for name in getattr(loss, option):
            if name not in tasks:
                raise InvalidConfig(
                    f"loss.{option} names '{name}', which is no task of the dataset.",
                    remedy=f"Closest: {closest(name, tasks)}.",
                )
    for name, weights in loss.category_weights.items():
        if len(weights) != len(tasks[name].categories):
            raise InvalidConfig(
                f"loss.category_weights.{name} has {len(weights)} weights; the task has "
                f"{len(tasks[name].categories)} categories.",
                remedy="Give one weight a category, in the order of dataset.yaml.",
            )
    nothing_seen = {name: metric_for(tasks[name]) for name in predicted_by(specs, tasks)}
    selection_score(nothing_seen, config.loop.select, {})


def _require_labels(known: Mapping[str, Array]) -> None:
    for task, known_N in known.items():
        if not known_N.any():
            raise InvalidConfig(
                f"task '{task}' has no known label among the training images.",
                remedy="Leave it out of the tasks, or label some images.",
            )


def _start(
    dataset: Dataset,
    specs: Mapping[str, Task],
    config: LearningConfig,
    *,
    diffusion: DiffusionConfig | None,
    init: Path | None,
    depth: Depth,
) -> tuple[MultitaskModel, tuple[str, ...]]:
    """The model with its first weights, and the names of those that came from `init`."""
    preprocessing = measure_preprocessing(dataset, specs)
    if init is not None:
        preprocessing = _as_learned(preprocessing, specs, CheckpointConfig.read(init), depth)
    torch.manual_seed(config.loop.seed)
    model_config = ModelConfig(network=config.network, diffusion=diffusion)
    model = MultitaskModel(model_config, specs, preprocessing, pretrained=init is None)
    return model, () if init is None else transfer(model, init, depth)


def _as_learned(
    ours: Preprocessing, specs: Mapping[str, Task], source: CheckpointConfig, depth: str
) -> Preprocessing:
    """Pixels, and values of tasks whose heads are copied, standardized as the weights expect."""
    theirs = source.preprocessing
    copied = predicted_by(source.tasks, specs) if depth in ("heads", "denoiser") else {}
    scales = {name: theirs.values[head] for name, head in copied.items() if head in theirs.values}
    return Preprocessing(mean=theirs.mean, std=theirs.std, values=ours.values | scales)


def _supervision(
    model: MultitaskModel, config: LearningConfig, image_ids: Sequence[str]
) -> MultitaskLoss:
    """The losses of known labels, and how much initial predictions count as training goes on."""
    diffusion = model.config.diffusion
    weight = 0.0 if diffusion is None else functools.partial(deep_supervision_at, diffusion)
    return MultitaskLoss(model.tasks, config.loss, model.preprocessing.values, weight, image_ids)


def _remembered_images(
    dataset: Dataset, splits: Iterable[str], config: LearningConfig
) -> list[str]:
    """The images of these splits, where a label strategy remembers any."""
    if not config.loss.tags.remembers_images:
        return []
    return [
        name
        for split in splits
        for name in dataset.table(split, ["image_id"]).column("image_id").to_pylist()
    ]


def _batches(table: SampleTable, config: LearningConfig, step: int) -> Iterator[Batch]:
    """This process's share of the batches from a step on."""
    order = table.order(
        share_of(config.optimizer.batch_size),
        seed=config.loop.seed,
        rank=rank(),
        world_size=world_size(),
        balance=True,
    )
    augmentation = Augmentation(**config.loop.augment.model_dump())
    return draw_batches(table, order, start_step=step, augmentation=augmentation)


def _validate(
    model: MultitaskModel, dataset: Dataset, specs: Mapping[str, Task]
) -> dict[str, Metric]:
    """Metrics on validation: of the model's tasks, and of the clean versions of noisy ones."""
    tasks = {name: dataset.info.tasks[name] for name in predicted_by(specs, dataset.info.tasks)}
    batches = evaluation_batches(dataset, "validation", list(tasks), EVALUATION_BATCH)
    return score(model, batches, tasks)


def _write_checkpoint(key: str, folder: Path, model: MultitaskModel, dataset: Dataset) -> None:
    digest = dataset.info.digest
    save_checkpoint(folder / "checkpoint", model, dataset_digest=digest, stage_key=key)


def _write_result(
    key: str, folder: Path, model: MultitaskModel, progress: Progress, scored: Collection[str]
) -> None:
    best = next(entry for entry in progress.history if entry["step"] == progress.best_step)
    TrainingResult(
        key=key,
        digest=digest_folder(folder / "checkpoint"),
        steps=progress.step,
        best_step=progress.best_step,
        validation={
            name: value
            for name, value in best.items()
            if "." in name and name.partition(".")[0] in scored
        },
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        history=tuple(progress.history),
    ).write(folder)
