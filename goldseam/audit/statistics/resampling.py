"""p-values by drawing a statistic again and again under the null hypothesis.

Legend: U columns.
"""

from collections.abc import Callable

import numpy as np

from goldseam.dataset.codecs import Array


def resampled_p(
    draw: Callable[[int, Array], Array], observed_U: Array, resamples: int, most: int
) -> Array:
    """Share of resampled statistics that reach the observed one, counting the observed: float U.

    Statistics that fewer than ten of the first `resamples` reach are drawn up to `most` times.

    Args:
        draw: (how many, which columns) → statistics, float (how many, columns).
        observed_U: the statistics; larger is further from the null.
        resamples: of every column.
        most: of the significant ones.
    """
    # equal statistics that differ by rounding count as reached
    edge_U = observed_U - 1e-9 * (1 + np.abs(observed_U))
    reached_U = np.zeros(len(observed_U), np.int64)
    drawn_U = np.zeros(len(observed_U), np.int64)
    open_U = np.arange(len(observed_U))
    target = resamples
    while len(open_U):
        remaining = target - int(drawn_U[open_U[0]])
        while remaining > 0:
            count = min(remaining, 500)
            reached_U[open_U] += (draw(count, open_U) >= edge_U[open_U]).sum(axis=0)
            drawn_U[open_U] += count
            remaining -= count
        if target >= most:
            break
        target = most
        open_U = open_U[reached_U[open_U] < 10]
    p_U: Array = (1 + reached_U) / (1 + drawn_U)
    return p_U
