"""One model for many tasks, of which each image may carry labels for some only.

Shapes: B batch, D feature channels, H and W pixels, C_t output channels of task t, K labeled images
of a task, Z pooled features of the tags head. Dense tasks are segmentation, boundary, saliency,
regression and normals. With `diffusion` each task's initial features are refined by the denoiser;
without, the same class is the plain multi-task model, and with one task the pretraining model.
"""

import dataclasses
from collections.abc import Mapping
from typing import cast

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import ModelConfig
from goldseam.models.decoder import PyramidDecoder
from goldseam.models.denoiser import Denoiser
from goldseam.models.encoder import build_encoder
from goldseam.models.layers import ResidualBlock, resize

DENSE = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY, Kind.REGRESSION, Kind.NORMALS)
NORMAL_CHANNELS = 3


class Preprocessing(pydantic.BaseModel):
    """What is done to pixels and values before the network sees them; part of every checkpoint.

    Attributes:
        mean: of each channel, for images in [0, 1].
        std: of each channel.
        values: regression task → (center, spread) of its known training values.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    values: dict[str, tuple[float, float]] = {}


@dataclasses.dataclass
class Output:
    """What a training step needs.

    Attributes:
        rows: dense task → indices K of the images that were computed with gradients.
        initial: dense task → `K C_t H W` logits (segmentation, boundary, saliency),
            standardized values (regression) or vectors of any length (normals).
        final: the same after the denoiser; empty for the plain model.
        tags: tags task → `B C` logits.
    """

    rows: dict[str, Tensor]
    initial: dict[str, Tensor]
    final: dict[str, Tensor]
    tags: dict[str, Tensor]


def channels_of(task: Task) -> int:
    """Output channels C_t of a dense task."""
    if task.kind is Kind.SEGMENTATION:
        return len(task.categories)
    return NORMAL_CHANNELS if task.kind is Kind.NORMALS else 1


class TaskHeads(nn.Module):
    """A dense task's own decoder, and the 1x1 head of its initial prediction."""

    def __init__(self, width: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.decoder = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.head = nn.Conv2d(width, channels, 1)


class MultitaskModel(nn.Module):
    """Encoder, shared decoder, one small decoder a task, and the denoiser.

    Args:
        config: the architecture.
        tasks: what to predict, by name.
        preprocessing: of pixels and regression values.
        pretrained: whether a backbone that has weights of its own loads them; a checkpoint brings
            its own.

    Raises:
        InvalidConfig: a task's kind cannot be trained.
    """

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
        for name in set(tasks) - set(self.dense) - set(self.tagged):
            kinds = ", ".join(kind.value for kind in (*DENSE, Kind.TAGS))
            raise InvalidConfig(
                f"task '{name}' is of kind {tasks[name].kind}, which cannot be trained.",
                remedy=f"Leave it out of train.tasks; kinds that can be trained: {kinds}.",
            )
        network = config.network
        width = network.decoder_width
        self.encoder = build_encoder(network.encoder, pretrained=pretrained)
        self.decoder = PyramidDecoder(self.encoder.channels, width)
        self.heads = nn.ModuleDict(
            {t: TaskHeads(width, network.task_blocks, channels_of(tasks[t])) for t in self.dense}
        )
        pooled = 2 * (self.encoder.channels[-1] + width)
        self.tags = nn.ModuleDict(
            {t: nn.Linear(pooled, len(tasks[t].categories)) for t in self.tagged}
        )
        if config.diffusion is not None and self.dense:
            self.denoiser = Denoiser(config.diffusion, self.dense, width)
            self.final_heads = nn.ModuleDict(
                {t: nn.Conv2d(width, channels_of(tasks[t]), 1) for t in self.dense}
            )
            self.condition = nn.Conv2d(
                sum(channels_of(tasks[t]) for t in self.dense), width, 3, padding=1
            )
            self.start_from_initial()
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("mean_3", mean[:, None, None], persistent=False)
        self.register_buffer("std_3", std[:, None, None], persistent=False)

    mean_3: Tensor
    std_3: Tensor

    @property
    def refines(self) -> bool:
        """True when the model has a denoiser."""
        return hasattr(self, "denoiser")

    def start_from_initial(self) -> None:
        """Copy the initial heads into the final heads: refinement begins as the identity."""
        for task, head in self.final_heads.items():
            head.load_state_dict(self._heads(task).head.state_dict())

    def _heads(self, task: str) -> TaskHeads:
        return cast("TaskHeads", self.heads[task])

    def shared_features(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Shared decoder map `B D h w`, and pooled features `B Z` for tags.

        Args:
            images_B3HW: in [0, 1]; standardized here.
        """
        features = self.encoder((images_B3HW - self.mean_3) / self.std_3)
        shared_BDhw = self.decoder(features)
        pooled = [f(x) for x in (features[-1], shared_BDhw) for f in (_mean, _max)]
        return shared_BDhw, torch.cat(pooled, dim=1)

    def forward(
        self,
        images_B3HW: Tensor,
        known: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> Output:
        """Predict what is labeled.

        Args:
            images_B3HW: in [0, 1].
            known: task → bool B. A dense task is computed with gradients on its known images only;
                the others serve as condition, detached. None means all.
            generator: source of the denoiser's noise; None for none.
        """
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        shared_BDhw, pooled_BZ = self.shared_features(images_B3HW)
        rows: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}
        initial: dict[str, Tensor] = {}
        condition: list[Tensor] = []
        for task in self.dense:
            rows[task], features[task], initial[task], all_BChw = self._initial(
                task, shared_BDhw, None if known is None else known[task]
            )
            condition.append(all_BChw)
        final: dict[str, Tensor] = {}
        if self.refines:
            query_BEhw = self._query(condition)
            for task in self.dense:
                if len(rows[task]):
                    query = None if query_BEhw is None else query_BEhw[rows[task]]
                    refined = self.denoiser(task, features[task], query, generator)
                    final[task] = resize(self.final_heads[task](refined), size)
        return Output(
            rows=rows,
            initial={task: resize(logits, size) for task, logits in initial.items()},
            final=final,
            tags={task: head(pooled_BZ) for task, head in self.tags.items()},
        )

    def _initial(
        self, task: str, shared_BDhw: Tensor, known_B: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Known rows, their features and logits, and the detached logits of all rows.

        Exact, since GroupNorm keeps images apart: rows without a label get no gradient anyway.
        """
        heads = self._heads(task)
        batch = shared_BDhw.shape[0]
        if known_B is None or bool(known_B.all()):
            features = heads.decoder(shared_BDhw)
            logits = heads.head(features)
            return torch.arange(batch, device=logits.device), features, logits, logits.detach()
        rows = known_B.nonzero()[:, 0]
        features = heads.decoder(shared_BDhw[rows])
        logits = heads.head(features)
        if not self.refines:
            return rows, features, logits, logits.detach()
        others = (~known_B).nonzero()[:, 0]
        with torch.no_grad():
            rest = heads.head(heads.decoder(shared_BDhw[others]))
            everything = logits.new_empty((batch, *logits.shape[1:]))
            everything[rows] = logits.detach()
            everything[others] = rest
        return rows, features, logits, everything

    def _query(self, condition: list[Tensor]) -> Tensor | None:
        assert self.config.diffusion is not None
        if not self.config.diffusion.conditioning:
            return None
        return self.denoiser.condition_tokens(self.condition(torch.cat(condition, dim=1)))

    @torch.no_grad()
    def predict(self, images_B3HW: Tensor, *, initial: bool = False) -> dict[str, Tensor]:
        """Predictions of every task, without noise.

        Args:
            images_B3HW: in [0, 1].
            initial: take the predictions before the denoiser.

        Returns:
            task → segmentation `B C H W` probabilities; boundary and saliency `B H W`
            probabilities; regression `B H W` in the task's unit; normals `B 3 H W` of length 1;
            tags `B C` probabilities.
        """
        output = self(images_B3HW)
        dense = output.initial if initial or not self.refines else output.final
        found: dict[str, Tensor] = {}
        for task, logits in dense.items():
            kind = self.tasks[task].kind
            if kind is Kind.SEGMENTATION:
                found[task] = logits.float().softmax(dim=1)
            elif kind is Kind.NORMALS:
                found[task] = F.normalize(logits.float(), dim=1)
            elif kind is Kind.REGRESSION:
                center, spread = self.preprocessing.values.get(task, (0.0, 1.0))
                found[task] = logits[:, 0].float() * spread + center
            else:
                found[task] = logits[:, 0].float().sigmoid()
        for task, logits in output.tags.items():
            found[task] = logits.float().sigmoid()
        return found


def _mean(x_BDHW: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x_BDHW, 1).flatten(1)


def _max(x_BDHW: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(x_BDHW, 1).flatten(1)
