"""What every balance is, and the one whose weights stay as they were given."""

import abc
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from goldseam.trainer.config import LossConfig

# finds the weight of the last layer that all tasks share; it is asked for only where it is needed
SharedLayer = Callable[[], nn.Parameter]


def task_of(name: str) -> str:
    """The task of a loss: `depth.initial` is one of `depth`."""
    return name.partition(".")[0]


def summed_by_task(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Task → the sum of its losses: `depth` and `depth.initial` are both of `depth`."""
    sums: dict[str, Tensor] = {}
    for name, loss in losses.items():
        task = task_of(name)
        sums[task] = sums[task] + loss if task in sums else loss
    return sums


class Balance(nn.Module, abc.ABC):
    """Makes the losses of a step one number; what it learns are its parameters.

    A task that a step has no loss of is left alone: its weight neither counts nor changes.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.given = config.weights

    @abc.abstractmethod
    def forward(self, losses: Mapping[str, Tensor], shared: SharedLayer | None = None) -> Tensor:
        """One number to minimize.

        Args:
            losses: by name, at least one; see `goldseam.trainer.objective.Objective`.
            shared: finds the layer on which gradients are compared.
        """

    def settle(self) -> None:
        """Bring the parameters back into their range after an optimizer step."""

    def weights(self) -> dict[str, float]:
        """Task → the factor that its loss has now; empty where nothing is learned."""
        return {}

    def weighted(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each loss times the weight that was given for its task; 1 where none was."""
        return {name: self.given.get(task_of(name), 1.0) * loss for name, loss in losses.items()}

    def by_task(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Task → the sum of its losses, with the weight that was given for it."""
        return summed_by_task(self.weighted(losses))


class FixedBalance(Balance):
    """The sum of weight times loss."""

    def forward(self, losses: Mapping[str, Tensor], shared: SharedLayer | None = None) -> Tensor:
        """One number; `losses` holds at least one."""
        del shared
        return torch.stack(list(self.weighted(losses).values())).sum()
