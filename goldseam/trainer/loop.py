"""The training loop of every stage that learns.

Everything random is a function of (seed, step): the batch, its augmentation, the noise. A run that
was stopped or killed and one that was not therefore end with the same weights, to the bit on a CPU.
"""

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from goldseam.dataset.loading import Batch
from goldseam.errors import Interrupted
from goldseam.models.multitask import MultitaskModel
from goldseam.progress import Step, progress
from goldseam.trainer import distributed
from goldseam.trainer.balancing import Balance, GradientNormBalance
from goldseam.trainer.balancing.gradients import LastSharedLayer, gradient_cosines
from goldseam.trainer.compilation import compile_parts
from goldseam.trainer.config import LoopConfig, OptimizerConfig
from goldseam.trainer.devices import autocast
from goldseam.trainer.interruption import Interruption, interruptible
from goldseam.trainer.measuring import Speed, StepNumbers, require_finite
from goldseam.trainer.objective import Objective, StepContext
from goldseam.trainer.optimizer import build_optimizer, rate_at, set_rate, update_average
from goldseam.trainer.recording import NoRecorder, Recorder
from goldseam.trainer.selection import Draw, Selection, Validate
from goldseam.trainer.state import TrainingState

NOISE_STREAM = 0x5EA3
RANK_STRIDE = 0x9E3779B97F4A7C15


def fit(
    what: str,
    model: MultitaskModel,
    *,
    objective: Objective,
    balance: Balance,
    batches_from: Callable[[int], Iterator[Batch]],
    validate: Validate | None,
    optimization: OptimizerConfig,
    loop: LoopConfig,
    state_folder: Path,
    transferred: tuple[str, ...] = (),
    balance_rate: float = 0.0,
    memory: nn.Module | None = None,
    recorder: Recorder | None = None,
    draw: Draw | None = None,
) -> TrainingState:
    """Train until `optimization.steps`; afterwards the model holds the best (or last) weights.

    Where several processes train together, each calls this with its own share of the batches; the
    first alone validates, writes and holds the best weights.

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
        balance_rate: learning rate of what the balance learns.
        memory: what the objective remembers from step to step; see `MultitaskLoss.memory`.
        recorder: takes the run's numbers and pictures.
        draw: pictures of the weights that are the best so far.

    Raises:
        Diverged: the loss or its gradient is no finite number.
        Interrupted: SIGTERM came; the state is saved, and the same call goes on from it.
    """
    if loop.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in (balance, memory or nn.Module()):
        part.to(model.mean_3.device)
    optimizer = build_optimizer(
        model, optimization, transferred, balance=balance, balance_rate=balance_rate
    )
    state = _last_state(
        state_folder, model, optimizer, balance, memory, averaged=optimization.average > 0
    )
    if loop.compile:
        twice = loop.log_gradients or isinstance(balance, GradientNormBalance)
        compile_parts(model, twice=twice)
    recorder = recorder or NoRecorder()
    selection = Selection(validate, loop, recorder, draw)
    _train(
        what,
        state,
        objective,
        batches_from,
        optimization=optimization,
        loop=loop,
        selection=selection,
        recorder=recorder,
    )
    if state.best:
        model.load_state_dict(state.best)
    model.eval()
    return state


def _train(
    what: str,
    state: TrainingState,
    objective: Objective,
    batches_from: Callable[[int], Iterator[Batch]],
    *,
    optimization: OptimizerConfig,
    loop: LoopConfig,
    selection: Selection,
    recorder: Recorder,
) -> None:
    """All steps that are left, with what happens between them."""
    device = state.model.mean_3.device
    shared, speed, now = LastSharedLayer(state.model), Speed(), state.progress
    done, steps, note = now.step, optimization.steps, ""
    with _shown(what, steps, done) as advance, interruptible() as interruption:
        selection.judge(state, interruption)  # where a run was stopped in the middle of it
        _leave_if_asked(what, state, interruption, steps)
        for step, batch in zip(range(done, steps), batches_from(done), strict=False):
            last = step + 1 == steps
            judged = last or (step + 1) % loop.evaluate_every == 0
            with speed.step(batch):
                numbers = _train_step(
                    state,
                    objective,
                    batch.to(device, non_blocking=True),
                    optimization=optimization,
                    loop=loop,
                    shared=shared,
                    compare_tasks=judged and loop.log_gradients,
                )
                logged = judged or (step + 1) % loop.log_every == 0
                measured = numbers.measured(state.balance) if logged else {}
            now.step = step + 1
            now.train_seconds += speed.last
            if logged:
                require_finite(what, now.step, measured)
                measured |= speed.measured(device)
                note = f"loss {measured['loss']:.3f}"
                recorder.numbers(now.step, measured)
            if judged:
                now.unvalidated = measured
                selection.judge(state, interruption)
            if last or now.step % loop.checkpoint_every == 0:
                state.save()
            _leave_if_asked(what, state, interruption, steps)
            advance(note=note)


def _last_state(
    folder: Path,
    model: MultitaskModel,
    optimizer: torch.optim.Optimizer,
    balance: Balance,
    memory: nn.Module | None,
    *,
    averaged: bool,
) -> TrainingState:
    """The state from which training goes on; a first one where none is in the folder."""
    average = copy.deepcopy(model).eval().requires_grad_(False) if averaged else None
    state = TrainingState(folder, model, average, optimizer, balance, memory)
    state.restore()
    distributed.wait_for_all()  # nobody writes a state before everybody has read the last one
    return state


def noise_seed(seed: int, step: int, rank: int) -> int:
    """Seed of what one process draws in a step; no two processes draw the same.

    That of the first process does not depend on how many there are.
    """
    return ((seed << 32 ^ NOISE_STREAM << 20 ^ step) + rank * RANK_STRIDE) % 2**64


def _train_step(
    state: TrainingState,
    objective: Objective,
    batch: Batch,
    *,
    optimization: OptimizerConfig,
    loop: LoopConfig,
    shared: LastSharedLayer,
    compare_tasks: bool,
) -> StepNumbers:
    model, balance, step = state.model, state.balance, state.progress.step
    model.train()
    seed = noise_seed(loop.seed, step, distributed.rank())
    # a backbone that drops paths draws from the global generator
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed) if model.refines else None
    layout = torch.channels_last if loop.channels_last else torch.contiguous_format
    images = batch.images_BCHW.contiguous(memory_format=layout)
    context = StepContext(
        step=step,
        steps=optimization.steps,
        generator=generator,
        average=state.average,
        autocast=functools.partial(autocast, loop, images.device),
    )
    state.optimizer.zero_grad(set_to_none=True)
    losses = objective(model, dataclasses.replace(batch, images_BCHW=images), context)
    value = balance(losses, functools.partial(shared, images))
    cosines = gradient_cosines(losses, shared(images)) if compare_tasks else {}
    value.backward()
    distributed.average_gradients([*model.parameters(), *balance.parameters()])
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), optimization.gradient_clip)
    rate = rate_at(step, optimization)
    set_rate(state.optimizer, rate)
    state.optimizer.step()
    balance.settle()
    if state.average is not None:
        update_average(state.average, model, optimization.average, step)
    parts = {name: loss.detach() for name, loss in losses.items()}
    return StepNumbers(value.detach(), parts, norm, rate, cosines)


def _leave_if_asked(
    what: str, state: TrainingState, interruption: Interruption, steps: int
) -> None:
    """End with the state saved when SIGTERM came to any of the processes."""
    if any(distributed.anywhere([interruption.asked])):
        state.save()
        raise Interrupted(what, state.progress.step, steps)


def _silent(advance: int = 1, note: str = "") -> None:
    del advance, note


@contextlib.contextmanager
def _shown(what: str, steps: int, done: int) -> Iterator[Step]:
    """Progress with an ETA, of the first process alone."""
    if distributed.is_main():
        with progress(what, steps, done) as advance:
            yield advance
    else:
        yield _silent
