"""Changes of an image's colors; labels do not depend on them."""

import dataclasses

import numpy as np

from goldseam.dataset.codecs import Array

GRAY_3 = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class ColorChange:
    """One draw.

    Attributes:
        brightness: added to every pixel of an image in [0, 1].
        contrast: factor of the distance of pixels from the image's mean.
        saturation: factor of the distance of pixels from their own gray.
        hue: rotation of the colors around the gray axis, degrees.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def __call__(self, image_HWC: Array) -> Array:
        """Change a float32 image in [0, 1]; images that are not RGB keep saturation and hue."""
        mean = image_HWC.mean()
        image_HWC = (image_HWC - mean) * np.float32(self.contrast) + mean
        image_HWC = image_HWC + np.float32(self.brightness)
        if image_HWC.shape[2] == 3:
            if self.saturation != 1:
                gray_HW1 = (image_HWC @ GRAY_3)[:, :, None]
                image_HWC = (image_HWC - gray_HW1) * np.float32(self.saturation) + gray_HW1
            if self.hue:
                image_HWC = image_HWC @ _rotation(self.hue)
        return np.clip(image_HWC, 0, 1).astype(np.float32)


def _rotation(degrees: float) -> Array:
    """Rotation around (1, 1, 1), as a matrix that multiplies rows of colors (Rodrigues)."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    axis = 1 / np.sqrt(3)
    cross_33 = axis * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    matrix_33 = cosine * np.eye(3) + sine * cross_33 + (1 - cosine) / 3
    turned_33: Array = matrix_33.T.astype(np.float32)
    return turned_33
