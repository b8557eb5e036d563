"""One of several processes: its share of a batch of tags under every label strategy.

Started by `torchrun` in `test_tag_strategies_processes.py`; it exits with 0 when losses, gradients
and memories equal those of one process that sees the whole batch.
"""

import sys

import torch

from goldseam.trainer import distributed
from goldseam.trainer import tag_strategies as options
from goldseam.trainer.tag_strategies.building import build_tag_loss
from goldseam.trainer.tag_strategies.states import TagContext

B, C, N, STEPS = 8, 5, 24, 12
STRATEGIES = (
    options.Ignore(),
    options.AssumeNegative(),
    options.Splc(epochs=3),
    options.LargeLoss(rate=0.07, epochs=3),
    options.LargeLoss(rate=0.07, epochs=3, mode="temporary"),
    options.LargeLoss(rate=0.07, epochs=3, mode="permanent"),
    options.Entropy(negatives=0.9, warmup=1, epochs=3, beta=1.0),
    options.ClassSelective(likeliest=1, epochs=3),
)


def run(strategy: options.TagStrategy, mine: slice) -> dict[str, torch.Tensor]:
    """What the rows of one process lead to, over some steps."""
    loss_of = build_tag_loss(strategy, categories=C, images=N)
    found: dict[str, torch.Tensor] = {}
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        # rounded, so that there are ties
        logits_BC = torch.randn(B, C, generator=generator).round(decimals=1)
        state_BC = torch.randint(-1, 2, (B, C), generator=generator)
        labeled_B = torch.rand(B, generator=generator) < 0.8
        labeled_B[: B // 2] &= step % 3 > 0  # sometimes a process has nothing
        rows_B = torch.randperm(N, generator=generator)[:B]
        leaf_BC = logits_BC[mine].clone().requires_grad_()
        context = TagContext(step, STEPS, rows_B[mine], labeled_B[mine])
        loss = loss_of(leaf_BC, state_BC[mine], context)
        loss.backward()
        found[f"loss {step}"] = loss.detach()
        assert leaf_BC.grad is not None
        found[f"gradient {step}"] = leaf_BC.grad / distributed.world_size()
    return found | {f"memory {name}": value for name, value in loss_of.state_dict().items()}


def main() -> int:
    """Compare; the number of differences is the exit code."""
    expected = [run(strategy, slice(0, B)) for strategy in STRATEGIES]
    faults = 0
    with distributed.joined(torch.device("cpu")):
        share = B // distributed.world_size()
        assert share < B
        mine = slice(distributed.rank() * share, (distributed.rank() + 1) * share)
        for strategy, whole in zip(STRATEGIES, expected, strict=True):
            for name, value in run(strategy, mine).items():
                wanted = whole[name][mine] if name.startswith("gradient") else whole[name]
                if not torch.allclose(value, wanted, rtol=1e-5, atol=1e-7, equal_nan=True):
                    print(f"{strategy!r} {name}: {value} {wanted}", flush=True)  # noqa: T201
                    faults += 1
    return min(faults, 100)


if __name__ == "__main__":
    sys.exit(main())
