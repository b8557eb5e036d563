"""From probabilities of tags to what is said about an image: present, absent, or no decision.

Legend: C categories; any number of axes may stand before them.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN

# where nobody has chosen a threshold
USUAL_THRESHOLD = 0.5


def decide_tags(
    probabilities: npt.ArrayLike, thresholds: Sequence[float | None]
) -> npt.NDArray[np.int8]:
    """Call each category present from its threshold on, and absent below it.

    Args:
        probabilities: `... C`.
        thresholds: of each category. None where none can be told: nothing is decided there, since
            0.5 would be as arbitrary as any other number. 1 or more is never reached, also by a
            probability that rounding has made 1.

    Returns:
        int8 `... C`: 1 present, 0 absent, -1 not decided.
    """
    threshold_C = np.array([np.nan if cut is None else cut for cut in thresholds], np.float64)
    reached = (np.asarray(probabilities, np.float64) >= threshold_C) & (threshold_C < 1)
    states = np.where(reached, PRESENT, ABSENT)
    return np.where(np.isnan(threshold_C), UNKNOWN, states).astype(np.int8)
