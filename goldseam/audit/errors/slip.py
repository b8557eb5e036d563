"""A suspicion about the values of some images, in words."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.audit.findings import Action, Issue
from goldseam.dataset.codecs import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Slip:
    """Images with the same kind of suspicion.

    Attributes:
        name: such as `unit`, `scale`, `reversed`, `constant`, `outlier`.
        issue: under which it is reported.
        action: what to do about it.
        image_M: positions.
        score_M: 0 to 1.
        evidence: M sentences.
        suggested: M, what would mend it; None where nothing is known to.
    """

    name: str
    issue: Issue
    action: Action
    image_M: Array
    score_M: Array
    evidence: Sequence[str]
    suggested: Sequence[str | None]


def one_each(slips: Sequence[Slip]) -> list[Slip]:
    """Each image in one slip only: the first that names it, since it may explain the others."""
    taken = np.zeros(0, np.int64)
    kept = []
    for slip in slips:
        new_M = ~np.isin(slip.image_M, taken)
        kept.append(
            dataclasses.replace(
                slip,
                image_M=slip.image_M[new_M],
                score_M=slip.score_M[new_M],
                evidence=[text for text, new in zip(slip.evidence, new_M, strict=True) if new],
                suggested=[text for text, new in zip(slip.suggested, new_M, strict=True) if new],
            )
        )
        taken = np.concatenate([taken, slip.image_M])
    return kept
