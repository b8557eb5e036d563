"""Adam or AdamW with parameter groups, its schedule, and the moving average of the weights."""

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from goldseam.trainer.config import OptimizerConfig


def build_optimizer(
    model: nn.Module,
    config: OptimizerConfig,
    transferred: Collection[str] = (),
    *,
    balance: nn.Module | None = None,
    balance_rate: float = 0.0,
) -> torch.optim.Optimizer:
    """Groups by (weight decay or none) and (new or transferred), and one for the balance.

    Args:
        model: whose parameters are optimized.
        config: rates.
        transferred: names of parameters copied from pretraining; their rate is scaled.
        balance: of the tasks; its parameters never decay.
        balance_rate: their rate, which no schedule changes.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 or config.name == "adam"
        groups.setdefault((decays, name in transferred), []).append(parameter)
    options: list[dict[str, Any]] = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "scale": config.transferred_rate if old else 1.0,
        }
        for (decays, old), parameters in groups.items()
    ]
    learned = [] if balance is None else list(balance.parameters())
    if learned:
        own = {"lr": balance_rate, "rate": balance_rate, "weight_decay": 0.0}
        options.append({"params": learned, **own})
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    # `fused` is faster on a CPU, but rounds by the alignment of memory: a run that goes on from a
    # state would end with other weights
    return kind(options, lr=config.learning_rate, foreach=True)


def rate_at(step: int, config: OptimizerConfig) -> float:
    """Learning rate of a step, before the scale of its group.

    A pure function of the step, so that a resumed run needs no state of it. `one_cycle` rises along
    a cosine for the warm-up, then falls along one to zero; `poly` falls as (1 - share done)^power,
    step by step (DiffusionMTL, as published, epoch by epoch).
    """
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "poly":
        return float(config.learning_rate * (1 - step / config.steps) ** config.power)
    rising = config.warmup * config.steps
    if step < rising:
        share = (1 - math.cos(math.pi * (step + 1) / (rising + 1))) / 2
    else:
        share = (1 + math.cos(math.pi * (step - rising) / max(config.steps - rising, 1))) / 2
    return config.learning_rate * share


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its scaled rate, or the one of its own."""
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] if "rate" in group else rate * group["scale"]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the model's; early steps move faster."""
    decay = min(decay, (1 + step) / (10 + step))
    theirs = model.state_dict()
    averaged: list[tuple[Tensor, Tensor]] = []
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            averaged.append((value, theirs[name]))
        else:
            value.copy_(theirs[name])
    # one call for all: hundreds of small ones cost more than the arithmetic
    torch._foreach_lerp_([a for a, _ in averaged], [b for _, b in averaged], 1 - decay)
