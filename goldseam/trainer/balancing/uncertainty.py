"""Weights from each task's own noise, learned as its likelihood would have it.

Source: Kendall, Gal and Cipolla, Multi-task learning using uncertainty to weigh losses, CVPR 2018.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from goldseam.dataset.schema import Kind, Task
from goldseam.trainer.balancing.fixed import Balance, SharedLayer
from goldseam.trainer.config import LossConfig

# exp(±8): a weight between 1/3000 and 3000; a task that is learned by heart would go on for ever
LIMIT = 8.0


class UncertaintyBalance(Balance):
    """The sum of exp(-s) loss + c s over the tasks of a step, with s learned for each task.

    It is the negative log-likelihood, without constants, of noise whose scale does not depend on
    the image:

    - categories (segmentation, boundary, saliency, tags): cross-entropy at temperature sigma²;
      s = log sigma², c = 1/2 (eq. 9 and 10 of the source, with its approximation of the softmax).
    - regression: the loss is an absolute error, so the noise is Laplace, with s = log b and c = 1;
      the Gaussian of the source (eq. 5 and 7) would go with a squared error.
    - normals by cosine: von Mises–Fisher with concentration exp(-s), where it is high; c = 1.
    - normals by absolute differences: three Laplace errors, taken as independent; c = 3.

    Losses of a task before the denoiser, or from a teacher, are added to its loss: they share s.
    """

    def __init__(self, config: LossConfig, tasks: Mapping[str, Task]) -> None:
        super().__init__(config)
        self.log_scale = nn.ParameterDict({task: torch.zeros(()) for task in tasks})
        self.factor = {name: _factor(task, config) for name, task in tasks.items()}

    def forward(self, losses: Mapping[str, Tensor], shared: SharedLayer | None = None) -> Tensor:
        """One number; a loss that is of no task counts as it is."""
        del shared
        parts = []
        for task, loss in self.by_task(losses).items():
            if task in self.factor:
                s = self.log_scale[task]
                parts.append(torch.exp(-s) * loss + self.factor[task] * s)
            else:
                parts.append(loss)
        return torch.stack(parts).sum()

    @torch.no_grad()
    def settle(self) -> None:
        """Keep every s within `LIMIT` of 0."""
        for s in self.log_scale.values():
            s.clamp_(-LIMIT, LIMIT)

    def weights(self) -> dict[str, float]:
        """Task → exp(-s)."""
        values = torch.stack(list(self.log_scale.values())).neg().exp().tolist()
        return dict(zip(self.log_scale, values, strict=True))


def _factor(task: Task, config: LossConfig) -> float:
    if task.kind is Kind.REGRESSION:
        return 1.0
    if task.kind is Kind.NORMALS:
        return 3.0 if config.normals == "l1" else 1.0
    return 0.5
