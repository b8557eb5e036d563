"""Transposed cross-attention, as in DiffusionMTL, and how maps become tokens.

Shapes: B batch, N tokens, E token channels, D channels, H and W positions, h and w tokens along the
sides. Queries are condition tokens, keys and values the noisy tokens.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.models.layers import resize


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


def pool_tokens(x_BDHW: Tensor, stride: int, pooling: Literal["mean", "bilinear"]) -> Tensor:
    """One token for each square of `stride` positions, `B D h w`; the last may be cut off."""
    height, width = x_BDHW.shape[-2:]
    stride = min(stride, height, width)
    if pooling == "mean":
        return F.avg_pool2d(x_BDHW, stride, ceil_mode=True)
    return resize(x_BDHW, (-(-height // stride), -(-width // stride)))
