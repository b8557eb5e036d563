"""The shared decoder: an encoder's feature maps become one map.

Shapes: B batch, D channels, H and W positions.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from goldseam.models.config import NetworkConfig
from goldseam.models.layers import ConvBlock, resize


class PyramidDecoder(nn.Module):
    """From the coarsest map upwards: project, resize, add the encoder's map, convolve.

    U-Net-like, but skips are added, not concatenated: a third fewer operations at equal width.
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        targets = (width, *channels[1:])
        self.skip = nn.Conv2d(channels[0], width, 1, bias=False)
        self.projections = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(targets)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(ConvBlock(fine, fine), ConvBlock(fine, fine)) for fine in targets[:-1]
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, finest first, become `B width H W` at the finest map's size."""
        x_BDHW = features[-1]
        for level in reversed(range(len(self.blocks))):
            fine_BDHW = features[level] if level else self.skip(features[0])
            height, width = fine_BDHW.shape[-2:]
            # the 1x1 projection comes first: it is exact before or after resizing, and cheaper here
            x_BDHW = resize(self.projections[level](x_BDHW), (height, width)) + fine_BDHW
            x_BDHW = self.blocks[level](x_BDHW)
        return x_BDHW


class ConcatDecoder(nn.Module):
    """All maps at one size, concatenated, and one convolution, as DiffusionMTL has it."""

    def __init__(self, channels: tuple[int, ...], width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.embed = nn.Conv2d(sum(channels), width, 3, padding=1)

    def forward(self, features: list[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Feature maps become `B width H/stride W/stride` of an image's (H, W)."""
        height, width = (-(-length // self.stride) for length in image_size)
        maps = [resize(x_BDHW, (height, width)) for x_BDHW in features]
        embedded_BDHW: Tensor = self.embed(torch.cat(maps, dim=1))
        return embedded_BDHW


def build_decoder(
    config: NetworkConfig, channels: tuple[int, ...]
) -> PyramidDecoder | ConcatDecoder:
    """The shared decoder that a configuration names, for maps of so many channels."""
    if config.decoder == "concat":
        return ConcatDecoder(channels, config.decoder_width, config.decoder_stride)
    return PyramidDecoder(channels, config.decoder_width)
