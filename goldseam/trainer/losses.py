"""Losses that never look at what nobody labeled.

Shapes: B batch, K labeled images, C categories, H and W pixels. A target that is unknown is the
task's ignore value, NaN or -1; whatever stands under a pixel that does not count is replaced before
any arithmetic, so that not even NaN times zero can pass.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import Output
from goldseam.trainer.config import LossConfig


def _mean_over(loss: Tensor, counted: Tensor) -> Tensor:
    """Mean over what counts; exactly 0, with zero gradient, when nothing does."""
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def segmentation_loss(
    logits_KCHW: Tensor,
    target_KHW: Tensor,
    ignore: int,
    category_weights_C: Tensor | None = None,
    dice: float = 0.0,
) -> Tensor:
    """Cross-entropy, and optionally Dice, over pixels that are not ignored.

    Args:
        logits_KCHW: unnormalized scores.
        target_KHW: category ids.
        ignore: id of pixels that count for nothing.
        category_weights_C: weight of each category's pixels in the cross-entropy.
        dice: weight of 1 - mean Dice over the categories that occur.
    """
    counted_KHW = target_KHW != ignore
    target_KHW = torch.where(counted_KHW, target_KHW, 0).long()
    loss_KHW = F.cross_entropy(logits_KCHW, target_KHW, reduction="none")
    weight_KHW = counted_KHW.to(loss_KHW)
    if category_weights_C is not None:
        weight_KHW = weight_KHW * category_weights_C.to(loss_KHW)[target_KHW]
    loss = (loss_KHW * weight_KHW).sum() / weight_KHW.sum().clamp(min=1e-6)
    if dice:
        loss = loss + dice * _dice_loss(logits_KCHW, target_KHW, counted_KHW)
    return loss


def _dice_loss(logits_KCHW: Tensor, target_KHW: Tensor, counted_KHW: Tensor) -> Tensor:
    probability_KCHW = logits_KCHW.softmax(dim=1) * counted_KHW[:, None]
    categories = logits_KCHW.shape[1]
    truth_KCHW = F.one_hot(target_KHW, categories).movedim(3, 1) * counted_KHW[:, None]
    axes = (0, 2, 3)
    overlap_C = (probability_KCHW * truth_KCHW).sum(axes)
    size_C = probability_KCHW.sum(axes) + truth_KCHW.sum(axes)
    occurs_C = truth_KCHW.sum(axes) > 0
    return _mean_over(1 - 2 * overlap_C / size_C.clamp(min=1e-6), occurs_C)


def boundary_loss(
    logits_KHW: Tensor, target_KHW: Tensor, ignore: int, positive: float = 1.0
) -> Tensor:
    """Binary cross-entropy over pixels that are not ignored; `positive` weighs boundary pixels."""
    counted_KHW = target_KHW != ignore
    truth_KHW = torch.where(counted_KHW, target_KHW, 0).to(logits_KHW)
    loss_KHW = F.binary_cross_entropy_with_logits(
        logits_KHW, truth_KHW, reduction="none", pos_weight=logits_KHW.new_tensor(positive)
    )
    return _mean_over(loss_KHW, counted_KHW)


def regression_loss(
    standardized_KHW: Tensor, target_KHW: Tensor, center: float, spread: float
) -> Tensor:
    """Absolute error in units of `spread`, over pixels whose target is finite."""
    counted_KHW = target_KHW.isfinite()
    target_KHW = torch.where(counted_KHW, (target_KHW - center) / spread, 0.0)
    return _mean_over((standardized_KHW - target_KHW).abs(), counted_KHW)


def tags_loss(logits_BC: Tensor, state_BC: Tensor) -> Tensor:
    """Binary cross-entropy over entries that are present (1) or absent (0); -1 is never read."""
    counted_BC = state_BC >= 0
    truth_BC = torch.where(counted_BC, state_BC, 0).to(logits_BC)
    loss_BC = F.binary_cross_entropy_with_logits(logits_BC, truth_BC, reduction="none")
    return _mean_over(loss_BC, counted_BC)


def normals_loss(normal_K3HW: Tensor, target_K3HW: Tensor) -> Tensor:
    """1 - cosine over pixels whose target is finite; predictions may have any length."""
    counted_KHW = target_K3HW.isfinite().all(dim=1)
    target_K3HW = torch.where(counted_KHW[:, None], target_K3HW, 0.0)
    cosine_KHW = F.cosine_similarity(normal_K3HW, target_K3HW, dim=1)
    return _mean_over(1 - cosine_KHW, counted_KHW)


class MultitaskLoss:
    """Every task's loss on its known labels; deep supervision also scores initial predictions."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        config: LossConfig,
        values: Mapping[str, tuple[float, float]],
        deep_supervision: float,
    ) -> None:
        self.tasks = tasks
        self.config = config
        self.values = values
        self.deep_supervision = deep_supervision

    def __call__(
        self, output: Output, targets: Mapping[str, Tensor], known: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The losses of a step by task, and `task.initial` for those before the denoiser.

        Args:
            output: of the model.
            targets: task → targets of the whole batch.
            known: task → bool B.
        """
        parts: dict[str, Tensor] = {}
        for task, logits in output.initial.items():
            rows = output.rows[task]
            if len(rows):
                target = targets[task][rows]
                if task in output.final:
                    parts[task] = self._dense(task, output.final[task], target)
                    parts[f"{task}.initial"] = self.deep_supervision * self._dense(
                        task, logits, target
                    )
                else:
                    parts[task] = self._dense(task, logits, target)
        for task, logits_BC in output.tags.items():
            state_BC = torch.where(known[task][:, None], targets[task], -1)
            parts[task] = tags_loss(logits_BC.float(), state_BC)
        # a batch may carry no label at all: its loss is 0, and so is its gradient
        anchor = sum(x.sum() for d in (output.initial, output.tags) for x in d.values()) * 0.0
        return parts or {"nothing": torch.as_tensor(anchor)}

    def _dense(self, task: str, logits_KCHW: Tensor, target: Tensor) -> Tensor:
        spec = self.tasks[task]
        logits_KCHW = logits_KCHW.float()
        if spec.kind is Kind.SEGMENTATION:
            weights = self.config.category_weights.get(task)
            return segmentation_loss(
                logits_KCHW,
                target,
                spec.ignore,
                None if weights is None else logits_KCHW.new_tensor(weights),
                self.config.dice,
            )
        if spec.kind is Kind.REGRESSION:
            center, spread = self.values.get(task, (0.0, 1.0))
            return regression_loss(logits_KCHW[:, 0], target, center, spread)
        if spec.kind is Kind.NORMALS:
            return normals_loss(logits_KCHW, target)
        return boundary_loss(logits_KCHW[:, 0], target, spec.ignore, self.config.boundary_positive)
