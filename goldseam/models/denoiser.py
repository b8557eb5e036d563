"""The denoiser: refines the features of one task, conditioned on all tasks' initial predictions.

Shapes: B batch, D feature channels, H and W positions, N tokens, E token channels. The attention is
transposed, as in DiffusionMTL: queries are condition tokens, keys and values the noisy tokens.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.models.config import DiffusionConfig
from goldseam.models.layers import ConvBlock, resize
from goldseam.models.schedule import linear_schedule


class CrossBlock(nn.Module):
    """One block: the noisy tokens pass an MLP, the condition tokens attend to them and pass one."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_noisy = nn.LayerNorm(width)
        self.norm_query = nn.LayerNorm(width)
        self.norm_key = nn.LayerNorm(width)
        self.norm_out = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.mlp_noisy = _mlp(width)
        self.mlp_query = _mlp(width)

    def forward(self, query_BNE: Tensor, noisy_BNE: Tensor) -> tuple[Tensor, Tensor]:
        """Both token sets, updated; shapes stay."""
        noisy_BNE = noisy_BNE + self.mlp_noisy(self.norm_noisy(noisy_BNE))
        query_BNE = query_BNE + self._attend(self.norm_query(query_BNE), self.norm_key(noisy_BNE))
        query_BNE = query_BNE + self.mlp_query(self.norm_out(query_BNE))
        return query_BNE, noisy_BNE

    def _attend(self, query_BNE: Tensor, context_BNE: Tensor) -> Tensor:
        batch, tokens, width = query_BNE.shape

        def split(x_BNE: Tensor) -> Tensor:
            return x_BNE.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)

        key_BNE, value_BNE = self.key_value(context_BNE).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(
            split(self.query(query_BNE)), split(key_BNE), split(value_BNE)
        )
        out_BNE: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out_BNE


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


def _step_code(steps: int, width: int) -> Tensor:
    """Sinusoidal code of each step, `steps width`."""
    half = width // 2
    rates = torch.exp(-math.log(1e4) * torch.arange(half) / half)
    angles = torch.arange(steps)[:, None] * rates[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Denoiser(nn.Module):
    """Runs the whole reverse chain of one task on a batch of its features.

    Attention blocks, step code and token projections are shared by all tasks; the convolutions
    before and after are each task's own.
    """

    step_code: Tensor

    def __init__(self, config: DiffusionConfig, tasks: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.config = config
        self.schedule = linear_schedule(config.steps, config.beta_start, config.beta_end)
        self.register_buffer("step_code", _step_code(config.steps, 256), persistent=False)
        self.step_mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.before = nn.ModuleDict({t: nn.Conv2d(width, width, 3, padding=1) for t in tasks})
        self.after = nn.ModuleDict({t: self._delta_head(width) for t in tasks})
        self.to_query = nn.Conv2d(width, config.token_width, 1)
        self.to_noisy = nn.Conv2d(width, config.token_width, 1)
        self.from_tokens = nn.Conv2d(config.token_width, width, 1)
        self.blocks = nn.ModuleList(
            CrossBlock(config.token_width, config.heads) for _ in range(config.blocks)
        )

    def _delta_head(self, width: int) -> nn.Sequential:
        last = nn.Conv2d(width, width, 3, padding=1)
        if self.config.residual == "zero_init":
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
        return nn.Sequential(ConvBlock(width, width), last)

    def condition_tokens(self, condition_BDHW: Tensor) -> Tensor:
        """Query tokens `B E h w` of the condition; computed once for all tasks and steps."""
        return self._pooled(self.to_query, condition_BDHW)

    def _pooled(self, projection: nn.Module, x_BDHW: Tensor) -> Tensor:
        """Tokens `B E h w`: the mean over each token's square, projected."""
        tokens_BEhw: Tensor = projection(F.avg_pool2d(x_BDHW, self._stride(x_BDHW), ceil_mode=True))
        return tokens_BEhw

    def _stride(self, x_BDHW: Tensor) -> int:
        return min(self.config.token_stride, x_BDHW.shape[-1], x_BDHW.shape[-2])

    def forward(
        self,
        task: str,
        features_BDHW: Tensor,
        query_BEhw: Tensor | None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Denoise the initial features of one task through all steps.

        Args:
            task: whose convolutions to use.
            features_BDHW: initial features, normalized to about unit scale.
            query_BEhw: `condition_tokens`; None conditions a task on itself.
            generator: source of the noise; None runs the chain's mean, which is deterministic.

        Returns:
            Refined features, `B D H W`.
        """
        schedule = self.schedule
        last = schedule.steps - 1

        def noise() -> Tensor:
            drawn = torch.randn(features_BDHW.shape, generator=generator, dtype=torch.float32)
            return drawn.to(features_BDHW)

        if generator is None:
            # the mean of x_T given x_0 would shrink the features; without noise nothing is hidden
            # in them, and the chain starts at the features themselves
            x_BDHW = features_BDHW
        else:
            x_BDHW = schedule.signal[last] * features_BDHW + schedule.noise[last] * noise()
        for t in range(last, 0, -1):
            x0_BDHW = self._predict_x0(task, x_BDHW, query_BEhw, t)
            x_BDHW = schedule.posterior_x0[t] * x0_BDHW + schedule.posterior_xt[t] * x_BDHW
            if generator is not None:
                x_BDHW = x_BDHW + schedule.posterior_std[t] * noise()
        return self._predict_x0(task, x_BDHW, query_BEhw, 0)

    def _predict_x0(self, task: str, x_BDHW: Tensor, query_BEhw: Tensor | None, t: int) -> Tensor:
        step_D = self.step_mlp(self.step_code[t])
        hidden_BDHW = self.before[task](x_BDHW) + step_D[None, :, None, None]
        noisy_BEhw = self._pooled(self.to_noisy, hidden_BDHW)
        noisy_BNE = noisy_BEhw.flatten(2).transpose(1, 2)
        query_BNE = noisy_BNE if query_BEhw is None else query_BEhw.flatten(2).transpose(1, 2)
        for block in self.blocks:
            query_BNE, noisy_BNE = block(query_BNE, noisy_BNE)
        mixed_BEhw = query_BNE.transpose(1, 2).reshape(*noisy_BEhw.shape)
        size = (hidden_BDHW.shape[-2], hidden_BDHW.shape[-1])
        hidden_BDHW = hidden_BDHW + resize(self.from_tokens(mixed_BEhw), size)
        delta_BDHW: Tensor = self.after[task](hidden_BDHW)
        return x_BDHW + delta_BDHW if self.config.residual == "zero_init" else delta_BDHW
