"""Relations between predictions of tasks that gradients can pass: depth, normals, regions, edges.

Shapes: K images, C categories, H and W pixels, h = H - 2 and w = W - 2 pixels that have all four
neighbors. Where the relations come from is said in `goldseam.dataset.derivation`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.derivation.normals import half_tangent, pixel_places

INNER = (..., slice(1, -1), slice(1, -1))


def surface_normals(depth_KHW: Tensor, field_of_view: float) -> tuple[Tensor, Tensor]:
    """Unit normals of depth maps through the camera, by central differences of 1 / depth.

    Args:
        depth_KHW: positive distance along the viewing axis.
        field_of_view: angle that the width spans, degrees.

    Returns:
        Normals `K 3 h w` (x right, y up, z towards the viewer) and bends `K h w`: absolute second
        differences of 1 / depth along rows and columns together, in units of 1 / depth.
    """
    height, width = depth_KHW.shape[-2:]
    tangent = half_tangent(field_of_view)
    q_KHW = 1 / depth_KHW
    here = q_KHW[INNER]
    left, right = q_KHW[:, 1:-1, :-2], q_KHW[:, 1:-1, 2:]
    upper, lower = q_KHW[:, :-2, 1:-1], q_KHW[:, 2:, 1:-1]
    qx, qy = (right - left) * (width / 4), (upper - lower) * (height / 4)
    x_W, y_H = (torch.from_numpy(places).to(q_KHW) for places in pixel_places(height, width))
    normal = torch.stack(
        [
            -qx / tangent,
            -qy / (tangent * height / width),
            here - x_W[1:-1] * qx - y_H[1:-1, None] * qy,
        ],
        dim=1,
    )
    bend = (right - 2 * here + left).abs() + (lower - 2 * here + upper).abs()
    return F.normalize(normal, dim=1), bend / here


def same_direction(vector_K3HW: Tensor, cosine: float) -> Tensor:
    """Where a field of unit vectors hardly turns from a pixel to its neighbors.

    Returns:
        Bool `K h w`; False where the pixel's vector or a neighbor's is NaN.
    """
    here = vector_K3HW[INNER]
    neighbors = (
        vector_K3HW[:, :, 1:-1, :-2],
        vector_K3HW[:, :, 1:-1, 2:],
        vector_K3HW[:, :, :-2, 1:-1],
        vector_K3HW[:, :, 2:, 1:-1],
    )
    # a comparison with NaN is False
    return torch.stack([(here * other).sum(dim=1) > cosine for other in neighbors]).all(dim=0)


def category_change(logits_KCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability that a pixel has the category of its right, and of its lower neighbor.

    Returns:
        `K H W-1` and `K H-1 W`.
    """
    log_KCHW = logits_KCHW.log_softmax(dim=1)
    right = (log_KCHW[..., :-1] + log_KCHW[..., 1:]).logsumexp(dim=1)
    lower = (log_KCHW[..., :-1, :] + log_KCHW[..., 1:, :]).logsumexp(dim=1)
    return right, lower
