"""Random changes of a batch's light and colors, which leave every label true.

Shapes: B images, C = 3 channels, H and W pixels.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from goldseam.dataset.order import generator
from goldseam.trainer.distributed import rank

PHOTOMETRY_STREAM = 0x11947
# at full strength: shifts and noise as parts of the range of pixels, factors as logarithms
BRIGHTNESS, CONTRAST, GAMMA, TINT, NOISE = 0.25, 0.5, 0.5, 0.2, 0.08


@dataclasses.dataclass(frozen=True)
class Photometry:
    """Brightness, contrast, gamma, tint and pixel noise, drawn for each image.

    Attributes:
        strength: 0 changes nothing, 1 is strong.
        seed: of the draws; a step's draws are a function of (seed, step, process).
    """

    strength: float
    seed: int

    def __call__(self, images_BCHW: Tensor, step: int) -> Tensor:
        """The changed images, in [0, 1].

        Args:
            images_BCHW: float, in [0, 1].
            step: of the training.
        """
        random = generator(self.seed, PHOTOMETRY_STREAM, step, rank())
        batch, channels = images_BCHW.shape[:2]

        def drawn(spread: float, *shape: int) -> Tensor:
            value = self.strength * spread * random.uniform(-1, 1, (batch, *shape))
            return torch.from_numpy(value.astype(np.float32)).to(images_BCHW)

        shift, contrast, gamma = (drawn(s, 1, 1, 1) for s in (BRIGHTNESS, CONTRAST, GAMMA))
        tint = drawn(TINT, channels, 1, 1)
        level = drawn(NOISE, 1, 1, 1).abs()
        noise = torch.from_numpy(random.standard_normal(images_BCHW.shape, np.float32))
        changed = images_BCHW.clamp(1e-4, 1) ** gamma.exp() * tint.exp()
        mean = changed.mean(dim=(1, 2, 3), keepdim=True)
        changed = (changed - mean) * contrast.exp() + mean + shift
        return (changed + level * noise.to(images_BCHW)).clamp(0, 1)
