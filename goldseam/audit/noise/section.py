"""What the noise measurements hand to the audit."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from goldseam.results import Disagreement, NoiseMatrix, NoiseRate

RateKind = Literal["flip", "omission", "invention", "shift", "dilation", "scale"]


@dataclasses.dataclass(frozen=True)
class NoiseSection:
    """Noise of some tasks, measured against their clean versions.

    Attributes:
        disagreements: of masks, boundaries and saliency, by split.
        rates: of every kind, over all splits together.
        matrices: of masks by part, of tags by category, of matched boxes.
        sentences: the findings that matter most, in words.
    """

    disagreements: tuple[Disagreement, ...] = ()
    rates: tuple[NoiseRate, ...] = ()
    matrices: tuple[NoiseMatrix, ...] = ()
    sentences: tuple[str, ...] = ()


def joined(sections: Iterable[NoiseSection], sentences: tuple[str, ...]) -> NoiseSection:
    """Several sections as one.

    Args:
        sections: of single tasks.
        sentences: of all of them.
    """
    parts = list(sections)
    return NoiseSection(
        disagreements=tuple(one for part in parts for one in part.disagreements),
        rates=tuple(one for part in parts for one in part.rates),
        matrices=tuple(one for part in parts for one in part.matrices),
        sentences=sentences,
    )
