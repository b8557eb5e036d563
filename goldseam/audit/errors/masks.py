"""Wrong masks: pixels that out-of-fold predictions confidently contradict, and where they lie.

Shapes: N images, C categories, H and W pixels, M examined images.

Ignored pixels and images without a mask are never looked at, and the boundary band, where masks and
predictions differ by a pixel or two without harm, is counted apart from the interior.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldseam.audit.errors.mask_counts import (
    CONFIDENT,
    CONTRADICTED,
    PIXELS,
    ConfidenceSums,
    MaskCounts,
    MaskForm,
)
from goldseam.audit.errors.mask_rates import (
    MaskRates,
    estimate_rates,
    joint_matrix,
    transition_matrix,
)
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray

if TYPE_CHECKING:
    import pandas as pd

METHOD = "confident learning"
PRIOR_PIXELS = 16
Pictures = Callable[[], Iterable[tuple[int, str, Array, Array]]]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskErrors:
    """What `mask_errors` found; the image with the largest share of wrong pixels first.

    Attributes:
        categories: names.
        image_M: numbers of the images that were examined.
        score_M: expected share of wrong pixels among the known ones.
        flagged_M: whether a suspicious region is large enough to act on.
        region_M4: xmin, ymin, xmax, ymax of the worst connected suspicious region, px; all 0
            where there is none.
        region_pixels_M: its pixels outside the boundary band.
        given_M: category that the mask gives most of the region; -1 where there is none.
        suggested_M: category that is predicted for most of it.
        pixels: known pixels by part: interior, boundary.
        joint_3CC: P(true, given) of all pixels, the interior and the boundary band; NaN where
            undefined.
        transition_3CC: P(given | true), likewise.
        threshold_C: probability from which a category counts as confidently predicted.
        rates: shares of wrong pixels: of all, by part and by given category.
    """

    categories: tuple[str, ...]
    image_M: Array
    score_M: Array
    flagged_M: Array
    region_M4: Array
    region_pixels_M: Array
    given_M: Array
    suggested_M: Array
    pixels: tuple[int, int]
    joint_3CC: Array
    transition_3CC: Array
    threshold_C: Array
    rates: MaskRates

    def __len__(self) -> int:
        return len(self.image_M)

    def to_frame(self) -> "pd.DataFrame":
        """One row an image, the worst first, with its region in px."""
        import pandas as pd

        names = np.array([*self.categories, None], object)
        corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), self.region_M4.T, strict=True))
        return pd.DataFrame(
            {
                "image": self.image_M,
                "score": self.score_M,
                "flagged": self.flagged_M,
                **corners,
                "region_pixels": self.region_pixels_M,
                "given": names[self.given_M],
                "suggested": names[self.suggested_M],
            }
        )


def mask_errors(
    masks_NHW: Iterable[Array | None],
    probabilities_NCHW: Iterable[Array | None],
    ignore: int = 255,
    *,
    band: int = 2,
    categories: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    minimum_region: int = 25,
    resamples: int = 200,
    seed: int = 0,
) -> MaskErrors:
    """Find masks that are probably wrong, and where, and how noisy all of them are.

    Both are read twice, one image at a time: sequences, arrays (also mapped from disk) or anything
    that can be iterated again. Images may differ in size. Masks of boundaries or saliency are
    masks of two categories, absent and present.

    Assumed: predictions did not see the mask they are compared with; where they are confident they
    are mostly right. What they get wrong confidently counts as an error of the mask: the estimates
    are about as much too high as confident predictions are wrong.

    Args:
        masks_NHW: category ids; None for an image whose mask is unknown.
        probabilities_NCHW: by category, 0 to 1, float of any size, or uint8 of 0 to 255.
        ignore: id of pixels that count for nothing; predictions there are never looked at.
        band: px; so near to another category of the mask, a pixel counts as boundary.
        categories: names; their numbers when None.
        groups: images of one name are resampled together; each image alone when None.
        minimum_region: px outside the boundary band from which a region flags its image.
        resamples: draws for the intervals.
        seed: of the draws.

    Raises:
        InvalidArray: shapes do not fit, an id is no category, a prediction of a known pixel is no
            probability, or nothing is known.
    """
    for what, values in (("masks", masks_NHW), ("predictions", probabilities_NCHW)):
        if iter(values) is values:
            raise InvalidArray(
                what,
                "a generator, which can be read once, but two passes are needed",
                "Hand over a list, an array, or an object whose __iter__ starts anew.",
            )
    if categories is None:
        first = next((each for each in probabilities_NCHW if each is not None), None)
        categories = [str(number) for number in range(0 if first is None else len(first))]

    def pictures() -> Iterator[tuple[int, str, Array, Array]]:
        for number, (mask_HW, probability_CHW) in enumerate(_both(masks_NHW, probabilities_NCHW)):
            if mask_HW is not None:
                if probability_CHW is None:
                    raise InvalidArray(
                        f"predictions, image {number}",
                        "none, although the mask is known",
                        "Predict it, or set the mask to None to leave it out.",
                    )
                yield number, str(groups[number] if groups else number), mask_HW, probability_CHW

    counts = count_masks(pictures, MaskForm(tuple(categories), ignore), band)
    return rank_masks(counts, minimum_region=minimum_region, resamples=resamples, seed=seed)


def _both(
    masks: Iterable[Array | None], probabilities: Iterable[Array | None]
) -> Iterator[tuple[Array | None, Array | None]]:
    end = object()
    for number, pair in enumerate(itertools.zip_longest(masks, probabilities, fillvalue=end)):
        if any(each is end for each in pair):
            fewer = "masks" if pair[0] is end else "predictions"
            raise InvalidArray(
                "predictions",
                f"not as many as masks: there are only {number} {fewer}",
                "Hand over one prediction a mask, in the same order.",
            )
        yield pair  # type: ignore[misc]


def count_masks(pictures: Pictures, form: MaskForm, band: int) -> MaskCounts:
    """Both passes over all images.

    Args:
        pictures: starts an iteration over number, group, mask and probabilities of each image.
        form: of the masks.
        band: px of the boundary band.

    Raises:
        InvalidArray: see `mask_errors`.
    """
    sums = ConfidenceSums(form)
    for number, _, mask_HW, probabilities_CHW in pictures():
        sums.update(number, mask_HW, probabilities_CHW)
    if not sums.pixels_C.any():
        raise InvalidArray(
            f"masks of '{form.task}'" if form.task else "masks",
            "no pixel is known",
            f"There is nothing to examine: every mask is unknown or {form.ignore} (ignored).",
        )
    counts = MaskCounts(form, sums.thresholds(), band)
    for number, group, mask_HW, probabilities_CHW in pictures():
        counts.update(number, group, mask_HW, probabilities_CHW)
    return counts


def rank_masks(counts: MaskCounts, *, minimum_region: int, resamples: int, seed: int) -> MaskErrors:
    """Rates, matrices and the ranking of images from what was counted."""
    images = sorted(counts.images, key=lambda each: each.image)
    counts_MC4 = np.stack([each.counts_PC4.sum(axis=0) for each in images])
    pixels_PC = np.stack([each.counts_PC4[..., PIXELS] for each in images]).sum(axis=0)
    joints = [
        joint_matrix(joint_CC, pixels_C)
        for joint_CC, pixels_C in (
            (counts.joint_PCC.sum(axis=0), pixels_PC.sum(axis=0)),
            *zip(counts.joint_PCC, pixels_PC, strict=True),
        )
    ]
    score_M = expected_wrong(counts_MC4)
    order_M = np.argsort(-score_M, kind="stable")
    inside_M = np.array([each.region_pixels for each in images])[order_M]
    return MaskErrors(
        categories=counts.form.categories,
        image_M=np.array([each.image for each in images])[order_M],
        score_M=score_M[order_M],
        flagged_M=inside_M >= minimum_region,
        region_M4=np.array([each.region_4 for each in images])[order_M],
        region_pixels_M=inside_M,
        given_M=np.array([each.given for each in images])[order_M],
        suggested_M=np.array([each.suggested for each in images])[order_M],
        pixels=(int(pixels_PC[0].sum()), int(pixels_PC[1].sum())),
        joint_3CC=np.stack(joints),
        transition_3CC=np.stack([transition_matrix(joint_CC) for joint_CC in joints]),
        threshold_C=counts.threshold_C,
        rates=estimate_rates(images, resamples, seed),
    )


def expected_wrong(counts_MC4: Array) -> Array:
    """Expected share of wrong pixels of each image.

    A confident pixel is wrong when it contradicts the mask. One that is not confident is wrong with
    the share of contradictions among the image's confident pixels of its category, to which
    `PRIOR_PIXELS` of the share over all images are added.

    Args:
        counts_MC4: as in `mask_counts`, both parts together.
    """
    pixels_MC, confident_MC, contradicted_MC = (
        counts_MC4[..., which].astype(np.float64) for which in (PIXELS, CONFIDENT, CONTRADICTED)
    )
    total_C = confident_MC.sum(axis=0)
    rate_C = contradicted_MC.sum(axis=0) / np.maximum(total_C, 1)
    rate_MC = (contradicted_MC + PRIOR_PIXELS * rate_C) / (confident_MC + PRIOR_PIXELS)
    wrong_M = (contradicted_MC + (pixels_MC - confident_MC) * rate_MC).sum(axis=1)
    known_M = (pixels_MC * (total_C > 0)).sum(axis=1)
    score_M: Array = wrong_M / np.maximum(known_M, 1)
    return score_M
