"""Several processes that train one model, each on its share of every batch.

`torchrun` (or `accelerate launch`) starts them. Losses are means over what is known in the whole
batch: `total` adds sums and counts over the processes before they are divided. Gradients are
averaged here and not by DistributedDataParallel, which would want every parameter to take part in
every step, and one wrapped forward call a step: here a process may lack a task, an objective may
call the model as it likes, and a parameter that no process used keeps no gradient, as in a run of
one process. The price, no exchange during the backward pass, is small on one machine.
"""

import contextlib
import datetime as dt
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from goldseam.errors import InvalidConfig
from goldseam.storage.atomic import partial_folder, resumable_folder

# the others wait as long as this for the first process to validate and to save
PATIENCE = dt.timedelta(hours=6)


def world_size() -> int:
    """Number of processes that train together; 1 without `joined`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """True in the process that validates, writes and reports."""
    return rank() == 0


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the processes that the launcher started with this one; nothing to do for one alone.

    Args:
        device: gloo connects CPUs, NCCL connects GPUs, of which each process takes its own.
    """
    if world_size() > 1 or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def share_of(batch_size: int) -> int:
    """Images of one process in a batch of `batch_size` over all processes.

    Raises:
        InvalidConfig: it cannot be shared out evenly.
    """
    if batch_size % world_size():
        raise InvalidConfig(
            f"batch_size {batch_size} cannot be shared by {world_size()} processes.",
            remedy=f"Give a multiple of {world_size()}.",
        )
    return batch_size // world_size()


class _Total(torch.autograd.Function):
    """Sum over processes; a process hands its gradient on to its own part alone.

    It hands it on times the number of processes, since gradients are averaged afterwards.
    """

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        summed = value.detach().clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * world_size()


def total(value: Tensor) -> Tensor:
    """Sum of a tensor over all processes, with which a loss of the whole batch can be computed.

    Every process must call it equally often and in the same order, also one that has nothing to
    add: it adds zeros.
    """
    if world_size() == 1:
        return value
    summed: Tensor = _Total.apply(value)  # type: ignore[no-untyped-call]
    return summed


def anywhere(flags: Sequence[bool]) -> list[bool]:
    """Each flag: whether it is True in any process."""
    if world_size() == 1:
        return list(flags)
    raised = torch.tensor(flags, dtype=torch.float32, device=_device())
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return [value > 0 for value in raised.tolist()]


def wait_for_all() -> None:
    """Go on when every process has come here."""
    anywhere([True])


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one exchange.

    A process that did not use a parameter adds zero; a parameter that none used keeps no gradient,
    so that the optimizer passes it over.
    """
    if world_size() == 1:
        return
    parameters = list(parameters)
    with torch.no_grad():
        used = [float(p.grad is not None) for p in parameters]
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
        buffer = torch.cat([*parts, torch.tensor(used).to(parts[0])])
        dist.all_reduce(buffer)
        buffer /= world_size()
        sizes = [*(p.numel() for p in parameters), len(parameters)]
        *means, used_anywhere = torch.split(buffer, sizes)
        for parameter, mean, share in zip(parameters, means, used_anywhere.tolist(), strict=True):
            # a new tensor of the parameter's own memory format, in which optimizers are fast
            averaged = torch.empty_like(parameter).copy_(mean.view(parameter.shape))
            parameter.grad = averaged if share > 0 else None


@contextlib.contextmanager
def written_by_main(out: Path, key: str) -> Iterator[Path]:
    """`resumable_folder` for all processes: one makes and moves it, the others see it made."""
    if not is_main():
        wait_for_all()
        yield partial_folder(out)
        wait_for_all()
        return
    with resumable_folder(out, key) as folder:
        wait_for_all()
        yield folder
    wait_for_all()


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
