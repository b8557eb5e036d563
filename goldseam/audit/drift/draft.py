"""A comparison before it is known how many others were made beside it."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.results import DriftTest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """A row of the comparison whose q-value is not yet known; see `DriftTest`.

    Attributes:
        effect: size of the change.
        minimum: effect from which on a change is worth a look.
        told: the finding in words, without the full stop.
    """

    what: str
    told: str
    effect: float
    minimum: float
    task: str | None = None
    category: str | None = None
    split: str | None = None
    before: float | None = None
    after: float | None = None
    p_value: float | None = None


def settle(drafts: Sequence[Draft], significance: float) -> tuple[DriftTest, ...]:
    """Turn drafts into rows: q-values over all that were tested, and a verdict on each.

    What was not tested but counted (rows, names, flips) is changed when it is large enough.
    """
    tested = [number for number, draft in enumerate(drafts) if draft.p_value is not None]
    p_values = np.array([drafts[number].p_value for number in tested], np.float64)
    q_of = dict(zip(tested, false_discovery(p_values).tolist(), strict=True))
    rows = []
    for number, draft in enumerate(drafts):
        q_value = q_of.get(number)
        large = draft.effect > 0 and draft.effect >= draft.minimum
        changed = large and (q_value is None or q_value <= significance)
        rows.append(
            DriftTest(
                what=draft.what,
                task=draft.task,
                category=draft.category,
                split=draft.split,
                before=draft.before,
                after=draft.after,
                p_value=draft.p_value,
                q_value=q_value,
                changed=changed,
                sentence=f"{draft.told}." if changed else f"{draft.told}; no change to look at.",
            )
        )
    return tuple(rows)


def false_discovery(p_K: Array) -> Array:
    """q-values of K tests by Benjamini and Hochberg (1995)."""
    order_K = np.argsort(p_K, kind="stable")
    scaled_K = p_K[order_K] * len(p_K) / np.arange(1, len(p_K) + 1)
    q_K = np.empty(len(p_K))
    q_K[order_K] = np.minimum.accumulate(scaled_K[::-1])[::-1].clip(max=1)
    return q_K
