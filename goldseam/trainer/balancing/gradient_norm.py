"""Weights under which all tasks pull at the shared layers with like strength.

Source: Chen et al., GradNorm: gradient normalization for adaptive loss balancing, ICML 2018.
Shapes: T tasks of a step, P elements of the last shared layer's weight.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from goldseam.dataset.schema import Task
from goldseam.trainer.balancing.fixed import Balance, SharedLayer
from goldseam.trainer.balancing.gradients import task_gradients
from goldseam.trainer.config import LossConfig

LEAST = 1e-3


class GradientNormBalance(Balance):
    """The sum of w loss, with w learned so that |w gradient| follows the tasks' training rates.

    The gradient of a task's loss by the last shared layer has norm g. The target of w g is the mean
    over tasks times r^alpha, where r is the task's loss, relative to its first one and to the mean
    over tasks (eq. 1 of the source). The weights descend on |w g - target| with the target held
    fixed (eq. 2), through the optimizer of the run, at a rate of their own.

    Batches of partial labels lack tasks. Only those that are there are compared; their weights are
    then scaled to the sum that they had before, so that all weights together keep the sum T and an
    absent task its own. Every task starts with weight 1. A first loss is that of the first batch
    in which the task has one above 0; until then its rate counts as the mean.
    """

    def __init__(self, config: LossConfig, tasks: Mapping[str, Task]) -> None:
        super().__init__(config)
        self.alpha = config.gradient_norm_alpha
        self.weight = nn.ParameterDict({task: torch.ones(()) for task in tasks})
        # the first loss of each task, in their order; NaN until there is one
        self.register_buffer("first", torch.full((len(tasks),), torch.nan))
        self._changing: dict[str, float] = {}

    first: Tensor

    def forward(self, losses: Mapping[str, Tensor], shared: SharedLayer | None = None) -> Tensor:
        """One number; a loss that is of no task counts as it is, and so do all without gradients.

        The gradients of the weights are those of GradNorm's own loss, not of this number.
        """
        parts = self.by_task(losses)
        compared = {task: loss for task, loss in parts.items() if task in self.weight}
        self._changing = {}
        if shared is not None and len(compared) > 1 and torch.is_grad_enabled():
            self._set_gradients(compared, shared())
        weighted = [
            self.weight[task].detach() * loss if task in compared else loss
            for task, loss in parts.items()
        ]
        return torch.stack(weighted).sum()

    def _set_gradients(self, losses: Mapping[str, Tensor], layer: nn.Parameter) -> None:
        norm_T = task_gradients(list(losses.values()), layer).norm(dim=1)
        order = list(self.weight)
        place_T = torch.tensor([order.index(task) for task in losses], device=layer.device)
        with torch.no_grad():
            loss_T = torch.stack([loss.detach() for loss in losses.values()]).float()
            first_T = self.first[place_T]
            first_T = torch.where(first_T.isnan() & (loss_T > 0), loss_T, first_T)
            self.first[place_T] = first_T
            weight_T = torch.stack([self.weight[task] for task in losses])
            progress_T = loss_T / first_T
            rate_T = (progress_T / progress_T.nanmean().clamp(min=1e-12)).nan_to_num(1.0)
            target_T = (weight_T * norm_T).mean() * rate_T**self.alpha
            slope_T = torch.sign(weight_T * norm_T - target_T) * norm_T
        for task, slope in zip(losses, slope_T, strict=True):
            self.weight[task].grad = slope.clone()
        self._changing = dict(zip(losses, weight_T.tolist(), strict=True))

    @torch.no_grad()
    def settle(self) -> None:
        """Give the weights that changed the sum that they had before."""
        if not self._changing:
            return
        changed = [self.weight[task].clamp_(min=LEAST) for task in self._changing]
        scale = sum(self._changing.values()) / torch.stack(changed).sum()
        for weight in changed:
            weight.mul_(scale)

    def weights(self) -> dict[str, float]:
        """Task → its weight."""
        values = torch.stack(list(self.weight.values())).tolist()
        return dict(zip(self.weight, values, strict=True))
