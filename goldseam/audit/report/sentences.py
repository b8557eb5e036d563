"""The findings of an audit in words that the owner of the labels reads."""

from collections.abc import Sequence

from goldseam.audit.noise.disagreement import MEASURED, Measured
from goldseam.dataset.schema import DatasetInfo
from goldseam.page import count, percent, split_name
from goldseam.results import CoverageRow

NEVER_SEEN_LISTED = 5


def audit_sentences(
    info: DatasetInfo, coverage: Sequence[CoverageRow], measured: Sequence[Measured]
) -> list[str]:
    """What is labeled, what is not, and how far the noisy labels are off."""
    whole = [row for row in coverage if row.source is None]
    found = []
    for split in info.splits:
        found += _coverage_sentences([r for r in whole if r.split == split], split)
    for one in measured:
        found.append(_disagreement_sentence(one))
    for name, task in info.tasks.items():
        if task.noisy_version_of is not None and task.kind not in MEASURED:
            found.append(
                f"{name} is a noisy version of {task.noisy_version_of}; how far labels of kind "
                f"{task.kind} are off is not measured."
            )
    return found


def _coverage_sentences(rows: Sequence[CoverageRow], split: str) -> list[str]:
    of_task = [row for row in rows if row.category is None]
    name = split_name(split)
    found = []
    complete = [row.task for row in of_task if not row.unknown]
    total = count(of_task[0].present + of_task[0].unknown) if of_task else "0"
    if complete and len(complete) == len(of_task):
        found.append(f"All {total} {name} images carry a label of every task.")
    elif complete:
        found.append(f"All {total} {name} images carry a label of {_listed(complete)}.")
    parts: list[str] = []
    for row in (row for row in of_task if row.unknown):
        share = percent(row.present / (row.present + row.unknown))
        verb = " carries a label" if row.present == 1 else " carry a label"
        parts.append(f"{count(row.present)}{'' if parts else verb} of {row.task} ({share})")
    if parts:
        found.append(f"Of {total} {name} images {_listed(parts)}.")
    if split == "train":
        found += _category_sentences([row for row in rows if row.category is not None])
    return found


def _category_sentences(rows: Sequence[CoverageRow]) -> list[str]:
    """The least known category of each task, and categories that nobody has ever seen there."""
    found = []
    for task in dict.fromkeys(row.task for row in rows):
        of_task = [row for row in rows if row.task == task]
        least = min(of_task, key=lambda row: row.present + row.absent)
        known, total = least.present + least.absent, least.present + least.absent + least.unknown
        if any(row.present + row.absent > known for row in of_task):
            found.append(
                f"The least known category of {task} in training is {least.category}: known on "
                f"{count(known)} of {count(total)} images ({percent(known / total)})."
            )
        never = [str(row.category) for row in of_task if not row.present]
        if never:
            more = len(never) - NEVER_SEEN_LISTED
            names = never[:NEVER_SEEN_LISTED] + ([f"{more} more"] if more > 0 else [])
            found.append(
                f"No training image is known to show {_listed(names)} ({task}): a model cannot "
                "learn that from these labels."
            )
    return found


def _disagreement_sentence(one: Measured) -> str:
    rates = one.rates
    if rates.overall is None:
        return (
            f"How far {rates.noisy_task} is off in the {split_name(rates.split)} split is unknown: "
            f"no image carries both it and {rates.task}."
        )
    images = f"{count(rates.images)} {split_name(rates.split)} image" + "s" * (rates.images != 1)
    sentence = (
        f"{rates.noisy_task} disagrees with {rates.task} on {percent(rates.overall)} of the pixels "
        f"({images} with both)"
    )
    if one.boundary_share is None:
        return f"{sentence}."
    share = percent(one.boundary_share, 0)
    missed = {
        category: 1 - agreed
        for number, category in enumerate(rates.categories)
        if (agreed := rates.confusion[number][number]) is not None
    }
    worst = max(missed, key=lambda category: missed[category])
    return (
        f"{sentence}; {share} of that within {rates.band} px of a boundary. Of the pixels that are "
        f"{worst}, {rates.noisy_task} calls {percent(missed[worst])} something else."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
