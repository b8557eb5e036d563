"""Thin boundaries between the regions of a label map, as PASCAL's boundary task has them.

Shapes: H, W pixels.
"""

import functools

import numpy as np

from goldseam.dataset.codecs import Array

# the eight neighbors (row, column) counter-clockwise from the right one, as the conditions of
# Guo and Hall (1989) number them x1 to x8
NEIGHBORS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def region_boundaries(id_HW: Array) -> Array:
    """Pixels where the Laplacian of a map of ids is not 0, thinned to lines, `uint8 HW` 0 and 1.

    The Laplacian is the sum of the four neighbors minus four times the pixel, with the map
    mirrored at its rim (the rim row itself stands once).
    """
    # ids reach 459 and fit 64 bits four times over
    padded = np.pad(id_HW.astype(np.int64), 1, mode="reflect" if min(id_HW.shape) > 1 else "edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return thinned(around != 4 * padded[1:-1, 1:-1]).astype(np.uint8)


def thinned(shape_HW: Array) -> Array:
    """A shape reduced to lines one pixel wide that connect what it connected, bool HW.

    Parallel thinning of Guo and Hall, "Parallel thinning with two-subiteration algorithms",
    Communications of the ACM 32 (1989), in the form with conditions G1, G2, G3 and G3' (Lam, Lee
    and Suen, IEEE PAMI 14, 1992).
    """
    kept_HW = np.asarray(shape_HW, bool).copy()
    removable = _removable()
    while True:
        before = int(kept_HW.sum())
        for table in removable:
            rows, columns = np.nonzero(kept_HW)
            padded = np.pad(kept_HW, 1)
            code = np.zeros(len(rows), np.uint8)
            for bit, (down, right) in enumerate(NEIGHBORS):
                code |= padded[rows + 1 + down, columns + 1 + right].astype(np.uint8) << bit
            gone = table[code]
            kept_HW[rows[gone], columns[gone]] = False
        if int(kept_HW.sum()) == before:
            return kept_HW


@functools.cache
def _removable() -> tuple[Array, Array]:
    """For each pattern of neighbors whether the pixel goes, in the first and second half step."""
    x = [(np.arange(256) >> bit & 1).astype(bool) for bit in range(8)]
    # G1: the neighbors in line form one run
    runs = sum((~x[i] & (x[i + 1] | x[(i + 2) % 8])).astype(int) for i in (0, 2, 4, 6))
    # G2: the pixel is no end of a line and not inside
    first = sum((x[i] | x[i + 1]).astype(int) for i in (0, 2, 4, 6))
    second = sum((x[i + 1] | x[(i + 2) % 8]).astype(int) for i in (0, 2, 4, 6))
    fewer = np.minimum(first, second)
    rim = (runs == 1) & (fewer >= 2) & (fewer <= 3)
    # G3 and G3': south-eastern sides in one half step, north-western ones in the other
    south_east = ~((x[1] | x[2] | ~x[7]) & x[0])
    north_west = ~((x[5] | x[6] | ~x[3]) & x[4])
    return rim & south_east, rim & north_west
