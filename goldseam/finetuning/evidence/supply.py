"""Whether categories have the known labels that a repair needs, and what to do where they do not.

Legend: N images, C categories.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy.typing as npt

from goldseam.errors import InvalidArray
from goldseam.finetuning.resampling import check_states
from goldseam.page import count

Supply = Literal["enough", "few", "no_negatives", "no_positives", "none"]


@dataclasses.dataclass(frozen=True)
class LabelSupply:
    """Whether a category has the known labels that a repair needs.

    Attributes:
        category: its name.
        supply: what there is.
        known_present: known positives.
        known_absent: known negatives.
        sentence: the same in words; empty where there is enough.
        remedy: what to do; empty where there is enough.
    """

    category: str
    supply: Supply
    known_present: int
    known_absent: int
    sentence: str
    remedy: str


def label_supply(
    labels_NC: npt.NDArray[Any], categories: Sequence[str], *, minimum_known: int = 10
) -> tuple[LabelSupply, ...]:
    """Count the known labels of every category and say where they do not suffice.

    Args:
        labels_NC: 1 present, 0 absent, -1 unknown.
        categories: names of the columns.
        minimum_known: positives, and negatives, that a repair needs.

    Raises:
        InvalidArray: a label is none of 1, 0, -1, or there is not one column a category.
    """
    if labels_NC.ndim != 2 or labels_NC.shape[1] != len(categories):
        raise InvalidArray(
            "labels",
            f"shape {labels_NC.shape} for {len(categories)} categories",
            "Hand over one row an image and one column a category.",
        )
    check_states(labels_NC, "")
    presents_C = (labels_NC == 1).sum(axis=0).tolist()
    absents_C = (labels_NC == 0).sum(axis=0).tolist()
    return tuple(
        _supply(name, presents, absents, max(1, minimum_known))
        for name, presents, absents in zip(categories, presents_C, absents_C, strict=True)
    )


def _supply(category: str, presents: int, absents: int, minimum_known: int) -> LabelSupply:
    label_more = f"Label {minimum_known} images of each, or keep the head as it is."
    if not presents and not absents:
        supply: Supply = "none"
        sentence = f"No image is known to show or not to show '{category}'."
        remedy = label_more
    elif not absents:
        supply = "no_negatives"
        sentence = (
            f"'{category}' has {count(presents)} known present labels and none that is absent: "
            "nothing tells how an image without it looks."
        )
        remedy = (
            "Label some images without it; or give its prevalence, so that unknown images count "
            "partly as absent (`pseudo_negatives`)."
        )
    elif not presents:
        supply = "no_positives"
        sentence = (
            f"'{category}' has {count(absents)} known absent labels and none that is present."
        )
        remedy = "Label some images that show it, or keep the head as it is."
    elif min(presents, absents) < minimum_known:
        supply = "few"
        sentence = (
            f"'{category}' has {count(presents)} known present and {count(absents)} known absent "
            f"labels, fewer than {minimum_known} of each."
        )
        remedy = label_more
    else:
        supply, sentence, remedy = "enough", "", ""
    return LabelSupply(category, supply, presents, absents, sentence, remedy)
