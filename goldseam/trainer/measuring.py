"""What a training step says of itself, read from the device only when somebody wants to know."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.errors import GoldseamError
from goldseam.trainer.balancing import Balance
from goldseam.trainer.devices import peak_memory_mib
from goldseam.trainer.distributed import world_size


class Diverged(GoldseamError):
    """The loss of a training has left the finite numbers, and with it the weights."""

    def __init__(self, what: str, step: int, name: str) -> None:
        super().__init__(
            f"{what}: after step {step}, '{name}' is no finite number; training cannot go on.",
            remedy="Lower optimizer.learning_rate or optimizer.gradient_clip, or compute in "
            "loop.precision: fp32.",
        )


def require_finite(what: str, step: int, measured: Mapping[str, float | None]) -> None:
    """End a training whose numbers are infinite or NaN: every later step would be lost.

    Args:
        what: name of the training.
        step: steps done.
        measured: see `StepNumbers.measured`; None is no number.

    Raises:
        Diverged: names the first such number.
    """
    for name, value in measured.items():
        if value is not None and not math.isfinite(value):
            raise Diverged(what, step, name)


@dataclasses.dataclass(frozen=True)
class StepNumbers:
    """Numbers of one step; tensors stay where they are until `measured`.

    Attributes:
        loss: what was minimized.
        losses: its parts, before any weight.
        gradient_norm: L2, before clipping.
        learning_rate: of new weights.
        cosines: between the gradients of two tasks; empty where they were not asked for.
    """

    loss: Tensor
    losses: dict[str, Tensor]
    gradient_norm: Tensor
    learning_rate: float
    cosines: dict[str, float | None]

    def measured(self, balance: Balance) -> dict[str, float | None]:
        """Under the names `loss`, `loss.<name>`, `weight.<task>` and so on."""
        parts = torch.stack([self.loss, self.gradient_norm, *self.losses.values()]).tolist()
        found: dict[str, float | None] = {"loss": parts[0]}
        found |= {f"loss.{name}": part for name, part in zip(self.losses, parts[2:], strict=True)}
        found |= {"gradient_norm": parts[1], "learning_rate": self.learning_rate}
        found |= {f"weight.{task}": weight for task, weight in balance.weights().items()}
        return found | self.cosines


class Speed:
    """Images a second in training steps, since it was last asked.

    Attributes:
        last: seconds of the last step.
    """

    def __init__(self) -> None:
        self.last = 0.0
        self._seconds = 0.0
        self._images = 0

    @contextlib.contextmanager
    def step(self, batch: Batch) -> Iterator[None]:
        """Count a step that takes a batch of this process."""
        began = time.perf_counter()
        yield
        self.last = time.perf_counter() - began
        self._seconds += self.last
        self._images += len(batch) * world_size()

    def measured(self, device: torch.device) -> dict[str, float | None]:
        """`images_per_second` over all processes, and `memory_mib` of this one at its peak."""
        rate = self._images / self._seconds if self._seconds else None
        self._seconds, self._images = 0.0, 0
        return {"images_per_second": rate, "memory_mib": peak_memory_mib(device)}
