"""Where training runs, and in which precision."""

import contextlib
from collections.abc import Iterator

import torch

from goldseam.errors import InvalidConfig
from goldseam.trainer.config import LoopConfig
from goldseam.workspace import peak_rss_mib


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    Raises:
        InvalidConfig: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidConfig(
            "device 'cuda' was asked for, and PyTorch sees no GPU here.",
            remedy="Use device: auto or cpu, or install a CUDA build of PyTorch.",
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


@contextlib.contextmanager
def autocast(config: LoopConfig, device: torch.device) -> Iterator[None]:
    """bfloat16 where the configuration says so; `auto` means on CUDA only."""
    wanted = config.precision == "bf16" or (config.precision == "auto" and device.type == "cuda")
    with torch.autocast(device.type, torch.bfloat16, enabled=wanted):
        yield


def peak_memory_mib(device: torch.device) -> float:
    """Most memory taken so far: by PyTorch on a GPU, resident in this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_rss_mib()
