"""What the denoiser of one task sees of all tasks, and known labels in place of predictions.

Shapes: B batch, K images of a task, C_t channels of task t's head, D feature channels, H and W
pixels of the image, h and w positions of the feature map.
"""

from collections.abc import Callable, Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.dataset.schema import Kind, Task
from goldseam.models.heads import take

# a given category or mask counts as a confident prediction: probability 0.993
GIVEN_LOGIT = 5.0

Labels = dict[str, tuple[Tensor, Tensor]]


class Condition(nn.Conv2d):
    """The maps of all tasks, side by side, through one convolution.

    Args:
        channels: task → channels of its map, in the order of the channels.
        width: channels of the result.
        marks: whether a channel a task says where its label was given.
    """

    def __init__(self, channels: Mapping[str, int], width: int, *, marks: bool) -> None:
        super().__init__(
            sum(channels.values()) + (len(channels) if marks else 0), width, 3, padding=1
        )
        self.marks = marks

    def combine(
        self, maps: Mapping[str, Tensor], labels: Labels, without: Collection[str]
    ) -> Tensor:
        """The condition, `B D h w`.

        Args:
            maps: task → `B C_t h w`, of every task.
            labels: task → (label as such a map, bool `B 1 h w` where it is given).
            without: tasks whose channels are zero: what they contribute can be seen that way.
        """
        parts: list[Tensor] = []
        marks: list[Tensor] = []
        for task, map_BChw in maps.items():
            mark_B1hw = torch.zeros_like(map_BChw[:, :1])
            if task in without:
                parts.append(torch.zeros_like(map_BChw))
            elif task in labels:
                label_BChw, given_B1hw = labels[task]
                parts.append(torch.where(given_B1hw, label_BChw.to(map_BChw), map_BChw))
                mark_B1hw = given_B1hw.to(map_BChw)
            else:
                parts.append(map_BChw)
            marks.append(mark_B1hw)
        condition_BDhw: Tensor = self(torch.cat(parts + marks if self.marks else parts, dim=1))
        return condition_BDhw


def condition_queries(
    tokens_of: Callable[[Mapping[str, Tensor], Labels], Tensor],
    maps: Mapping[str, Tensor],
    labels: Labels,
    rows: Mapping[str, Tensor | None],
) -> dict[str, Tensor]:
    """What the condition says to each task on its images.

    A task never sees its own label, which it would learn to copy: where one is given, the condition
    is made for this task alone. Otherwise all tasks share one.

    Args:
        tokens_of: (maps, labels) → tokens `K E h w`.
        maps: task → `B C_t h w`.
        labels: task → what stands in its place; see `Condition.combine`.
        rows: task → positions K of its images; None means all.
    """
    queries: dict[str, Tensor] = {}
    shared_BEhw: Tensor | None = None
    for task, rows_K in rows.items():
        if task in labels:
            mine = {name: take(map_BChw, rows_K) for name, map_BChw in maps.items()}
            others = {
                name: (take(label_BChw, rows_K), take(given_B1hw, rows_K))
                for name, (label_BChw, given_B1hw) in labels.items()
                if name != task
            }
            queries[task] = tokens_of(mine, others)
        else:
            shared_BEhw = tokens_of(maps, labels) if shared_BEhw is None else shared_BEhw
            queries[task] = take(shared_BEhw, rows_K)
    return queries


def label_map(
    task: Task,
    target: Tensor,
    *,
    channels: int,
    size: tuple[int, int],
    scale: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """A label as the prediction that it would be.

    Args:
        task: whose label.
        target: `B H W`, of normals `B 3 H W`; the ignore value, or NaN, where it is unknown.
        channels: C_t.
        size: (h, w); the nearest pixel is taken.
        scale: (center, spread) of a regression task.

    Returns:
        The map `B C_t h w`, 0 where nothing is known, and bool `B 1 h w` where something is.
    """
    target_BChw = target if target.ndim == 4 else target[:, None]
    target_BChw = F.interpolate(target_BChw.float(), size=size, mode="nearest-exact")
    if task.kind in (Kind.REGRESSION, Kind.NORMALS):
        given_B1hw = target_BChw.isfinite().all(dim=1, keepdim=True)
        label_BChw = torch.where(given_B1hw, target_BChw, 0.0)
        if task.kind is Kind.REGRESSION:
            center, spread = scale
            label_BChw = torch.where(given_B1hw, (label_BChw - center) / spread, 0.0)
        return label_BChw, given_B1hw
    given_B1hw = target_BChw != task.ignore
    category_Bhw = torch.where(given_B1hw, target_BChw, 0.0)[:, 0].long()
    if channels == 1:
        logit_B1hw = GIVEN_LOGIT * (2.0 * category_Bhw[:, None] - 1)
        return torch.where(given_B1hw, logit_B1hw, 0.0), given_B1hw
    one_hot_BChw = F.one_hot(category_Bhw, channels).movedim(3, 1)
    # the logits of a softmax: centered, so that no category stands out where nothing is given
    logit_BChw = GIVEN_LOGIT * (one_hot_BChw - 1 / channels)
    return torch.where(given_B1hw, logit_BChw, 0.0), given_B1hw


def label_maps(
    tasks: Mapping[str, tuple[Task, tuple[float, float]]],
    given: Mapping[str, Tensor],
    maps: Mapping[str, Tensor],
) -> Labels:
    """Each given label as the map of its task.

    Args:
        tasks: of those given, with the (center, spread) of regression.
        given: task → target; see `label_map`.
        maps: task → the map in whose place it stands.
    """
    labels: Labels = {}
    for name, (task, scale) in tasks.items():
        channels, *size = maps[name].shape[1:]
        target = given[name].to(maps[name].device)
        labels[name] = label_map(
            task, target, channels=channels, size=(size[0], size[1]), scale=scale
        )
    return labels


def draw_given(
    tasks: Mapping[str, Task],
    targets: Mapping[str, Tensor],
    known: Mapping[str, Tensor],
    probability: float,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Targets of which each known label stays with a probability; the others become unknown.

    One number is drawn for each image and task, labeled or not: what is labeled shifts nothing.

    Args:
        tasks: the dense tasks.
        targets: task → target, as in a batch; unknown ones are never read.
        known: task → bool B.
        probability: of staying.
        generator: source of the draws; None keeps every known label.
    """
    given: dict[str, Tensor] = {}
    for name, task in tasks.items():
        stays_B = known[name]
        if generator is not None:
            drawn_B = torch.rand(len(stays_B), generator=generator, device=generator.device)
            stays_B = stays_B & (drawn_B < probability).to(stays_B.device)
        target = targets[name]
        floating = task.kind in (Kind.REGRESSION, Kind.NORMALS)
        unknown = float("nan") if floating else task.ignore
        given[name] = torch.where(
            stays_B.reshape(-1, *[1] * (target.ndim - 1)).to(target.device),
            target,
            torch.full_like(target, unknown),
        )
    return given
