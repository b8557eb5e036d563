"""Losses that never look at what nobody labeled.

Shapes: B batch, K labeled images, C categories, H and W pixels. A target that is unknown is the
task's ignore value, NaN or -1; whatever stands under a pixel that does not count is replaced before
any arithmetic, so that not even NaN times zero can pass.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import Output
from goldseam.trainer.config import LossConfig
from goldseam.trainer.distributed import anywhere, total, world_size
from goldseam.trainer.reduction import Reduction, mean_over, within_images


def segmentation_loss(
    logits_KCHW: Tensor,
    target_KHW: Tensor,
    ignore: int,
    category_weights_C: Tensor | None = None,
    dice: float = 0.0,
    reduce: Reduction = mean_over,
) -> Tensor:
    """Cross-entropy, and optionally Dice, over pixels that are not ignored.

    Args:
        logits_KCHW: unnormalized scores.
        target_KHW: category ids.
        ignore: id of pixels that count for nothing.
        category_weights_C: weight of each category's pixels in the cross-entropy.
        dice: weight of 1 - mean Dice, over all images together, of the categories that occur.
        reduce: pixels to one number.
    """
    counted_KHW = target_KHW != ignore
    target_KHW = torch.where(counted_KHW, target_KHW, 0).long()
    loss_KHW = F.cross_entropy(logits_KCHW, target_KHW, reduction="none")
    weight_KHW = counted_KHW.to(loss_KHW)
    if category_weights_C is not None:
        weight_KHW = weight_KHW * category_weights_C.to(loss_KHW)[target_KHW]
    loss = reduce(loss_KHW, weight_KHW)
    if dice:
        loss = loss + dice * _dice_loss(logits_KCHW, target_KHW, counted_KHW)
    return loss


def _dice_loss(logits_KCHW: Tensor, target_KHW: Tensor, counted_KHW: Tensor) -> Tensor:
    probability_KCHW = logits_KCHW.softmax(dim=1) * counted_KHW[:, None]
    categories = logits_KCHW.shape[1]
    truth_KCHW = F.one_hot(target_KHW, categories).movedim(3, 1) * counted_KHW[:, None]
    axes = (0, 2, 3)
    overlap_C = total((probability_KCHW * truth_KCHW).sum(axes))
    size_C = total(probability_KCHW.sum(axes) + truth_KCHW.sum(axes))
    occurs_C = total(truth_KCHW.sum(axes).to(size_C)) > 0
    dice_C = 2 * overlap_C / size_C.clamp(min=1e-6)
    return ((1 - dice_C) * occurs_C).sum() / occurs_C.sum().clamp(min=1)


def boundary_loss(
    logits_KHW: Tensor,
    target_KHW: Tensor,
    ignore: int,
    positive: float = 1.0,
    reduce: Reduction = mean_over,
) -> Tensor:
    """Binary cross-entropy over pixels that are not ignored; `positive` weighs boundary pixels."""
    counted_KHW = target_KHW != ignore
    truth_KHW = torch.where(counted_KHW, target_KHW, 0).to(logits_KHW)
    loss_KHW = F.binary_cross_entropy_with_logits(
        logits_KHW, truth_KHW, reduction="none", pos_weight=logits_KHW.new_tensor(positive)
    )
    return reduce(loss_KHW, counted_KHW)


def saliency_loss(
    logits_KHW: Tensor,
    target_KHW: Tensor,
    ignore: int,
    *,
    balanced: bool = False,
    reduce: Reduction = mean_over,
) -> Tensor:
    """Binary cross-entropy over pixels that are not ignored.

    With `balanced`, a salient pixel weighs the share of the other pixels among those of its image
    that count, and another pixel the share of the salient ones; an image of one kind alone weighs
    nothing. The divisor stays the number of pixels. Source: DiffusionMTL, where two logits and a
    softmax say the same.
    """
    counted_KHW = target_KHW != ignore
    truth_KHW = torch.where(counted_KHW, target_KHW, 0).to(logits_KHW)
    loss_KHW = F.binary_cross_entropy_with_logits(logits_KHW, truth_KHW, reduction="none")
    if balanced:
        pixels_K = counted_KHW.sum(dim=(1, 2), keepdim=True).clamp(min=1)
        salient_K = truth_KHW.sum(dim=(1, 2), keepdim=True) / pixels_K
        loss_KHW = loss_KHW * torch.where(truth_KHW > 0, 1 - salient_K, salient_K)
    return reduce(loss_KHW, counted_KHW)


def regression_loss(
    standardized_KHW: Tensor,
    target_KHW: Tensor,
    center: float,
    spread: float,
    reduce: Reduction = mean_over,
) -> Tensor:
    """Absolute error in units of `spread`, over pixels whose target is finite."""
    counted_KHW = target_KHW.isfinite()
    target_KHW = torch.where(counted_KHW, (target_KHW - center) / spread, 0.0)
    return reduce((standardized_KHW - target_KHW).abs(), counted_KHW)


def tags_loss(logits_BC: Tensor, state_BC: Tensor, reduce: Reduction = mean_over) -> Tensor:
    """Binary cross-entropy over entries that are present (1) or absent (0); -1 is never read."""
    counted_BC = state_BC >= 0
    truth_BC = torch.where(counted_BC, state_BC, 0).to(logits_BC)
    loss_BC = F.binary_cross_entropy_with_logits(logits_BC, truth_BC, reduction="none")
    return reduce(loss_BC, counted_BC)


def normals_loss(
    normal_K3HW: Tensor,
    target_K3HW: Tensor,
    form: Literal["cosine", "l1"] = "cosine",
    reduce: Reduction = mean_over,
) -> Tensor:
    """Difference in direction over pixels whose target is finite; predictions have any length.

    Args:
        normal_K3HW: predicted vectors.
        target_K3HW: unit vectors.
        form: `cosine` is 1 - cosine; `l1` the absolute difference of the unit vectors, summed over
            their components.
        reduce: pixels to one number.
    """
    counted_KHW = target_K3HW.isfinite().all(dim=1)
    target_K3HW = torch.where(counted_KHW[:, None], target_K3HW, 0.0)
    if form == "l1":
        loss_KHW = (F.normalize(normal_K3HW, dim=1) - target_K3HW).abs().sum(dim=1)
    else:
        loss_KHW = 1 - F.cosine_similarity(normal_K3HW, target_K3HW, dim=1)
    return reduce(loss_KHW, counted_KHW)


class MultitaskLoss:
    """Every task's loss on its known labels; deep supervision also scores initial predictions.

    Args:
        tasks: what the model predicts.
        config: forms and weighting.
        values: regression task → (center, spread) of its known training values.
        deep_supervision: weight of the initial predictions' loss, given the share of the training
            that is done; or one weight for all of it.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        config: LossConfig,
        values: Mapping[str, tuple[float, float]],
        deep_supervision: Callable[[float], float] | float,
    ) -> None:
        self.tasks = tasks
        self.config = config
        self.values = values
        self.deep_supervision = deep_supervision

    def __call__(
        self,
        output: Output,
        targets: Mapping[str, Tensor],
        known: Mapping[str, Tensor],
        share: float = 0.0,
    ) -> dict[str, Tensor]:
        """The losses of a step by task, and `task.initial` for those before the denoiser.

        Args:
            output: of the model; its rows may hold images that are unlabeled, which do not count.
            targets: task → targets of the whole batch.
            known: task → bool B.
            share: of the training that is done, in [0, 1].
        """
        weight = self.deep_supervision
        weight = weight(share) if callable(weight) else weight
        present, complete, refined = self._present(output, targets, known)
        reduction = self._reductions(known)
        parts: dict[str, Tensor] = {}
        for task, initial in output.initial.items():
            if task not in present:
                continue
            rows = output.rows[task]
            # where another process has rows of this task and this one has none, it adds nothing to
            # the sums, from predictions of no image
            logits = [output.final.get(task, initial), initial] if refined else [initial]
            if task not in complete:
                labeled_K = known[task][rows]
                rows, logits = rows[labeled_K], [some[labeled_K] for some in logits]
            target, reduce = targets[task][rows], reduction(rows)
            parts[task] = self._dense(task, logits[0], target, reduce)
            if refined and weight:
                loss = self._dense(task, logits[1], target, reduce)
                parts[f"{task}.initial"] = weight * loss
        for task, logits_BC in output.tags.items():
            if task in present:
                state_BC = torch.where(known[task][:, None], targets[task], -1)
                rows = torch.arange(len(state_BC), device=state_BC.device)
                parts[task] = tags_loss(logits_BC.float(), state_BC, reduction(rows))
        # a batch may carry no label at all
        return parts or {"nothing": output.nothing()}

    def _present(
        self, output: Output, targets: Mapping[str, Tensor], known: Mapping[str, Tensor]
    ) -> tuple[set[str], set[str], bool]:
        """Tasks of which any process has something that counts; tasks labeled in all rows here.

        A label that is ignored or invalid in every pixel says nothing of its task, as no label
        would. The last says whether the model refined its predictions. A GPU is waited for once.
        """
        labeled = {task: known[task][rows] for task, rows in output.rows.items()}
        counted = {
            task: labeled_K & _says_something(self.tasks[task], targets[task][output.rows[task]])
            for task, labeled_K in labeled.items()
        }
        for task in output.tags:
            labeled[task] = known[task]
            counted[task] = known[task] & _says_something(self.tasks[task], targets[task])
        if not labeled:
            return set(), set(), False
        pairs = torch.stack(
            [torch.stack([counted[task].any(), labeled[task].all()]) for task in labeled]
        )
        some, every = zip(*pairs.tolist(), strict=True)
        *flags, refined = anywhere([*some, bool(output.final)])
        present = {task for task, flag in zip(labeled, flags, strict=True) if flag}
        return present, {task for task, flag in zip(labeled, every, strict=True) if flag}, refined

    def _reductions(self, known: Mapping[str, Tensor]) -> Callable[[Tensor], Reduction]:
        """Rows of a batch → how the losses of their pixels become one number."""
        if self.config.weighting == "label":
            return lambda _rows: mean_over
        labels_B = torch.stack([known[task] for task in self.tasks]).sum(dim=0)
        # an image without any label has no part; its share must be a number all the same
        labels_B = labels_B.clamp(min=1)
        images = len(labels_B) * world_size()
        return lambda rows: within_images(len(self.tasks) / (labels_B[rows] * images))

    def _dense(self, task: str, logits_KCHW: Tensor, target: Tensor, reduce: Reduction) -> Tensor:
        spec, config = self.tasks[task], self.config
        logits_KCHW = logits_KCHW.float()
        match spec.kind:
            case Kind.SEGMENTATION:
                weights = config.category_weights.get(task)
                return segmentation_loss(
                    logits_KCHW,
                    target,
                    spec.ignore,
                    None if weights is None else logits_KCHW.new_tensor(weights),
                    config.dice,
                    reduce,
                )
            case Kind.REGRESSION:
                center, spread = self.values.get(task, (0.0, 1.0))
                return regression_loss(logits_KCHW[:, 0], target, center, spread, reduce)
            case Kind.NORMALS:
                return normals_loss(logits_KCHW, target, config.normals, reduce)
            case Kind.SALIENCY:
                balanced = config.saliency == "balanced"
                return saliency_loss(
                    logits_KCHW[:, 0], target, spec.ignore, balanced=balanced, reduce=reduce
                )
            case _:
                return boundary_loss(
                    logits_KCHW[:, 0], target, spec.ignore, config.boundary_positive, reduce
                )


def _says_something(task: Task, target: Tensor) -> Tensor:
    """Whether any pixel or entry of each image's target counts: bool, one an image."""
    if task.kind is Kind.TAGS:
        counted = target >= 0
    elif task.kind is Kind.NORMALS:
        counted = target.isfinite().all(dim=1)
    elif task.kind is Kind.REGRESSION:
        counted = target.isfinite()
    else:
        counted = target != task.ignore
    return counted.flatten(1).any(dim=1)
