"""Which way normals of unknown axes point, measured against the depth of the same images.

Published files of indoor scenes do not say which component of a normal points right, up and
towards the viewer. Depth says it: of all ways to permute and flip the axes, one agrees.

Shapes: H, W pixels; 3 camera axes; x right, y up, z towards the viewer.
"""

import dataclasses
import math
from collections.abc import Iterable
from itertools import permutations, product

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidConfig

AXES = "x right, y up, z towards the viewer"
# of the NYU Kinect's color camera, px at its full width of 640
KINECT_FOCAL_PX = 518.86
KINECT_WIDTH_PX = 640
# what counts as a measurement: mean cosine of the best way, and its lead over the next
SURE_COSINE, SURE_LEAD = 0.6, 0.1
# as share of the inverse depth; larger second differences are edges, not surfaces
FLAT = 0.004
SMOOTHED_PX = 5
LETTERS = "xyz"


def field_of_view(width_px: float, focal_px: float = KINECT_FOCAL_PX) -> float:
    """The angle that a pinhole image's width spans, degrees."""
    return 2 * math.degrees(math.atan(width_px / 2 / focal_px))


@dataclasses.dataclass(frozen=True)
class AxisOrder:
    """How stored components become camera axes.

    Attributes:
        components: which stored component points right, up and towards the viewer.
        signs: 1, or -1 where it points the other way.
    """

    components: tuple[int, int, int] = (0, 1, 2)
    signs: tuple[int, int, int] = (1, 1, 1)

    def __str__(self) -> str:
        pairs = zip(self.components, self.signs, strict=True)
        return ",".join(("-" if sign < 0 else "") + LETTERS[at] for at, sign in pairs)

    def apply(self, vector_3HW: Array) -> Array:
        """The same vectors in camera axes."""
        turned_3HW: Array = (
            vector_3HW[list(self.components)]
            * np.array(self.signs, vector_3HW.dtype)[:, None, None]
        )
        return turned_3HW

    @classmethod
    def parse(cls, text: str) -> "AxisOrder":
        """Read such as `x,-z,y`.

        Raises:
            InvalidConfig: it does not name each component once.
        """
        words = [word.strip() for word in text.split(",")]
        letters = [word.removeprefix("-").removeprefix("+") for word in words]
        if sorted(letters) != list(LETTERS):
            raise InvalidConfig(
                f"--axes {text} does not name x, y and z once each.",
                remedy="Write which stored component points right, up and towards the viewer, such "
                "as x,-y,-z, or auto.",
            )
        right, up, viewer = (LETTERS.index(letter) for letter in letters)
        first, second, third = (-1 if word.startswith("-") else 1 for word in words)
        return cls((right, up, viewer), (first, second, third))


def normals_of_depth(depth_HW: Array, angle: float) -> Array:
    """Normals of the surfaces that a depth map shows.

    On a plane 1/depth is affine in the image, so its slopes give the normal without noise from
    neighboring points.

    Args:
        depth_HW: along the viewing axis; NaN where unknown.
        angle: that the image's width spans, degrees.

    Returns:
        float64 3HW, unit length; NaN at unknown depth, at edges, and near them.
    """
    import cv2

    height, width = depth_HW.shape
    known_HW = np.isfinite(depth_HW)
    inverse_HW = np.where(known_HW, 1 / np.where(known_HW, depth_HW, 1), 0).astype(np.float64)
    kernel = (SMOOTHED_PX, SMOOTHED_PX)
    smooth_HW = np.asarray(cv2.blur(inverse_HW, kernel))
    whole_HW = np.asarray(
        cv2.erode(known_HW.astype(np.uint8), np.ones((SMOOTHED_PX + 2,) * 2, np.uint8))
    ).astype(bool)
    half_width = math.tan(math.radians(angle) / 2)
    pitch = 2 / width  # of a pixel, in halves of the image's width
    down_HW, right_HW = np.gradient(smooth_HW, pitch)
    x_W = (np.arange(width) + 0.5) * pitch - 1
    y_H1 = (height / width - (np.arange(height) + 0.5) * pitch)[:, None]
    normal_3HW = np.stack(
        [
            -right_HW / half_width,
            down_HW / half_width,
            smooth_HW - x_W * right_HW + y_H1 * down_HW,
        ]
    )
    # half of a shallow image's rim is extrapolated: its outermost pixels are not whole
    whole_HW[[0, -1], :] = False
    whole_HW[:, [0, -1]] = False
    bend_HW = abs(np.asarray(cv2.Laplacian(smooth_HW, cv2.CV_64F)))
    trusted_HW = whole_HW & (bend_HW < FLAT * smooth_HW)
    length_HW = np.sqrt((normal_3HW**2).sum(axis=0))
    trusted_HW &= length_HW > 0
    result_3HW: Array = np.where(
        trusted_HW, normal_3HW / np.where(trusted_HW, length_HW, 1), np.nan
    )
    return result_3HW


def measure_axes(
    pairs: Iterable[tuple[Array, Array]], angle: float
) -> tuple[AxisOrder, float] | None:
    """The order of axes in which stored normals agree with depth.

    Args:
        pairs: (depth HW, stored normals 3HW), NaN where unknown.
        angle: that the image's width spans, degrees.

    Returns:
        The order of 48 with the largest mean cosine, and that cosine; None where no order is
        clearly the best (mean cosine below 0.6, or a lead below 0.1).
    """
    agreement_33 = np.zeros((3, 3))
    count = 0
    for depth_HW, stored_3HW in pairs:
        shown_3HW = normals_of_depth(depth_HW, angle)
        both_HW = np.isfinite(shown_3HW).all(axis=0) & np.isfinite(stored_3HW).all(axis=0)
        agreement_33 += shown_3HW[:, both_HW] @ stored_3HW[:, both_HW].astype(np.float64).T
        count += int(both_HW.sum())
    if not count:
        return None
    orders = [
        AxisOrder((right, up, viewer), (first, second, third))
        for right, up, viewer in permutations(range(3))
        for first, second, third in product((1, -1), repeat=3)
    ]
    cosines = np.array(
        [(agreement_33[range(3), order.components] * order.signs).sum() / count for order in orders]
    )
    ranked = np.argsort(-cosines, kind="stable")
    best, second_best = cosines[ranked[0]], cosines[ranked[1]]
    if best < SURE_COSINE or best - second_best < SURE_LEAD:
        return None
    return orders[ranked[0]], float(best)
