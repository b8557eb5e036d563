"""Losses that never look at what nobody labeled.

Shapes: B batch, K labeled images, C categories, H and W pixels. A target that is unknown is the
task's ignore value, NaN or -1; whatever stands under a pixel that does not count is replaced before
any arithmetic, so that not even NaN times zero can pass.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import Output
from goldseam.trainer.config import LossConfig
from goldseam.trainer.distributed import anywhere, total, world_size
from goldseam.trainer.reduction import Reduction, mean_over, within_images
from goldseam.trainer.tag_strategies.building import build_tag_loss
from goldseam.trainer.tag_strategies.states import TagContext
from goldseam.trainer.tag_strategies.strategy import TagLoss


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


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in a training a batch stands.

    Attributes:
        step: steps done before this one.
        steps: of the whole training.
        image_ids: of the batch.
    """

    step: int = 0
    steps: int = 1
    image_ids: Sequence[str] = ()


class MultitaskLoss:
    """Every task's loss on its known labels; deep supervision also scores initial predictions.

    Tags that nobody labeled may count as well, where the configuration has a strategy for them.

    Args:
        tasks: what the model predicts.
        config: forms and weighting.
        values: regression task → (center, spread) of its known training values.
        deep_supervision: weight of the initial predictions' loss, given the share of the training
            that is done; or one weight for all of it.
        image_ids: of all training images; only strategies that remember images ask for them.

    Attributes:
        memory: what strategies remember of the images; to be saved with the training.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        config: LossConfig,
        values: Mapping[str, tuple[float, float]],
        deep_supervision: Callable[[float], float] | float,
        image_ids: Sequence[str] = (),
    ) -> None:
        self.tasks = tasks
        self.config = config
        self.values = values
        self.deep_supervision = deep_supervision
        self._row_of = {name: row for row, name in enumerate(image_ids)}
        self._tag_losses: dict[str, TagLoss] = {
            name: build_tag_loss(
                config.tags, categories=len(task.categories), images=len(self._row_of)
            )
            for name, task in tasks.items()
            if task.kind is Kind.TAGS
        }
        # a list, since a task may have a name that a dictionary of modules does not take
        self.memory = nn.ModuleList(self._tag_losses.values())

    def __call__(
        self,
        output: Output,
        targets: Mapping[str, Tensor],
        known: Mapping[str, Tensor],
        share: float = 0.0,
        place: Place | None = None,
    ) -> dict[str, Tensor]:
        """The losses of a step by task, and `task.initial` for those before the denoiser.

        Args:
            output: of the model; its rows may hold images that are unlabeled, which do not count.
            targets: task → targets of the whole batch.
            known: task → bool B.
            share: of the training that is done, in [0, 1].
            place: where in the training the batch stands; only label strategies ask for it.
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
                context = self._tag_context(task, known[task], place or Place())
                rows = torch.arange(len(logits_BC), device=logits_BC.device)
                parts[task] = self._tag_losses[task](
                    logits_BC, targets[task], context, reduction(rows)
                )
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
            counted[task] = known[task]
            if not self._tag_losses[task].counts_unknown:
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

    def _tag_context(self, task: str, known_B: Tensor, place: Place) -> TagContext:
        rows_B = None
        if self._tag_losses[task].needs_rows and self._row_of and place.image_ids:
            rows = [self._row_of[name] for name in place.image_ids]
            rows_B = torch.tensor(rows, device=known_B.device)
        return TagContext(place.step, place.steps, rows_B, labeled_B=known_B)

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
