"""The training loop of every stage that learns.

Everything random is a function of (seed, step): the batch, its augmentation, the noise. A run that
was killed and one that was not therefore end with the same weights, to the bit on a CPU.
"""

import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from goldseam.dataset.loading import Batch
from goldseam.metrics import Metric
from goldseam.models.multitask import MultitaskModel
from goldseam.progress import progress
from goldseam.trainer.balancing import FixedBalance
from goldseam.trainer.config import LoopConfig, OptimizerConfig
from goldseam.trainer.devices import autocast
from goldseam.trainer.objective import Objective, StepContext
from goldseam.trainer.optimizer import build_optimizer, rate_at, set_rate, update_average
from goldseam.trainer.state import TrainingState
from goldseam.trainer.validation import flat_scores, selection_score

NOISE_STREAM = 0x5EA3


def fit(
    what: str,
    model: MultitaskModel,
    *,
    objective: Objective,
    balance: FixedBalance,
    batches_from: Callable[[int], Iterator[Batch]],
    validate: Callable[[MultitaskModel], dict[str, Metric]] | None,
    optimization: OptimizerConfig,
    loop: LoopConfig,
    state_folder: Path,
    transferred: tuple[str, ...] = (),
) -> TrainingState:
    """Train until `optimization.steps`; afterwards the model holds the best (or last) weights.

    Args:
        what: name shown beside the progress bar.
        model: on its device, with its initial weights.
        objective: the losses of a step.
        balance: makes them one number.
        batches_from: the batches from a step on.
        validate: metrics of a model on the validation split; None keeps the last weights.
        optimization: rates and schedule.
        loop: seed, precision, how often to validate and to save.
        state_folder: where states are kept; training goes on from the newest one there.
        transferred: parameters that came from pretraining.
    """
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(model, optimization, transferred)
    average = copy.deepcopy(model) if optimization.average else None
    state = TrainingState(state_folder, model, average, optimizer)
    state.restore()
    done = state.progress.step
    with progress(what, optimization.steps, done) as advance:
        for step, batch in zip(range(done, optimization.steps), batches_from(done), strict=False):
            began = time.perf_counter()
            value, parts = _train_step(
                state, objective, balance, batch.to(device), optimization=optimization, loop=loop
            )
            state.progress.step = step + 1
            state.progress.train_seconds += time.perf_counter() - began
            last = step + 1 == optimization.steps
            if last or (step + 1) % loop.evaluate_every == 0:
                _validate(state, validate, loop, value, parts)
            if last or (step + 1) % loop.checkpoint_every == 0:
                state.save()
            advance(note=f"loss {value:.3f}")
    model.load_state_dict(state.best)
    model.eval()
    return state


def _train_step(
    state: TrainingState,
    objective: Objective,
    balance: FixedBalance,
    batch: Batch,
    *,
    optimization: OptimizerConfig,
    loop: LoopConfig,
) -> tuple[float, dict[str, float]]:
    model, step = state.model, state.progress.step
    model.train()
    generator = None
    if model.refines:
        generator = torch.Generator().manual_seed((loop.seed << 32) ^ (NOISE_STREAM << 20) ^ step)
    images = batch.images_BCHW.contiguous(memory_format=torch.channels_last)
    context = StepContext(
        step=step,
        steps=optimization.steps,
        generator=generator,
        average=state.average,
        autocast=functools.partial(autocast, loop, images.device),
    )
    losses = objective(model, dataclasses.replace(batch, images_BCHW=images), context)
    value = balance(losses)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), optimization.gradient_clip)
    set_rate(state.optimizer, rate_at(step, optimization))
    state.optimizer.step()
    if state.average is not None:
        update_average(state.average, model, optimization.average, step)
    return float(value.detach()), {name: float(loss.detach()) for name, loss in losses.items()}


def _validate(
    state: TrainingState,
    validate: Callable[[MultitaskModel], dict[str, Metric]] | None,
    loop: LoopConfig,
    value: float,
    parts: dict[str, float],
) -> None:
    """Score the kept weights; remember them when they are the best so far, or nothing judges."""
    kept = state.kept
    kept.eval()
    if validate is None:
        state.progress.best_step = state.progress.step
        state.keep_best()
        return
    metrics = validate(kept)
    found = selection_score(metrics, loop.select, kept.preprocessing.values)
    now = state.progress
    entry: dict[str, float | None] = {"step": now.step, "loss": value, "selection": found}
    entry |= {f"loss.{task}": part for task, part in parts.items()}
    now.history.append(entry | flat_scores(metrics))
    if found > now.best_score or not state.best:
        now.best_score, now.best_step = found, now.step
        state.keep_best()
