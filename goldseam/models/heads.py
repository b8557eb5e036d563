"""A dense task's own layers, and what they say of labeled and of other images.

Shapes: B batch, K labeled images of a task, C channels of its head, D feature channels, h and w
positions of the feature map.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from goldseam.models.layers import ResidualBlock

Rows = tuple[Tensor | None, Tensor | None]


@dataclasses.dataclass
class Start:
    """What a task's own layers say before the denoiser.

    Attributes:
        rows_K: positions of the images that were computed with gradients; None means all.
        features_KDhw: of these images.
        raw_KChw: output of the head on them.
        map_BDhw: what every image gives to the condition: outputs of the head, or features; None
            where nothing asks for it.
    """

    rows_K: Tensor | None
    features_KDhw: Tensor
    raw_KChw: Tensor
    map_BDhw: Tensor | None


def known_rows(
    known: Mapping[str, Tensor] | None, tasks: Sequence[str], device: torch.device
) -> dict[str, Rows]:
    """Positions of each task's known and of its other images; (None, None) where all are known.

    The masks go to the CPU together: a GPU is waited for once, not once a task.

    Args:
        known: task → bool B; None means all.
        tasks: which.
        device: of the positions.
    """
    if known is None or not tasks:
        return dict.fromkeys(tasks, (None, None))
    known_TB = torch.stack([known[task] for task in tasks]).cpu()
    return {
        task: (None, None)
        if bool(known_B.all())
        else (known_B.nonzero()[:, 0].to(device), (~known_B).nonzero()[:, 0].to(device))
        for task, known_B in zip(tasks, known_TB, strict=True)
    }


class TaskHeads(nn.Module):
    """A dense task's own decoder, and the 1x1 head of its initial prediction."""

    def __init__(self, width: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.decoder = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.head = nn.Conv2d(width, channels, 1)

    def start(
        self,
        shared_BDhw: Tensor,
        rows_K: Tensor | None,
        others: Tensor | None,
        *,
        wanted: Literal["predictions", "features", "none"],
        detach: bool,
    ) -> Start:
        """Features and head on the known images, and the condition's map of all images.

        Exact, since GroupNorm keeps images apart: images without a label get no gradient anyway,
        unless the condition lets it through.

        Args:
            shared_BDhw: the shared decoder's map.
            rows_K: positions of known images; None means all.
            others: those of the other images.
            wanted: what the condition takes.
            detach: whether it is cut from the gradient.
        """
        everywhere = wanted != "none" and not detach
        some = rows_K is not None and not everywhere
        features = self.decoder(shared_BDhw[rows_K] if some else shared_BDhw)
        raw = self.head(features)
        if wanted == "none":
            return Start(rows_K, features, raw, None)
        mine = raw if wanted == "predictions" else features
        if everywhere:
            return Start(rows_K, take(features, rows_K), take(raw, rows_K), mine)
        if rows_K is None:
            return Start(None, features, raw, mine.detach())
        with torch.no_grad():
            rest = self.decoder(shared_BDhw[others])
            rest = self.head(rest) if wanted == "predictions" else rest
            map_BDhw = mine.new_empty((len(shared_BDhw), *mine.shape[1:]))
            map_BDhw[rows_K] = mine.detach()
            map_BDhw[others] = rest
        return Start(rows_K, features, raw, map_BDhw)


def take(x: Tensor, rows_K: Tensor | None) -> Tensor:
    """Some images of a batch; the same tensor where all are meant."""
    return x if rows_K is None else x[rows_K]
