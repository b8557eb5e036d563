"""The few sentences of an audit that the owner of the labels reads, most important first."""

import dataclasses
from collections.abc import Iterable, Sequence

from goldseam.audit.consistency.judge import is_contradiction
from goldseam.audit.noise.disagreement import MEASURED
from goldseam.dataset.schema import DatasetInfo
from goldseam.page import between, count, percent, split_name
from goldseam.results import AuditResult, CoverageRow, Disagreement, LabelErrors

MOST = 12
NAMES_LISTED = 5


@dataclasses.dataclass(frozen=True)
class KeySentence:
    """One sentence.

    Attributes:
        section: id of the section of the page that says more.
    """

    section: str
    text: str


def audit_sentences(info: DatasetInfo, result: AuditResult) -> tuple[str, ...]:
    """What matters most in an audit, at most twelve sentences, most important first.

    Args:
        info: of the dataset.
        result: of which `sentences` and `reasons` are not read.
    """
    return tuple(one.text for one in key_sentences(info, result))


def key_sentences(info: DatasetInfo, result: AuditResult) -> tuple[KeySentence, ...]:
    """`audit_sentences`, each with the section of the page that says more."""
    parts = (
        ("coverage", _coverage(info, result.coverage), 4),
        ("duplicates", _leaks(result), 2),
        ("missingness", _missingness(result), 2),
        ("errors", _errors(info, result), 2),
        ("noise", _noise(info, result), 2),
        ("pseudo-labels", _pseudo_labels(result), 1),
        ("drift", [one.sentence for one in result.drift if one.changed], 1),
    )
    last = [KeySentence("plan", result.plan.sentence)] if result.plan else []
    last += [KeySentence("inspected", text) for text in _not_inspected(result)]
    # the first sentence of every part comes before the second of any
    turns = [
        (turn, place)
        for place, (_, texts, most) in enumerate(parts)
        for turn in range(min(len(texts), most))
    ]
    kept = sorted(turns)[: MOST - len(last)]
    found = [
        KeySentence(parts[place][0], parts[place][1][turn])
        for turn, place in sorted(kept, key=lambda one: (one[1], one[0]))
    ]
    return (*found, *last)


def boundary_share(rates: Disagreement) -> float | None:
    """Share of the differing pixels that lie in the boundary band; None when none differ.

    The overall rate is the mean of both parts' rates, weighted by their pixels, which gives the
    weight; with equal rates, or one of them unknown, only the extremes can be told.
    """
    if not rates.overall:
        return None
    if rates.boundary is None or rates.interior is None:
        return 0.0 if rates.boundary is None else 1.0
    if rates.boundary == rates.interior:
        return None
    weight = (rates.overall - rates.interior) / (rates.boundary - rates.interior)
    return round(weight * rates.boundary / rates.overall, 9)


def _coverage(info: DatasetInfo, coverage: Sequence[CoverageRow]) -> list[str]:
    whole = [row for row in coverage if row.source is None]
    training = [row for row in whole if row.split == "train"]
    found = []
    for split in info.splits:
        of_task = [row for row in whole if row.split == split and row.category is None]
        found += _split_sentence(of_task, split)
    by_category = [row for row in training if row.category is not None]
    never = _never_seen(by_category)
    # what was never seen cannot be learned, so it comes before the splits that only measure
    return [*found[:1], *never, *_least_known(by_category), *found[1:]]


def _split_sentence(rows: Sequence[CoverageRow], split: str) -> list[str]:
    """How many images of a split carry each task, the least known first."""
    if not rows:
        return []
    name, total = split_name(split), rows[0].present + rows[0].unknown
    partial = sorted((row for row in rows if row.unknown), key=lambda row: row.present)
    if not partial:
        what = "every task" if len(rows) > 1 else rows[0].task
        return [f"All {count(total)} {name} images carry a label of {what}."]
    parts: list[str] = []
    for row in partial[:NAMES_LISTED]:
        share = percent(row.present / total)
        verb = " carries a label" if row.present == 1 else " carry a label"
        parts.append(f"{count(row.present)}{'' if parts else verb} of {row.task} ({share})")
    more = len(partial) - NAMES_LISTED
    rest = f"; {count(more)} more tasks have gaps" if more > 0 else ""
    if len(partial) == len(rows) > 1:
        rest += "; no task is labeled everywhere"
    return [f"Of {count(total)} {name} images {_listed(parts)}{rest}."]


def _never_seen(rows: Sequence[CoverageRow]) -> list[str]:
    never = [f"{row.category} ({row.task})" for row in rows if not row.present]
    if not never:
        return []
    text = (
        f"No training image is known to show {_shortened(never)}: a model cannot learn that from "
        "these labels."
    )
    return [text]


def _least_known(rows: Sequence[CoverageRow]) -> list[str]:
    """The category about which least is known, where others of its task are known better."""

    def known(row: CoverageRow) -> int:
        return row.present + row.absent

    uneven = [row for row in rows if any(known(o) > known(row) for o in rows if o.task == row.task)]
    if not uneven:
        return []
    least = min(uneven, key=lambda row: known(row) / (known(row) + row.unknown))
    total = known(least) + least.unknown
    text = (
        f"Least is known about {least.category} ({least.task}): somebody looked on "
        f"{count(known(least))} of {count(total)} training images ({percent(known(least) / total)})"
        "; on the others it is unknown, not absent."
    )
    return [text]


def _leaks(result: AuditResult) -> list[str]:
    found: list[str] = []
    one = result.duplicates
    if one is None:
        return found
    if one.leaks:
        several = "groups of equal or alike images stand" if one.leaks > 1 else "group of equal or "
        several += "" if one.leaks > 1 else "alike images stands"
        found.append(
            f"{count(one.leaks)} {several} in more than one split: scores on held-out images come "
            "out too good until that is mended."
        )
    if one.crossing_groups:
        single = len(one.crossing_groups) == 1
        found.append(
            f"{'Group' if single else 'Groups'} {_shortened(one.crossing_groups)} should stand in "
            f"one split only, and {'stands' if single else 'stand'} in several."
        )
    if one.conflicting:
        groups = "groups" if one.conflicting > 1 else "group"
        found.append(
            f"{count(one.conflicting)} {groups} of equal or alike images "
            f"{'carry' if one.conflicting > 1 else 'carries'} labels that contradict each other."
        )
    return found


def _missingness(result: AuditResult) -> list[str]:
    """The strongest dependences, of different tasks first."""
    real = [one for one in result.missingness if one.strength in ("moderate", "strong")]
    real.sort(key=lambda one: (one.strength != "strong", -abs(one.effect or 0)))
    first = {one.task: one for one in reversed(real)}
    ordered = [one for one in real if first[one.task] is one]
    ordered += [one for one in real if first[one.task] is not one]
    biased = [pair for pair in result.pairs if pair.verdict == "biased"]
    found = [one.sentence for one in ordered]
    if biased and found:
        pairs = _shortened([f"{pair.task} with {pair.other}" for pair in biased])
        found[1:] = [f"The gaps of one task bias the other where you train {pairs} together."]
    return found


def _errors(info: DatasetInfo, result: AuditResult) -> list[str]:
    whole = [
        one
        for one in result.errors
        if one.category is one.source is one.annotator is None and not is_contradiction(one)
    ]
    rated = [one for one in whole if one.error_rate.value]
    rated.sort(key=lambda one: -(one.error_rate.value or 0))
    found = []
    for one in rated:
        ends = between(one.error_rate)
        found.append(
            f"An estimated {percent(one.error_rate.value)} of {_examined(info, one)} are wrong"
            f"{f' ({ends})' if ends else ''}; {_listed_for_review(info, one)}."
        )
    return [*found[:1], *_worst_annotator(result.errors), *found[1:]]


def _is_mask(info: DatasetInfo, task: str) -> bool:
    return task in info.tasks and info.tasks[task].kind in MEASURED


def _examined(info: DatasetInfo, one: LabelErrors) -> str:
    """What the rate is a share of."""
    labels = f"the {count(one.labels)} known labels of {one.task}"
    return f"the pixels of {labels}" if _is_mask(info, one.task) else labels


def _listed_for_review(info: DatasetInfo, one: LabelErrors) -> str:
    verb = "is" if one.flagged == 1 else "are"
    what = f" mask{'s' * (one.flagged != 1)}" if _is_mask(info, one.task) else ""
    return f"{count(one.flagged)}{what} {verb} listed for review"


def _worst_annotator(errors: Sequence[LabelErrors]) -> list[str]:
    """Who is clearly worse than every other annotator: the intervals do not touch."""
    rated = [
        one
        for one in errors
        if one.annotator is not None and one.category is None and one.error_rate.value is not None
    ]
    found = []
    for task in dict.fromkeys(one.task for one in rated):
        of_task = [one for one in rated if one.task == task]
        worst, *others = sorted(of_task, key=lambda one: -(one.error_rate.value or 0))
        highs = [1.0 if one.error_rate.high is None else one.error_rate.high for one in others]
        if others and (worst.error_rate.low or 0) > max(highs):
            found.append(
                f"Labels of {task} by {worst.annotator} seem wrong more often than those of every "
                f"other annotator: an estimated {percent(worst.error_rate.value)} against at most "
                f"{percent(others[0].error_rate.value)}."
            )
    return found


def _noise(info: DatasetInfo, result: AuditResult) -> list[str]:
    """One sentence a noisy task that was compared, then the estimates of the others."""
    found = []
    for pair in dict.fromkeys((one.task, one.noisy_task) for one in result.disagreements):
        of_pair = [one for one in result.disagreements if (one.task, one.noisy_task) == pair]
        found.append(_disagreement(max(of_pair, key=lambda one: one.images)))
    compared = {one.noisy_task for one in result.disagreements}
    # an estimate without a clean version is what the error rates said already
    compared |= {one.task for one in result.errors if one.error_rate.value is not None}
    found += [
        one.sentence
        for one in sorted(result.noise, key=lambda one: -(one.rate.value or 0))
        if one.category is None and one.task not in compared and one.rate.value is not None
    ]
    said = compared | {one.task for one in result.noise}
    for name, task in info.tasks.items():
        if task.noisy_version_of is not None and task.kind not in MEASURED and name not in said:
            found.append(
                f"{name} is a noisy version of {task.noisy_version_of}; how far labels of kind "
                f"{task.kind} are off is not measured."
            )
    return found


def _disagreement(rates: Disagreement) -> str:
    if rates.overall is None:
        return (
            f"How far {rates.noisy_task} is off is unknown: no image carries both it and "
            f"{rates.task}."
        )
    images = f"{count(rates.images)} {split_name(rates.split)} image" + "s" * (rates.images != 1)
    sentence = (
        f"{rates.noisy_task} disagrees with {rates.task} on {percent(rates.overall)} of the pixels "
        f"({images} with both)"
    )
    share = boundary_share(rates)
    if share is None:
        return f"{sentence}."
    missed = {
        category: 1 - agreed
        for number, category in enumerate(rates.categories)
        if (agreed := rates.confusion[number][number]) is not None
    }
    worst = max(missed, key=lambda category: missed[category])
    return (
        f"{sentence}; {percent(share, 0)} of that within {rates.band} px of a boundary. Of the "
        f"pixels that are {worst}, {rates.noisy_task} calls {percent(missed[worst])} something "
        "else."
    )


def _pseudo_labels(result: AuditResult) -> list[str]:
    """The task whose pseudo-labels are wrong most often."""
    whole = [
        one
        for one in result.pseudo_labels
        if one.category is None and one.total and one.expected_wrong.value is not None
    ]
    whole.sort(key=lambda one: -(one.expected_wrong.value or 0) / one.total)
    return [one.sentence for one in whole]


def _not_inspected(result: AuditResult) -> list[str]:
    missing = [one.section.replace("_", " ") for one in result.inspected if not one.done]
    if not missing:
        return []
    return [f"Not looked at: {_listed(missing)}. That nothing is said about it is no clean bill."]


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - NAMES_LISTED
    return _listed([*names[:NAMES_LISTED], *([f"{count(more)} more"] if more > 0 else [])])


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
