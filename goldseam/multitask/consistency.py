"""Predictions of two tasks must agree where a derivation relates them.

Shapes: B images of the batch, K images that a relation is read on, H and W pixels. A derivation
turns labels of its source into labels of its target (`goldseam.dataset.derivation`); here the
relation is used the other way round, from a label of the target to the prediction of the source,
and between two predictions. Source: the cross-task consistency of Zamir et al. 2020, with the
relations known in closed form instead of learned.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.dataset.derivation.boundaries import NO_BOUNDARY
from goldseam.dataset.derivation.normals import camera_signs, half_tangent, largest_bend
from goldseam.dataset.schema import Derivation, Task
from goldseam.multitask.geometry import INNER, category_change, same_direction, surface_normals
from goldseam.multitask.terms import Seen, counted_mean, ramp, union
from goldseam.trainer.objective import StepContext

if TYPE_CHECKING:
    from goldseam.multitask.config import ConsistencyConfig

# a label's normals turn less than this from a pixel to its neighbors where no edge is between them
SMOOTH = math.cos(math.radians(15.0))
# predictions are rougher than labels: a bend this many times larger still counts as a surface
ROUGHER = 8.0
# smallest predicted depth that is a depth, as a part of the center of the known values
NEAREST = 0.05

# (predictions, derivation, chosen images, their labels of the target) → loss; the second without
WithLabel = Callable[[Seen, Derivation, Tensor, Tensor], Tensor]
WithPrediction = Callable[[Seen, Derivation, Tensor], Tensor]


class Consistency:
    """Losses of derivations, on images whose label of the source is unknown.

    With the target's label (`labels`): predicted depth must have the known normals, wherever these
    show no edge and the prediction is no step; predicted regions must not change where the label
    says that no boundary is. Between predictions (`predictions`), where neither label is known: the
    normals of predicted depth must be the predicted normals, on predicted surfaces; where predicted
    regions change, a boundary must be as likely.

    Args:
        config: weight, and against what.
        derivations: those of other rules say nothing here.
        tasks: of the model, by name.
    """

    suffix = "consistency"

    def __init__(
        self,
        config: "ConsistencyConfig",
        derivations: Sequence[Derivation],
        tasks: Mapping[str, Task],
    ) -> None:
        self.config = config
        self.tasks = tasks
        self.derivations = [
            rule
            for rule in derivations
            if rule.rule in RELATIONS and rule.source in tasks and rule.target in tasks
        ]

    def images(self, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Images of each relation's tasks whose predictions it reads."""
        wanted: dict[str, Tensor] = {}
        for rule in self.derivations:
            labeled_B, neither_B = self._chosen(rule, known)
            wanted = union(wanted, {rule.source: labeled_B | neither_B, rule.target: neither_B})
        return wanted

    def losses(self, seen: Seen, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """`source.consistency` and `target.consistency`, summed over relations."""
        weight = self.config.weight * ramp(context.share, self.config.ramp)
        found: dict[str, Tensor] = {}
        for rule in self.derivations:
            labeled_B, neither_B = self._chosen(rule, batch.known)
            with_label, with_prediction = RELATIONS[rule.rule]
            if bool(labeled_B.any()):
                label_K = batch.targets[rule.target][labeled_B]
                value = weight * with_label(seen, rule, labeled_B, label_K)
                name = f"{rule.source}.{self.suffix}"
                found[name] = found[name] + value if name in found else value
            if bool(neither_B.any()):
                value = weight * with_prediction(seen, rule, neither_B)
                name = f"{rule.target}.{self.suffix}"
                found[name] = found[name] + value if name in found else value
        return found

    def _chosen(self, rule: Derivation, known: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Images with a label of the target only, and images with neither label."""
        source_B, target_B = known[rule.source], known[rule.target]
        labeled_B, neither_B = ~source_B & target_B, ~source_B & ~target_B
        none_B = torch.zeros_like(source_B)
        against = self.config.against
        return (
            none_B if against == "predictions" else labeled_B,
            none_B if against == "labels" else neither_B,
        )


def _depth(seen: Seen, task: str, chosen_B: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted depth, at least the nearest that counts, and where it is farther than that."""
    center, spread = seen.model.preprocessing.scale_of(task)
    depth_KHW = seen.logits(task, chosen_B)[:, 0] * spread + center
    nearest = NEAREST * abs(center) or NEAREST
    return depth_KHW.clamp(min=nearest), depth_KHW.detach() > nearest


def _surface(seen: Seen, rule: Derivation, chosen_B: Tensor) -> tuple[Tensor, Tensor]:
    """Normals of predicted depth in the target's axes, and where the prediction is a surface."""
    depth_KHW, is_depth_KHW = _depth(seen, rule.source, chosen_B)
    normal, bend = surface_normals(depth_KHW, rule.field_of_view)
    limit = ROUGHER * largest_bend(depth_KHW.shape[-1], half_tangent(rule.field_of_view))
    signs = normal.new_tensor(camera_signs(seen.model.tasks[rule.target].axes))
    return normal * signs[:, None, None], is_depth_KHW[INNER] & (bend.detach() < limit)


def _depth_to_label(seen: Seen, rule: Derivation, chosen_B: Tensor, label_K3HW: Tensor) -> Tensor:
    """1 - cosine between the normals of predicted depth and the label, where that shows no edge."""
    normal, is_surface = _surface(seen, rule, chosen_B)
    counted = is_surface & same_direction(label_K3HW, SMOOTH)
    truth = torch.where(counted[:, None], label_K3HW[INNER], 0.0)
    return counted_mean(1 - (normal * truth).sum(dim=1), counted)


def _depth_to_normals(seen: Seen, rule: Derivation, chosen_B: Tensor) -> Tensor:
    """1 - cosine between the normals of predicted depth and the predicted normals."""
    normal, is_surface = _surface(seen, rule, chosen_B)
    predicted = seen.logits(rule.target, chosen_B)[INNER]
    return counted_mean(1 - torch.cosine_similarity(normal, predicted, dim=1), is_surface)


def _regions_to_label(seen: Seen, rule: Derivation, chosen_B: Tensor, label_KHW: Tensor) -> Tensor:
    """-log of the probability that neighbors with no boundary between them are of one category."""
    none_KHW = label_KHW == NO_BOUNDARY
    right, lower = category_change(seen.logits(rule.source, chosen_B))
    loss = torch.cat([-right.flatten(1), -lower.flatten(1)], dim=1)
    counted = torch.cat([none_KHW[..., :-1].flatten(1), none_KHW[..., :-1, :].flatten(1)], dim=1)
    return counted_mean(loss, counted)


def _regions_to_boundary(seen: Seen, rule: Derivation, chosen_B: Tensor) -> Tensor:
    """Squared amount by which a change of category is more likely than a boundary."""
    right, lower = category_change(seen.logits(rule.source, chosen_B))
    boundary_KHW = seen.logits(rule.target, chosen_B)[:, 0].sigmoid()
    excess = torch.cat(
        [
            (1 - right.exp() - boundary_KHW[..., :-1]).flatten(1),
            (1 - lower.exp() - boundary_KHW[..., :-1, :]).flatten(1),
        ],
        dim=1,
    )
    return excess.clamp(min=0).square().mean()


# rule → relation with a label of the target, and relation between two predictions
RELATIONS: dict[str, tuple[WithLabel, WithPrediction]] = {
    "normals_from_depth": (_depth_to_label, _depth_to_normals),
    "boundary_from_segmentation": (_regions_to_label, _regions_to_boundary),
}
