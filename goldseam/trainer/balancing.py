"""How the losses of many tasks become one number."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from goldseam.trainer.config import LossConfig


class FixedBalance(nn.Module):
    """The sum of weight times loss; a task that is not named has weight 1."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.weights = config.weights

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """One number; `losses` holds at least one."""
        weighted = [
            self.weights.get(name.partition(".")[0], 1.0) * loss for name, loss in losses.items()
        ]
        return torch.stack(weighted).sum()
