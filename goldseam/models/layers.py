"""The few layers that encoder, decoder and denoiser share.

Shapes: B batch, D channels, H and W positions. GroupNorm everywhere: a batch of a task's labeled
images can be one image, and its result must not depend on the images beside it.
"""

import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS_PER_GROUP = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with eight channels a group."""
    return nn.GroupNorm(max(channels // CHANNELS_PER_GROUP, 1), channels)


class ConvBlock(nn.Sequential):
    """3x3 convolution, GroupNorm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            group_norm(channels_out),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with GroupNorm around an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = group_norm(channels)

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.relu(x_BDHW + self.norm(self.second(self.first(x_BDHW))))


def resize(x_BDHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, to (H, W); the same tensor when it has that size."""
    if x_BDHW.shape[-2:] == size:
        return x_BDHW
    return F.interpolate(x_BDHW, size=size, mode="bilinear", align_corners=False)
