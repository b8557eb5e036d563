"""Boxes that are missing, invented, badly placed or of the wrong category.

Labels of images nobody looked at, predictions in them, and what lies under an ignore box are never
read. N images, L labeled boxes, P predicted boxes, M findings, C categories.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from goldseam.audit.errors.box_config import BoxConfig
from goldseam.audit.errors.box_judgment import judge_boxes
from goldseam.audit.errors.flat_boxes import (
    LabeledBoxes,
    PredictedBoxes,
    ScoredBoxes,
    flatten_labels,
    flatten_predictions,
)
from goldseam.audit.findings import Issue
from goldseam.audit.statistics.shares import Trials, shares
from goldseam.dataset.codecs import Array, Boxes
from goldseam.errors import InvalidArray
from goldseam.results import Estimate

__all__ = [
    "PARTS",
    "BoxConfig",
    "BoxErrors",
    "BoxRates",
    "PredictedBoxes",
    "box_errors",
    "find_box_errors",
]

PARTS = ("omission", "invention", "misplacement", "wrong_category")


@dataclasses.dataclass(frozen=True)
class BoxRates:
    """Estimated shares of wrong boxes of one category.

    Attributes:
        category: a name; None for all.
        labels: labeled boxes that were judged.
        flagged: findings, missing boxes among them.
        omission: share of objects without a box: of the predictions at least as sure as the average
            matched one, those without a label. Assumes that such predictions show objects; None
            where the category is not exhaustive.
        invention: share of labeled boxes with nothing in them: of those larger than the median of
            their category, the ones no prediction supports. Assumes that the model finds every
            real object of that size.
        misplacement: share of boxes that a prediction touches which lie badly.
        wrong_category: share of the boxes that a prediction matches which name another category.
    """

    category: str | None
    labels: int
    flagged: int
    omission: Estimate
    invention: Estimate
    misplacement: Estimate
    wrong_category: Estimate


@dataclasses.dataclass(frozen=True, eq=False)
class BoxErrors:
    """What `box_errors` found; rows M are findings, the most suspicious first.

    A label, like a prediction, is in one finding at most.

    Attributes:
        issue_M: values of `Issue`.
        image_M: positions of images.
        label_M: position of the box within its image; -1 for a missing one.
        prediction_M: position of the prediction within its image; -1 for a spurious box.
        category_M: id that the label gives, or for a missing box should give.
        suggested_M: id that it should give; -1 for none.
        score_M: 0 to 1. Missing, and wrong category: the estimated chance that the label is wrong,
            given how often labels are and how often predictions this sure are confirmed in other
            images; never more than that share. A rival of the given category lowers it. Misplaced:
            the same chance, less half of the share of the usual overlap that is left. Spurious:
            half of the share of labels of that size which the model finds in other images, since
            nothing tells an invented object from one that the model overlooks.
        support_M: that share of confirmed cases in other images.
        confidence_M: score of the prediction; NaN without one.
        overlap_M: intersection over union of label and prediction; NaN without one of them.
        corners_M4: of the label, or of the prediction where the label is missing.
        suggested_corners_M4: of the prediction; NaN without one.
        rates: for all categories together (first), then for each.
        confusion_CC: expected boxes by true (row) and given category; the last row and column are
            "nothing": invented and left-out boxes. NaN where that cannot be told.
        usual_overlap_C: median overlap of matched boxes; NaN with too few.
        trials: what the rates of `PARTS` are made of; cells are categories, clusters images.
        judged: labeled boxes that were looked at, by category.
        categories: names.
    """

    issue_M: Array
    image_M: Array
    label_M: Array
    prediction_M: Array
    category_M: Array
    suggested_M: Array
    score_M: Array
    support_M: Array
    confidence_M: Array
    overlap_M: Array
    corners_M4: Array
    suggested_corners_M4: Array
    rates: tuple[BoxRates, ...]
    confusion_CC: Array
    usual_overlap_C: Array
    trials: dict[str, Trials]
    judged: Trials
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image_M)

    def to_frame(self) -> Any:
        """The findings as a pandas data frame."""
        import pandas as pd

        names = np.array([*self.categories, ""], object)
        columns = {
            "image": self.image_M,
            "issue": self.issue_M.astype(str),
            "label": self.label_M,
            "prediction": self.prediction_M,
            "category": names[self.category_M],
            "suggested": names[self.suggested_M],
            "score": self.score_M,
            "confidence": self.confidence_M,
            "overlap": self.overlap_M,
        }
        for number, side in enumerate(("xmin", "ymin", "xmax", "ymax")):
            columns[side] = self.corners_M4[:, number]
        return pd.DataFrame(columns)


def box_errors(
    labels: Iterable[Boxes | None],
    predictions: Iterable[PredictedBoxes | None],
    *,
    categories: Sequence[str],
    exhaustive: bool | Sequence[bool] = True,
    groups: Sequence[Any] | Array | None = None,
    config: BoxConfig | None = None,
) -> BoxErrors:
    """Find missing, spurious, badly placed and wrongly named boxes.

    The predictions must come from a model that never saw the labels of the image. Labels are
    matched with predictions one to one, as COCO does: the surest prediction first, at an overlap of
    at least `config.match`. What is left over, and how often boxes like it are confirmed in other
    images, makes the findings: confident learning (Northcutt et al. 2021) carried over to boxes.

    Args:
        labels: N; None where nobody looked, empty where somebody looked and found none.
        predictions: N; None where no prediction was made. Images without either are left out.
        categories: names by id.
        exhaustive: whether every object is boxed, for all categories or for each; nothing is ever
            missing in a category that is not exhaustive.
        groups: N; images of one group are not independent in the intervals. Each image by default.
        config: thresholds.

    Raises:
        InvalidArray: the numbers of images differ; an array has the wrong shape; a score is no
            probability; a box has no area or corners that are no number; a category id is unknown;
            no image has both labels and predictions.
    """
    config = config or BoxConfig()
    given, predicted = list(labels), list(predictions)
    if len(given) != len(predicted):
        raise InvalidArray(
            "predictions",
            f"{len(predicted)} images, and the labels have {len(given)}",
            "Give one entry an image, None where no prediction was made.",
        )
    rows = [
        row
        for row, pair in enumerate(zip(given, predicted, strict=True))
        if pair[0] is not None and pair[1] is not None
    ]
    label_boxes = flatten_labels(given, rows, len(categories))
    scored = flatten_predictions(((row, predicted[row]) for row in rows), len(categories))
    cluster_N = np.arange(len(given))
    if groups is not None:
        cluster_N = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
        if len(cluster_N) != len(given):
            raise InvalidArray(
                "groups",
                f"{len(cluster_N)} groups for {len(given)} images",
                "Give one group an image.",
            )
    exhaustive_C = np.broadcast_to(np.asarray(exhaustive, bool), len(categories))
    return find_box_errors(label_boxes, scored, categories, exhaustive_C, cluster_N, config)


def find_box_errors(
    labels: LabeledBoxes,
    predictions: ScoredBoxes,
    categories: Sequence[str],
    exhaustive_C: Array,
    cluster_N: Array,
    config: BoxConfig,
) -> BoxErrors:
    """`box_errors` on flat arrays, of images that have both labels and predictions."""
    verdict = judge_boxes(labels, predictions, exhaustive_C, config)
    found, count = verdict.findings, len(categories)
    order_M = np.lexsort((found["image"], -found["score"]))
    columns = {f"{name}_M": column[order_M] for name, column in found.items()}
    flagged_C = np.bincount(found["category"], minlength=count)
    judged_C = np.bincount(verdict.judged.cell_K, minlength=count)
    trials = {
        name: dataclasses.replace(part, cluster_K=cluster_N[part.cluster_K])
        for name, part in verdict.trials.items()
    }
    by_part = {name: shares([part], count) for name, part in trials.items()}
    together = {name: shares([part.together()], 1)[0] for name, part in trials.items()}
    rates = [BoxRates(None, int(judged_C.sum()), int(flagged_C.sum()), **together)]
    rates += [
        BoxRates(
            name,
            int(judged_C[number]),
            int(flagged_C[number]),
            **{part: by_part[part][number] for part in PARTS},
        )
        for number, name in enumerate(categories)
    ]
    label_M, prediction_M = columns["label_M"], columns["prediction_M"]
    no_box = np.full(4, np.nan)
    label_corners = np.concatenate([labels.corners_L4, no_box[None]])
    prediction_corners = np.concatenate([predictions.corners_P4, no_box[None]])
    corners_M4 = np.where(
        label_M[:, None] >= 0, label_corners[label_M], prediction_corners[prediction_M]
    )
    suggested_M4 = prediction_corners[prediction_M]
    # from positions among all boxes to positions within the image
    columns["label_M"] = np.where(label_M >= 0, np.append(labels.number_L, -1)[label_M], -1)
    columns["prediction_M"] = np.where(
        prediction_M >= 0, np.append(predictions.number_P, -1)[prediction_M], -1
    )
    return BoxErrors(
        **columns,
        corners_M4=corners_M4,
        suggested_corners_M4=suggested_M4,
        rates=tuple(rates),
        confusion_CC=_expected_confusion(found, judged_C, rates[1:]),
        usual_overlap_C=verdict.usual_overlap_C,
        trials=verdict.trials,
        judged=verdict.judged,
        categories=tuple(categories),
    )


def _expected_confusion(
    found: dict[str, Array], judged_C: Array, rates: Sequence[BoxRates]
) -> Array:
    """Boxes by true and given category: the estimated rates, shared out over what was given."""
    count = len(judged_C)
    confusion_CC = np.zeros((count + 1, count + 1))
    invented_C = np.array([rate.invention.value for rate in rates], np.float64)
    real_C = judged_C * (1 - np.nan_to_num(invented_C))
    renamed_M = found["issue"] == Issue.WRONG_CATEGORY
    given_M, true_M = found["category"][renamed_M], found["suggested"][renamed_M]
    np.add.at(confusion_CC, (true_M, given_M), 1)
    confusion_CC[np.arange(count), np.arange(count)] = np.maximum(
        real_C - np.bincount(given_M, minlength=count), 0
    )
    omitted_C = np.array([rate.omission.value for rate in rates], np.float64)
    shown_C = confusion_CC.sum(axis=1)[:count]
    confusion_CC[:count, count] = omitted_C * shown_C / np.maximum(1 - omitted_C, 1e-9)
    confusion_CC[count, :count] = judged_C * invented_C
    # how often nothing was there and nothing was drawn is no number
    confusion_CC[count, count] = np.nan
    return confusion_CC
