"""Surface normals from a depth map through the camera, where the surface is straight enough.

Shapes: H and W pixels. A pinhole camera sees 1 / depth of a plane as an affine function of the
image, so the slopes of 1 / depth give the plane's normal exactly; what bends is an edge or a curve.
"""

import math

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray, InvalidConfig

Floats = npt.NDArray[np.float32]
# a bend of 1 / depth that would turn the normal by more is taken for an edge, degrees
LARGEST_TURN = 3.0
# a neighbor's stencil is taken when it is this many times straighter than the pixel's own
PREFERENCE = 4.0
LENGTHS = ("mm", "cm", "m", "km", "in", "ft")


def camera_signs(axes: str | None) -> tuple[int, int, int]:
    """Signs that turn vectors of (x right, y up, z towards the viewer) into a task's camera axes.

    Args:
        axes: such as `x right, y down, z away from the viewer`.

    Raises:
        InvalidConfig: other axes than x right, y up or down, z towards or away.
    """
    words = (axes or "").lower().replace(",", " ").split()
    y = {"up": 1, "down": -1}.get(words[3] if len(words) > 3 else "")
    z = {"towards": 1, "toward": 1, "away": -1}.get(words[5] if len(words) > 5 else "")
    if words[:3] != ["x", "right", "y"] or words[4:5] != ["z"] or y is None or z is None:
        raise InvalidConfig(
            f"normals cannot be derived in the camera axes {axes!r}.",
            remedy="Write the task's axes as 'x right, y up|down, z towards|away'.",
        )
    return 1, y, z


def normals_from_depth(depth_HW: Array, field_of_view: float) -> Floats:
    """Unit normals of a depth map, NaN where they cannot be trusted.

    With q = 1 / depth, x and y from -1 to 1 (right and up) and t the tangent of half the field of
    view, the normal is along (-dq/dx / t_x, -dq/dy / t_y, q - x dq/dx - y dq/dy). Slopes are taken
    over three pixels: those of the pixel and its two neighbors, or, where these are much straighter
    (beside an edge), those on one side of it. A pixel is trusted when the bend of its three pixels
    would turn the normal by less than `LARGEST_TURN`, whatever the resolution.

    Pixels are square. Rounding of depth limits what can be had: on planes 2 m away at 256 px, steps
    of 1 mm cost a sixth of the pixels and 0.7° (median), steps of 0.2 mm none and 0.2°; larger
    pixels suffer less.

    Args:
        depth_HW: distance along the viewing axis (not along the ray), in any unit; NaN or not
            positive where invalid.
        field_of_view: angle that the width spans, degrees.

    Returns:
        float32 3HW: x right, y up, z towards the viewer; every trusted normal faces the viewer.

    Raises:
        InvalidArray: the depth is no map.
        InvalidConfig: the field of view is not between 0 and 180 degrees.
    """
    tangent = half_tangent(field_of_view)
    q_HW = inverse_depth(depth_HW)
    height, width = q_HW.shape
    across_HW, bend_x_HW = _slopes(q_HW)
    down_HW, bend_y_HW = (array_WH.T for array_WH in _slopes(q_HW.T))
    # per unit of x and y, which span two units over width and height; y points up, rows down
    qx_HW = across_HW * np.float32(width / 2)
    qy_HW = down_HW * np.float32(-height / 2)
    x_W, y_H = pixel_places(height, width)
    normal_3HW = np.stack(
        [
            -qx_HW / np.float32(tangent),
            -qy_HW / np.float32(tangent * height / width),
            q_HW - x_W * qx_HW - y_H[:, None] * qy_HW,
        ]
    )
    with np.errstate(invalid="ignore"):
        trusted_HW = bend_x_HW + bend_y_HW < largest_bend(width, tangent) * q_HW
        normal_3HW /= np.sqrt((normal_3HW**2).sum(axis=0))
    normal_3HW[:, ~trusted_HW] = np.nan
    return normal_3HW


def inverse_depth(depth_HW: Array) -> Floats:
    """1 / depth, float32; NaN where depth is not finite or not positive.

    Raises:
        InvalidArray: the depth is no map.
    """
    if depth_HW.ndim != 2:
        raise InvalidArray(
            "depth", f"an array of shape {depth_HW.shape}", "Give one map of height and width."
        )
    valid_HW = np.isfinite(depth_HW) & (depth_HW > 0)
    q_HW = np.full(depth_HW.shape, np.nan, np.float32)
    np.divide(1, depth_HW, out=q_HW, where=valid_HW, casting="same_kind")
    return q_HW


def half_tangent(field_of_view: float) -> float:
    """Tangent of half the field of view.

    Raises:
        InvalidConfig: it is not between 0 and 180 degrees.
    """
    if not 0 < field_of_view < 180:
        raise InvalidConfig(
            f"a rule that goes through the camera has the field of view {field_of_view:g}°.",
            remedy="State 'field_of_view' in degrees, across the image's width: 2 atan(width in px "
            "/ (2 focal length in px)).",
        )
    return math.tan(math.radians(field_of_view) / 2)


def pixel_places(height: int, width: int) -> tuple[Floats, Floats]:
    """Places of pixel centers: x of each column from -1 to 1, y of each row from 1 to -1."""
    x_W = (2 * np.arange(width, dtype=np.float32) + 1) / np.float32(width) - 1
    y_H = 1 - (2 * np.arange(height, dtype=np.float32) + 1) / np.float32(height)
    return x_W, y_H


def largest_bend(width: int, tangent: float) -> float:
    """Second difference of 1 / depth, in units of it, up to which a pixel is trusted.

    Half of it is the error of a slope per pixel; a slope of s per pixel tilts the normal by
    s width / (2 tangent).
    """
    return 4 * tangent / width * math.tan(math.radians(LARGEST_TURN))


def bend(q_HW: Floats) -> Floats:
    """How far from straight each pixel and its two neighbors along the last axis are.

    Returns:
        float32 HW: absolute second difference; infinite where one of the three is invalid or
        missing.
    """
    bend_HW = np.full_like(q_HW, np.inf)
    bend_HW[:, 1:-1] = abs(q_HW[:, 2:] - 2 * q_HW[:, 1:-1] + q_HW[:, :-2])
    return np.nan_to_num(bend_HW, nan=np.inf, posinf=np.inf)


def _slopes(q_HW: Floats) -> tuple[Floats, Floats]:
    """Slope per pixel along the last axis, and the bend of the three pixels it is taken over."""
    own_bend_HW = bend(q_HW)
    own_slope_HW = np.zeros_like(q_HW)
    own_slope_HW[:, 1:-1] = (q_HW[:, 2:] - q_HW[:, :-2]) / 2
    slope_HW, bend_HW = own_slope_HW.copy(), own_bend_HW.copy()
    for mine, theirs in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :-1], np.s_[:, 1:])):
        straighter = PREFERENCE * own_bend_HW[theirs] < bend_HW[mine]
        slope_HW[mine] = np.where(straighter, own_slope_HW[theirs], slope_HW[mine])
        bend_HW[mine] = np.where(straighter, own_bend_HW[theirs], bend_HW[mine])
    return slope_HW, bend_HW
