"""Masks and boxes of ponds, for tests of what labels say about each other."""

import numpy as np

from goldseam.audit.consistency import ConsistencyConfig
from goldseam.dataset.codecs import Boxes

SIZE = 32
CONFIG = ConsistencyConfig()


def boxes(*found: tuple[int, tuple[float, float, float, float], bool]) -> Boxes:
    if not found:
        return Boxes.empty()
    return Boxes(
        np.array([category for category, _, _ in found], np.int32),
        np.array([corners for _, corners, _ in found], np.float32),
        np.array([ignore for _, _, ignore in found], bool),
    )
