"""A comparison before it is known how many others were made beside it."""

import dataclasses
from collections.abc import Sequence

from goldseam.audit.statistics.discovery import false_discovery_q
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
    q_values = false_discovery_q([draft.p_value for draft in drafts])
    rows = []
    for draft, q_value in zip(drafts, q_values, strict=True):
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
