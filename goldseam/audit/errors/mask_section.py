"""Wrong masks of a dataset's task as a section of the audit: findings, counts and noise matrices.

Shapes: C categories, H and W pixels, M findings.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from goldseam.audit.errors.config import ErrorsConfig
from goldseam.audit.errors.mask_counts import PARTS, PIXELS, ImageCounts, MaskForm
from goldseam.audit.errors.mask_rates import estimate_rates
from goldseam.audit.errors.masks import METHOD, MaskErrors, count_masks, rank_masks
from goldseam.audit.errors.section import ErrorSection
from goldseam.audit.errors.tag_section import annotator_column, plain_matrix
from goldseam.audit.findings import Action, Issue, make_findings
from goldseam.audit.label_side import LabelSide
from goldseam.audit.noise.disagreement import vocabulary
from goldseam.dataset.codecs import Array
from goldseam.page import count, percent
from goldseam.results import LabelErrors, NoiseMatrix

Images = Callable[[], Iterable[tuple[int, Array, Array]]]


def audit_masks(labels: LabelSide, task: str, images: Images, config: ErrorsConfig) -> ErrorSection:
    """Examine the known masks of a segmentation, boundary or saliency task.

    Args:
        labels: of the dataset.
        task: its name.
        images: starts an iteration over the position in `labels`, the mask `HW` of category ids and
            the out-of-fold probabilities `CHW` of each image that has both; called twice.
        config: options.

    Raises:
        InvalidArray: a prediction does not fit its mask or is no probability, or nothing is known.
        InvalidConfig: there is no metadata column of the annotator's name.
    """
    annotator_N = annotator_column(labels, config)
    declared = labels.info.task(task)
    form = MaskForm(vocabulary(declared), declared.ignore, task)

    def pictures() -> Iterator[tuple[int, str, Array, Array]]:
        for position, mask_HW, probabilities_CHW in images():
            group = labels.groups[labels.group_N[position]]
            yield position, group, mask_HW, probabilities_CHW

    counts = count_masks(pictures, form, config.band)
    found = rank_masks(
        counts,
        minimum_region=config.minimum_region,
        resamples=config.resamples,
        seed=config.seed,
    )
    source_N = labels.source_names(task, np.arange(len(labels)))
    raters = [
        *_by_rater(task, "source", source_N, counts.images, found, config),
        *(_by_rater(task, "annotator", annotator_N, counts.images, found, config)
          if annotator_N is not None else ()),
    ]  # fmt: skip
    examined = len(found)
    known = int(labels.known[task].sum())
    left_out = (
        f"{count(known - examined)} masks of '{task}' have no prediction and were not examined."
    )
    return ErrorSection(
        findings=_findings(labels, task, found),
        errors=(*_errors(task, counts.images, found), *raters),
        matrices=_matrices(task, found),
        sentences=(left_out,) if known > examined else (),
    )


def _findings(labels: LabelSide, task: str, found: MaskErrors) -> pa.Table:
    flagged = np.flatnonzero(found.flagged_M)
    row_M, region_M4 = found.image_M[flagged], found.region_M4[flagged].astype(np.float32)
    given, suggested = (
        [found.categories[number] for number in numbers[flagged].tolist()]
        for numbers in (found.given_M, found.suggested_M)
    )
    evidence = [
        f"A region of {count(pixels)} px in the interior is labeled {label} but predicted to be "
        f"{other}; about {percent(share)} of the mask's pixels are expected to be wrong."
        for pixels, label, other, share in zip(
            found.region_pixels_M[flagged].tolist(),
            given,
            suggested,
            found.score_M[flagged].tolist(),
            strict=True,
        )
    ]
    return make_findings(
        **labels.where(row_M),
        task=task,
        issue=Issue.WRONG_MASK,
        action=Action.REDRAW,
        score=found.score_M[flagged],
        evidence=pa.array(evidence, pa.string()),
        category=pa.array(given, pa.string()),
        given=pa.array(given, pa.string()),
        suggested=pa.array(suggested, pa.string()),
        source=labels.source_names(task, row_M),
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), region_M4.T, strict=True)),
    )


def _errors(task: str, images: list[ImageCounts], found: MaskErrors) -> tuple[LabelErrors, ...]:
    """Of the task and its categories; `labels` counts images that show the category."""
    shown_C = np.sum([each.counts_PC4[..., PIXELS].sum(axis=0) > 0 for each in images], axis=0)
    flagged_C = np.bincount(found.given_M[found.flagged_M], minlength=len(shown_C))
    flagged = int(found.flagged_M.sum())
    whole = LabelErrors(task, None, None, None, len(found), flagged, found.rates.whole, METHOD)
    return (
        whole,
        *(
            LabelErrors(task, name, None, None, int(shown), int(marked), rate, METHOD)
            for name, shown, marked, rate in zip(
                found.categories, shown_C, flagged_C, found.rates.categories, strict=True
            )
        ),
    )


def _by_rater(
    task: str,
    kind: str,
    name_N: pa.Array,
    images: list[ImageCounts],
    found: MaskErrors,
    config: ErrorsConfig,
) -> Iterator[LabelErrors]:
    """Counts and rates of every source or annotator."""
    named: dict[str, list[ImageCounts]] = {}
    names = name_N.take(pa.array([each.image for each in images])).to_pylist()
    for name, each in zip(names, images, strict=True):
        if name is not None:
            named.setdefault(str(name), []).append(each)
    flagged = set(found.image_M[found.flagged_M].tolist())
    for name, part in sorted(named.items()):
        yield LabelErrors(
            task=task,
            category=None,
            source=name if kind == "source" else None,
            annotator=name if kind == "annotator" else None,
            labels=len(part),
            flagged=sum(each.image in flagged for each in part),
            error_rate=estimate_rates(part, config.resamples, config.seed).whole,
            method=METHOD,
        )


def _matrices(task: str, found: MaskErrors) -> tuple[NoiseMatrix, ...]:
    labels = (sum(found.pixels), *found.pixels)
    return tuple(
        NoiseMatrix(
            task=task,
            category=None,
            part=part,
            method=METHOD,
            labels=pixels,
            categories=found.categories,
            joint=plain_matrix(joint_CC),
            transition=plain_matrix(transition_CC),
        )
        for part, pixels, joint_CC, transition_CC in zip(
            ("all", *PARTS), labels, found.joint_3CC, found.transition_3CC, strict=True
        )
    )
