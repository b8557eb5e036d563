"""The denoiser: refines a task's features, or its prediction, conditioned on all tasks.

Shapes: K images of a task, X channels of what is noised (features, or outputs of the head), D
channels inside, H and W positions, N tokens (h and w of them along the sides), E token channels.
What the tasks share (attention, step code, projections) can take the images of all tasks at once.
"""

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from goldseam.models.config import DiffusionConfig
from goldseam.models.cross_attention import CrossBlock, pool_tokens
from goldseam.models.layers import ConvBlock, resize
from goldseam.models.sampling import (
    Noise,
    denoise,
    draws_of,
    noise_scale,
    scaled_noise,
    x0_from_noise,
)
from goldseam.models.schedule import Transition, schedule_of

STEP_CODE = 256


def _step_code(steps: int, width: int) -> Tensor:
    """Sinusoidal code of each step, `steps width`."""
    half = width // 2
    rates = torch.exp(-math.log(1e4) * torch.arange(half) / half)
    angles = torch.arange(steps)[:, None] * rates[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Denoiser(nn.Module):
    """Runs the reverse chain of every task on its images.

    Attention blocks, step code and token projections are shared by all tasks; the convolutions
    before and after are each task's own.

    Args:
        config: the method.
        channels: task → channels X of what is noised.
        width: channels D inside.
    """

    step_code: Tensor

    def __init__(self, config: DiffusionConfig, channels: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.config = config
        self.schedule = schedule_of(config)
        self.register_buffer("step_code", _step_code(config.steps, STEP_CODE), persistent=False)
        self.step_mlp = nn.Sequential(
            nn.Linear(STEP_CODE, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.before = nn.ModuleDict(
            {task: nn.Conv2d(x, width, 3, padding=1) for task, x in channels.items()}
        )
        self.after = nn.ModuleDict({task: self._head(width, x) for task, x in channels.items()})
        tokens = config.token_width
        self.to_query = _projection(width, tokens) if config.condition != "none" else None
        self.to_noisy = _projection(width, tokens)
        self.from_tokens = _projection(tokens, width)
        self.blocks = nn.ModuleList(CrossBlock(tokens, config.heads) for _ in range(config.blocks))
        if config.head == "published":
            self._initialize_as_published()

    def _head(self, width: int, channels: int) -> nn.Sequential:
        """A task's layers after attention; the last convolution starts at 0 for a residual."""
        config = self.config
        kernel = 1 if config.head == "published" and config.variant == "prediction" else 3
        last = nn.Conv2d(width, channels, kernel, padding=kernel // 2)
        if config.residual == "zero_init":
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
        if config.head == "residual":
            return nn.Sequential(ConvBlock(width, width), last)
        layers: list[nn.Module] = [nn.Conv2d(width, width, 1)]
        for _ in range(3 if kernel == 1 else 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        layers.append(last)
        # features end in a ReLU, as the initial ones do; a correction and a noise have both signs
        if kernel == 3 and config.residual == "none" and config.parameterization == "x0":
            layers.append(nn.ReLU(inplace=True))
        return nn.Sequential(*layers)

    def _initialize_as_published(self) -> None:
        for layer in self.blocks.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for layer in self.step_mlp.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)

    def condition_tokens(self, condition_BDHW: Tensor) -> Tensor:
        """Query tokens `B E h w` of the condition; computed once for all steps."""
        assert self.to_query is not None
        tokens_BEhw: Tensor = self.to_query(self._pooled(condition_BDHW))
        return tokens_BEhw

    def _pooled(self, x_BDHW: Tensor) -> Tensor:
        return pool_tokens(x_BDHW, self.config.token_stride, self.config.token_pooling)

    def forward(
        self,
        starts: Mapping[str, Tensor],
        rows: Mapping[str, Tensor | None],
        queries: Mapping[str, Tensor] | None,
        *,
        noise: Noise | None = None,
        scale: float = 1.0,
        steps: int | None = None,
    ) -> dict[str, Tensor]:
        """Denoise the initial features, or predictions, of some tasks through all steps.

        Args:
            starts: task → `K X H W`, what is noised.
            rows: task → positions K of its images in the batch, for the noise; None means all.
            queries: task → `condition_tokens` of its images; None conditions a task on itself.
            noise: its source; None runs the chain's mean, which is deterministic.
            scale: factor on all noise.
            steps: fewer than in training; see `Schedule.ddpm` and `Schedule.ddim`.

        Returns:
            task → refined, `K X H W`.

        Raises:
            InvalidConfig: so many steps were not trained.
        """
        sampler = self.schedule.ddim if self.config.sampler == "ddim" else self.schedule.ddpm
        transitions = sampler(steps)
        if noise is None and self.config.parameterization == "x0":
            # the mean of x_T given x_0 would shrink what is given; without noise nothing is hidden
            # in it, and the chain starts at the features themselves
            transitions = tuple(transition.without_noise() for transition in transitions)
        groups = [list(starts)] if self.config.packed else [[task] for task in starts]
        refined: dict[str, Tensor] = {}
        for tasks in filter(None, groups):
            chosen = {task: starts[task] for task in tasks}
            query_KEhw = None if queries is None else _packed([queries[task] for task in tasks])
            found = self._chain(chosen, rows, query_KEhw, transitions, noise, scale)
            refined |= dict(zip(tasks, found, strict=True))
        return refined

    def _chain(
        self,
        starts: Mapping[str, Tensor],
        rows: Mapping[str, Tensor | None],
        query_KEhw: Tensor | None,
        transitions: Sequence[Transition],
        noise: Noise | None,
        scale: float,
    ) -> list[Tensor]:
        config = self.config
        scales = {
            task: noise_scale(
                x, scale * config.noise_scale.get(task, 1.0), relative=config.relative_noise
            )
            for task, x in starts.items()
        }
        drawn = None
        if noise is not None:
            drawn = scaled_noise(noise, starts, rows, scales, draws_of(transitions))
        step = functools.partial(
            self._predict_x0, tuple(starts), query_KEhw, tuple(scales.values())
        )
        if config.checkpoint_steps and torch.is_grad_enabled():
            step = functools.partial(
                checkpoint, step, use_reentrant=False, preserve_rng_state=False
            )
        return denoise(transitions, list(starts.values()), step, drawn)

    def _predict_x0(
        self,
        tasks: Sequence[str],
        query_KEhw: Tensor | None,
        scales: Sequence[float | Tensor],
        xs: list[Tensor],
        transition: Transition,
    ) -> list[Tensor]:
        """Predicted x_0 of each task, `K X H W`."""
        step_D = self.step_mlp(self.step_code[transition.t])
        hidden = [
            self.before[task](x) + step_D[None, :, None, None]
            for task, x in zip(tasks, xs, strict=True)
        ]
        mixed = self._attend(hidden, query_KEhw)
        outputs = [self.after[task](mix) for task, mix in zip(tasks, mixed, strict=True)]
        if self.config.parameterization == "epsilon":
            return [
                x0_from_noise(x, scale * output, transition)
                for x, output, scale in zip(xs, outputs, scales, strict=True)
            ]
        if self.config.residual == "zero_init":
            return [x + output for x, output in zip(xs, outputs, strict=True)]
        return outputs

    def _attend(self, hidden: list[Tensor], query_KEhw: Tensor | None) -> list[Tensor]:
        """Each task's `K D H W` plus what its tokens became by attention."""
        noisy_KEhw = self.to_noisy(_packed([self._pooled(x_KDHW) for x_KDHW in hidden]))
        noisy_KNE = noisy_KEhw.flatten(2).transpose(1, 2)
        query_KNE = noisy_KNE if query_KEhw is None else query_KEhw.flatten(2).transpose(1, 2)
        for block in self.blocks:
            query_KNE, noisy_KNE = block(query_KNE, noisy_KNE)
        mixed_KDhw = self.from_tokens(query_KNE.transpose(1, 2).reshape(*noisy_KEhw.shape))
        parts = mixed_KDhw.split([x_KDHW.shape[0] for x_KDHW in hidden])
        return [
            x_KDHW + resize(part, (x_KDHW.shape[-2], x_KDHW.shape[-1]))
            for x_KDHW, part in zip(hidden, parts, strict=True)
        ]


def _projection(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Conv2d(before, after, 1)


def _packed(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
