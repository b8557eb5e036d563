"""What each task wants of the last layer that all tasks share.

Shapes: T losses, P elements of that layer's weight.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from goldseam.models.multitask import MultitaskModel
from goldseam.trainer.balancing.fixed import summed_by_task
from goldseam.trainer.distributed import total, world_size


class LastSharedLayer:
    """The weight of the shared decoder's last convolution; found by running it once.

    Every dense task reads that layer's output and nothing else of the shared network.
    """

    def __init__(self, model: MultitaskModel) -> None:
        self.model = model
        self._found: nn.Parameter | None = None

    def __call__(self, images_B3HW: Tensor) -> nn.Parameter:
        """The weight.

        Args:
            images_B3HW: any images of the model's size.
        """
        if self._found is None:
            self._found = self._run(images_B3HW[:1])
        return self._found

    @torch.no_grad()
    def _run(self, images_B3HW: Tensor) -> nn.Parameter:
        ran: list[nn.Conv2d] = []

        def note(module: nn.Module, _inputs: object, _output: object) -> None:
            if isinstance(module, nn.Conv2d):
                ran.append(module)

        hooks = [
            module.register_forward_hook(note)
            for module in self.model.decoder.modules()
            if isinstance(module, nn.Conv2d)
        ]
        training = self.model.training
        self.model.eval()
        try:
            # what is compiled would not call the hooks
            with torch.compiler.set_stance("force_eager"):
                self.model.shared_features(images_B3HW)
        finally:
            self.model.train(training)
            for hook in hooks:
                hook.remove()
        return cast("nn.Parameter", ran[-1].weight)


def task_gradients(losses: Sequence[Tensor], layer: nn.Parameter) -> Tensor:
    """Gradient of each loss by a layer's weight, `T P`, as the mean over processes.

    Graphs are kept; a loss that does not reach the layer has gradient 0.
    """
    found_TP = torch.stack(
        [
            torch.autograd.grad(loss, layer, retain_graph=True, materialize_grads=True)[0].flatten()
            for loss in losses
        ]
    )
    return total(found_TP.detach()) / world_size()


def gradient_cosines(losses: Mapping[str, Tensor], layer: nn.Parameter) -> dict[str, float | None]:
    """`cosine.a.b` for each pair of tasks: 1 where they pull alike, -1 where they fight.

    None where one of the two has no gradient. Losses of one task (`depth`, `depth.initial`) are
    added.
    """
    sums = summed_by_task(losses)
    gradient_TP = task_gradients(list(sums.values()), layer).double()
    product_TT = (gradient_TP @ gradient_TP.T).tolist()
    tasks = list(sums)
    found: dict[str, float | None] = {}
    for i, first in enumerate(tasks):
        for j, second in enumerate(tasks[:i]):
            size = math.sqrt(product_TT[i][i] * product_TT[j][j])
            found[f"cosine.{second}.{first}"] = product_TT[i][j] / size if size else None
    return found
