"""Boundaries from regions and from surfaces: sure where categories meet or a surface goes on.

Shapes: H and W pixels. A pixel is a boundary when its right or its lower neighbor belongs to
something else, so a line is one pixel wide.
"""

from collections.abc import Sequence

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.derivation.normals import bend, half_tangent, inverse_depth, largest_bend
from goldseam.dataset.schema import Task

BOUNDARY, NO_BOUNDARY = 1, 0


def boundary_from_segmentation(
    category_HW: Array, source: Task, target: Task, single_instance: Sequence[str] = ()
) -> Array:
    """The boundary label that follows from a segmentation.

    A pixel whose right or lower neighbor has another category is a boundary. It is none when both
    have its own category and an image shows that category once at most: two chairs side by side
    are one region of chairs, and the line between them is in no segmentation. All other pixels are
    ignored.

    Args:
        category_HW: ids, `source.ignore` where unknown.
        source: the segmentation task.
        target: the boundary task.
        single_instance: names of the categories that an image shows once at most.

    Returns:
        uint8 or uint16 HW: 1 boundary, 0 none, `target.ignore` where nothing follows.
    """
    whole = [source.categories.index(name) for name in single_instance]
    once_HW = np.isin(category_HW, whole)
    known_HW = category_HW != source.ignore
    meets_HW = np.zeros(category_HW.shape, bool)
    for mine, theirs in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        same = category_HW[mine] == category_HW[theirs]
        meets_HW[mine] |= ~same & known_HW[mine] & known_HW[theirs]
        once_HW[mine] &= same
    label_HW = _all_ignored(category_HW.shape, target)
    label_HW[once_HW] = NO_BOUNDARY
    label_HW[meets_HW] = BOUNDARY
    return label_HW


def boundary_from_depth(depth_HW: Array, field_of_view: float, target: Task) -> Array:
    """Where a depth map shows that there is no boundary: a surface that goes on straight.

    A pixel is none when the surface goes on to its right and to its lower neighbor, by the measure
    of `normals_from_depth`. All other pixels are ignored. A step in depth is not called a boundary,
    since it may lie inside one object: on rendered rooms up to 28 % of the steps do. What lies flat
    on a surface, such as a picture on a wall, is in no depth: do not derive where such things have
    boundaries.

    Args:
        depth_HW: distance along the viewing axis; NaN or not positive where invalid.
        field_of_view: angle that the width spans, degrees.
        target: the boundary task.

    Returns:
        uint8 or uint16 HW: 0 no boundary, `target.ignore` elsewhere.
    """
    q_HW = inverse_depth(depth_HW)
    limit_HW = q_HW * np.float32(largest_bend(q_HW.shape[1], half_tangent(field_of_view)))
    goes_on_HW = _goes_on(q_HW, limit_HW) & _goes_on(q_HW.T, limit_HW.T).T
    label_HW = _all_ignored(q_HW.shape, target)
    label_HW[goes_on_HW] = NO_BOUNDARY
    return label_HW


def _all_ignored(shape: tuple[int, ...], target: Task) -> Array:
    return np.full(shape, target.ignore, np.min_scalar_type(target.ignore))


def _goes_on(q_HW: Array, limit_HW: Array) -> Array:
    """True where a pixel and its neighbor to the right, if it has one, lie on one surface."""
    if q_HW.shape[1] < 3:  # no three pixels tell what is straight
        return np.zeros(q_HW.shape, bool)
    straight_HW = bend(q_HW) < limit_HW
    # the outermost pixels are middles of no three: those beside them speak for them
    straight_HW[:, :1], straight_HW[:, -1:] = straight_HW[:, 1:2], straight_HW[:, -2:-1]
    goes_on_HW = straight_HW.copy()
    goes_on_HW[:, :-1] &= straight_HW[:, 1:]
    return goes_on_HW
