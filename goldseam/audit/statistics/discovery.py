"""Control of the share of false findings among many tests."""

from collections.abc import Sequence
from typing import Literal

import numpy as np


def false_discovery_q(
    p_values: Sequence[float | None],
    control: Literal["benjamini_hochberg", "benjamini_yekutieli"] = "benjamini_hochberg",
) -> list[float | None]:
    """q-values: the smallest level at which each test is a finding; None where p is None.

    Benjamini and Hochberg (1995): the expected share of false findings is at most the level where
    tests are independent or positively dependent. Benjamini and Yekutieli (2001): under any
    dependence, for a factor of 1 + 1/2 + … + 1/m.
    """
    tested = [number for number, p in enumerate(p_values) if p is not None]
    found: list[float | None] = [None] * len(p_values)
    if not tested:
        return found
    p_M = np.array([p_values[number] for number in tested], np.float64)
    order_M = np.argsort(p_M, kind="stable")
    rank_M = np.arange(1, len(p_M) + 1)
    factor = 1.0 if control == "benjamini_hochberg" else float((1 / rank_M).sum())
    raised_M = p_M[order_M] * len(p_M) * factor / rank_M
    q_M = np.minimum(np.minimum.accumulate(raised_M[::-1])[::-1], 1)
    for number, q in zip(order_M.tolist(), q_M.tolist(), strict=True):
        found[tested[number]] = float(q)
    return found
