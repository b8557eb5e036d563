"""What every task starts from: encoder, shared decoder, one small decoder and a head a task.

Shapes: B batch, D feature channels, H and W pixels, h and w positions of the feature map, Z pooled
features of the tags head. Dense tasks are segmentation, boundary, saliency, regression and normals.
"""

from collections.abc import Collection, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig, closest
from goldseam.models.config import ModelConfig
from goldseam.models.decoder import ConcatDecoder, build_decoder
from goldseam.models.encoder import build_encoder
from goldseam.models.heads import Start, TaskHeads, known_rows
from goldseam.models.outputs import DENSE, Preprocessing, head_channels


class InitialNetwork(nn.Module):
    """Encoder, shared decoder, and the own layers of each task.

    Args:
        config: the architecture.
        tasks: what to predict, by name.
        preprocessing: of pixels and regression values.
        pretrained: whether a backbone that has weights of its own loads them; a checkpoint brings
            its own.

    Attributes:
        channels: dense task → channels of its head.

    Raises:
        InvalidConfig: a task's kind cannot be trained, or its name cannot be kept.
    """

    mean_3: Tensor
    std_3: Tensor

    def __init__(
        self,
        config: ModelConfig,
        tasks: Mapping[str, Task],
        preprocessing: Preprocessing,
        *,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.config = config
        self.tasks = dict(tasks)
        self.preprocessing = preprocessing
        self.dense = tuple(name for name, task in tasks.items() if task.kind in DENSE)
        self.tagged = tuple(name for name, task in tasks.items() if task.kind is Kind.TAGS)
        for name, task in tasks.items():
            if hasattr(nn.ModuleDict, name):
                raise InvalidConfig(
                    f"task '{name}' has the name of a part of every network.",
                    remedy=f"Rename it in dataset.yaml and its column, such as '{name}_task'.",
                )
            if name in (*self.dense, *self.tagged):
                continue
            kinds = ", ".join(kind.value for kind in (*DENSE, Kind.TAGS))
            raise InvalidConfig(
                f"task '{name}' is of kind {task.kind}, which cannot be trained.",
                remedy=f"Leave it out of train.tasks; kinds that can be trained: {kinds}.",
            )
        network = config.network
        width = network.decoder_width
        self.channels = {t: head_channels(tasks[t], network.saliency_channels) for t in self.dense}
        self.encoder = build_encoder(network.encoder, pretrained=pretrained)
        self.decoder = build_decoder(network, self.encoder.channels)
        self.heads = nn.ModuleDict(
            {t: TaskHeads(width, network.task_blocks, self.channels[t]) for t in self.dense}
        )
        pooled = 2 * (self.encoder.channels[-1] + width)
        self.tags = nn.ModuleDict(
            {t: nn.Linear(pooled, len(tasks[t].categories)) for t in self.tagged}
        )
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("mean_3", mean[:, None, None], persistent=False)
        self.register_buffer("std_3", std[:, None, None], persistent=False)

    def _heads(self, task: str) -> TaskHeads:
        return cast("TaskHeads", self.heads[task])

    def _require_dense(self, names: Collection[str], what: str) -> None:
        for name in names:
            if name not in self.dense:
                raise InvalidConfig(
                    f"{what} names '{name}', which is no dense task of this model.",
                    remedy=f"Closest: {closest(name, self.dense)}.",
                )

    def shared_features(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Shared decoder map `B D h w`, and pooled features `B Z` for tags.

        Args:
            images_B3HW: in [0, 1]; standardized here.
        """
        features = self.encoder((images_B3HW - self.mean_3) / self.std_3)
        if isinstance(self.decoder, ConcatDecoder):
            shared_BDhw = self.decoder(features, (images_B3HW.shape[-2], images_B3HW.shape[-1]))
        else:
            shared_BDhw = self.decoder(features)
        pooled = [f(x) for x in (features[-1], shared_BDhw) for f in (_mean, _max)]
        return shared_BDhw, torch.cat(pooled, dim=1)

    def _start(
        self, images_B3HW: Tensor, known: Mapping[str, Tensor] | None
    ) -> tuple[dict[str, Start], Tensor]:
        """What every dense task starts from, and pooled features `B Z`."""
        shared_BDhw, pooled_BZ = self.shared_features(images_B3HW)
        rows = known_rows(known, self.dense, shared_BDhw.device)
        diffusion = self.config.diffusion
        wanted = diffusion.condition if diffusion is not None else "none"
        detach = diffusion is None or diffusion.detach
        starts = {
            task: self._heads(task).start(shared_BDhw, *rows[task], wanted=wanted, detach=detach)
            for task in self.dense
        }
        return starts, pooled_BZ

    def _tag_predictions(self, pooled_BZ: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for task, head in self.tags.items():
            logits_BC = head(pooled_BZ).float()
            curves = self.preprocessing.tag_curves.get(task, {})
            if not curves:
                found[task] = logits_BC.sigmoid()
                continue
            columns = zip(self.tasks[task].categories, logits_BC.unbind(dim=1), strict=True)
            found[task] = torch.stack(
                [curves[c](x_B) if c in curves else x_B.sigmoid() for c, x_B in columns], dim=1
            )
        return found


def _mean(x_BDHW: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x_BDHW, 1).flatten(1)


def _max(x_BDHW: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(x_BDHW, 1).flatten(1)
