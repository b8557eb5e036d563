"""Shares that two versions differ in: of known labels, of categories, of sources, of noise.

Legend: N images, C categories, S sources.
"""

from collections.abc import Iterator

import numpy as np

from goldseam.audit.drift.comparing import MeanChange, compare_means, group_sums
from goldseam.audit.drift.config import DriftConfig
from goldseam.audit.drift.draft import Draft
from goldseam.audit.drift.version import Pairing
from goldseam.audit.statistics.intervals import NORMAL_95
from goldseam.dataset.codecs import PRESENT, Array
from goldseam.page.numbers import percent, split_name
from goldseam.results import NoiseRate

# categories that are compared at once; a million groups of one image take 8 MB a category
CATEGORIES = 8


def _compared(
    pairing: Pairing,
    sides: tuple[tuple[Array, Array], tuple[Array, Array]],
    rows: tuple[Array, Array],
) -> MeanChange:
    """Compare means of (values, known) of both versions over some of their rows."""
    groups = (pairing.before_group_N, pairing.after_group_N)
    sums = [
        group_sums(value_NC, known_NC, group_N[row], pairing.groups)
        for (value_NC, known_NC), group_N, row in zip(sides, groups, rows, strict=True)
    ]
    return compare_means(*sums)


def coverage_changes(pairing: Pairing, config: DriftConfig) -> Iterator[Draft]:
    """Share of images on which a task or category is known, and on which it is present if known."""
    for split in pairing.splits:
        rows = (
            np.flatnonzero(pairing.before.labels.in_split(split)),
            np.flatnonzero(pairing.after.labels.in_split(split)),
        )
        for task in pairing.tasks:
            old_N1 = pairing.before.labels.known[task][rows[0]][:, None]
            new_N1 = pairing.after.labels.known[task][rows[1]][:, None]
            all_known = (np.ones_like(old_N1), np.ones_like(new_N1))
            change = _compared(pairing, ((old_N1, all_known[0]), (new_N1, all_known[1])), rows)
            yield from _share_drafts("coverage", task, (None,), split, change, config)
            if task in pairing.before.all_states and task in pairing.after.all_states:
                yield from _category_changes(pairing, task, split, rows, config)


def _category_changes(
    pairing: Pairing, task: str, split: str, rows: tuple[Array, Array], config: DriftConfig
) -> Iterator[Draft]:
    old_ids, new_ids, names = pairing.categories(task)
    old_NC = pairing.before.all_states[task][rows[0]]
    new_NC = pairing.after.all_states[task][rows[1]]
    for first in range(0, len(names), CATEGORIES):
        part = slice(first, first + CATEGORIES)
        old, new = old_NC[:, old_ids[part]], new_NC[:, new_ids[part]]
        known = (old >= 0, new >= 0)
        every = (np.ones_like(known[0]), np.ones_like(known[1]))
        change = _compared(pairing, ((known[0], every[0]), (known[1], every[1])), rows)
        yield from _share_drafts("coverage", task, names[part], split, change, config)
        there = (old == PRESENT, new == PRESENT)
        change = _compared(pairing, ((there[0], known[0]), (there[1], known[1])), rows)
        yield from _share_drafts("category", task, names[part], split, change, config)


def _share_drafts(
    what: str,
    task: str,
    categories: tuple[str | None, ...],
    split: str,
    change: MeanChange,
    config: DriftConfig,
) -> Iterator[Draft]:
    for number, category in enumerate(categories):
        before, after, p_value = (
            _or_none(values[number]) for values in (change.before_C, change.after_C, change.p_C)
        )
        name = task if category is None else f"{task}: {category}"
        where = f"{split_name(split).capitalize()} split: '{name}'"
        if what == "coverage":
            told = f"{where} was known on {percent(before)} of the images, now on {percent(after)}"
        else:
            told = (
                f"{where} was there on {_share_of_known(before)}, now on {_share_of_known(after)}"
            )
        yield Draft(
            what=what,
            task=task,
            category=category,
            split=split,
            before=before,
            after=after,
            p_value=p_value,
            effect=0.0 if before is None or after is None else abs(after - before),
            minimum=config.minimum_share,
            told=told,
        )


def _share_of_known(share: float | None) -> str:
    if share is None:
        return "an unknown share of the images, since none had been looked at"
    return f"{percent(share)} of the images that were looked at"


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def source_changes(pairing: Pairing, config: DriftConfig) -> Iterator[Draft]:
    """Share of a task's labels that each source made."""
    old, new = pairing.before.labels, pairing.after.labels
    rows = (np.arange(len(old)), np.arange(len(new)))
    for task in pairing.tasks:
        names = tuple(sorted({*old.sources[task], *new.sources[task]}))
        if not names or not old.known[task].any() or not new.known[task].any():
            continue
        sides = tuple(
            (
                _one_hot(version.source[task], version.sources[task], names),
                np.repeat(version.known[task][:, None], len(names), axis=1),
            )
            for version in (old, new)
        )
        change = _compared(pairing, (sides[0], sides[1]), rows)
        for number, name in enumerate(names):
            before, after = float(change.before_C[number]), float(change.after_C[number])
            yield Draft(
                what="source",
                task=task,
                before=before,
                after=after,
                p_value=_or_none(change.p_C[number]),
                effect=abs(after - before),
                minimum=config.minimum_share,
                told=f"Task '{task}': {percent(before)} of the labels came from '{name}' before, "
                f"{percent(after)} now",
            )


def _one_hot(code_N: Array, names: tuple[str, ...], wanted: tuple[str, ...]) -> Array:
    """Which source made each label: bool NS."""
    place = np.array([wanted.index(name) for name in names] + [-1])
    one_hot_NS: Array = place[code_N][:, None] == np.arange(len(wanted))
    return one_hot_NS


def noise_changes(
    before: tuple[NoiseRate, ...], after: tuple[NoiseRate, ...], config: DriftConfig
) -> Iterator[Draft]:
    """Noise rates that both versions estimated the same way.

    The p-value takes both estimates for normal, with the errors that their intervals tell, and for
    independent. Versions that share images err alike, so a change is rather missed than invented.
    """
    from scipy.special import ndtr

    def key(rate: NoiseRate) -> tuple[str | None, ...]:
        return (rate.task, rate.clean_task, rate.category, rate.kind, rate.method)

    old_rates = {key(rate): rate.rate for rate in before}
    for new in after:
        old, now = old_rates.get(key(new)), new.rate
        if old is None or old.value is None or now.value is None:
            continue
        difference = abs(now.value - old.value)
        size = max(abs(now.value), abs(old.value), 1e-12) if now.unit else 1.0
        widths = [
            None if one.low is None or one.high is None else (one.high - one.low) / (2 * NORMAL_95)
            for one in (old, now)
        ]
        p_value = None
        if widths[0] is not None and widths[1] is not None:
            error = float(np.hypot(widths[0], widths[1]))
            p_value = float(2 * ndtr(-difference / error)) if error > 0 else float(difference == 0)
        name = new.task if new.category is None else f"{new.task}: {new.category}"
        yield Draft(
            what="noise",
            task=new.task,
            category=new.category,
            before=old.value,
            after=now.value,
            p_value=p_value,
            # without intervals nothing can be said about chance
            effect=0.0 if p_value is None else difference / size,
            minimum=config.minimum_noise,
            told=f"Task '{name}': {new.kind} noise was {_value(old.value, old.unit)}, is "
            f"{_value(now.value, now.unit)}",
        )


def _value(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit else percent(value)
