"""The shared decoder: feature maps become one map at the finest resolution.

U-Net-like, but skips are added, not concatenated: a third fewer operations at equal width.
"""

from itertools import pairwise

from torch import Tensor, nn

from goldseam.models.layers import ConvBlock, resize


class PyramidDecoder(nn.Module):
    """From the coarsest map upwards: project, resize, add the encoder's map, convolve."""

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
