"""What confident learning needs to know of masks and their predictions, image by image.

Shapes: C categories, H and W pixels, N images, P the two parts of a mask (interior, boundary).

Two passes, each of sums of integers, so that any cut into shards gives the same numbers and memory
does not grow with pixels: `ConfidenceSums` gives the thresholds, `MaskCounts` counts with them.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.audit.noise.disagreement import BOUNDARY, INTERIOR, boundary_band
from goldseam.audit.regions import Regions
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray

PARTS = ("interior", "boundary")
NOWHERE = -1
# probabilities are summed as integers, since sums of floats depend on their order
UNIT = 1 << 20
# per image, part and given category
PIXELS, CONFIDENT, CONTRADICTED, CLAIMED = range(4)


@dataclasses.dataclass(frozen=True)
class MaskForm:
    """What all masks of a task share.

    Attributes:
        categories: names; their number is C.
        ignore: id of pixels that count for nothing.
        task: named in errors; empty for none.
    """

    categories: tuple[str, ...]
    ignore: int = 255
    task: str = ""

    def read(
        self, mask_HW: Array, probabilities_CHW: Array, image: int
    ) -> tuple[Array, Array, Array]:
        """Category ids (0 where ignored), where they are known, and float32 probabilities.

        What is predicted at ignored pixels is never looked at.

        Raises:
            InvalidArray: the shapes do not fit, an id is no category, or the prediction of a known
                pixel is no probability; names image and pixel.
        """
        mask_HW, probabilities_CHW = np.asarray(mask_HW), np.asarray(probabilities_CHW)
        of = f" of '{self.task}'" if self.task else ""
        expected = (len(self.categories), *mask_HW.shape)
        if mask_HW.ndim != 2 or probabilities_CHW.shape != expected:
            raise InvalidArray(
                f"predictions{of}, image {image}",
                f"shape {probabilities_CHW.shape} for a mask of {mask_HW.shape}, expected "
                f"{len(self.categories)} categories x height x width",
                "Predict every category of the mask, in their order, at the size of the mask.",
            )
        known_HW = mask_HW != self.ignore
        strange_HW = known_HW & ((mask_HW < 0) | (mask_HW >= len(self.categories)))
        if mask_HW.dtype.kind == "f":
            # NaN is neither below nor above, and a half would be cut down to a category
            strange_HW |= known_HW & (mask_HW % 1 != 0)
        if strange_HW.any():
            y, x = np.argwhere(strange_HW)[0]
            raise InvalidArray(
                f"mask{of}, image {image}, row {y}, column {x}",
                f"id {mask_HW[y, x]}, expected 0 to {len(self.categories) - 1} or {self.ignore}",
                "Map the id to a category, or to the ignored one.",
            )
        known_probabilities_CHW = _as_probabilities(probabilities_CHW)
        # NaN fails this as well; only then is it worth asking where
        inside = known_probabilities_CHW.min(initial=0) >= 0
        if not (inside and known_probabilities_CHW.max(initial=1) <= 1):
            self._check(known_probabilities_CHW, known_HW, f"predictions{of}, image {image}")
        return np.where(known_HW, mask_HW, 0).astype(np.intp), known_HW, known_probabilities_CHW

    def _check(self, probabilities_CHW: Array, known_HW: Array, what: str) -> None:
        fine_CHW = (probabilities_CHW >= 0) & (probabilities_CHW <= 1)
        wrong = np.argwhere(~fine_CHW & known_HW)
        if len(wrong):
            category, y, x = wrong[0]
            raise InvalidArray(
                f"{what}, category '{self.categories[category]}', row {y}, column {x}",
                f"{probabilities_CHW[category, y, x]}, expected a probability of 0 to 1",
                "Apply a softmax (or sigmoid) to scores (logits); predict every known pixel, or "
                f"set it to {self.ignore} to leave it out.",
            )


def _as_probabilities(probabilities_CHW: Array) -> Array:
    if probabilities_CHW.dtype == np.uint8:
        scaled_CHW: Array = probabilities_CHW * np.float32(1 / 255)
        return scaled_CHW
    return probabilities_CHW.astype(np.float32, copy=False)


class ConfidenceSums:
    """First pass: how sure the predictions are of the categories that the masks give."""

    def __init__(self, form: MaskForm) -> None:
        self.form = form
        self.pixels_C = np.zeros(len(form.categories), np.int64)
        self.claimed_C = np.zeros(len(form.categories), np.int64)

    def update(self, image: int, mask_HW: Array, probabilities_CHW: Array) -> None:
        """Take in one image; `image` is its number, for errors."""
        mask_HW, known_HW, probabilities_CHW = self.form.read(mask_HW, probabilities_CHW, image)
        at_K = np.flatnonzero(known_HW)
        given_K = mask_HW.ravel()[at_K]
        claimed_K = probabilities_CHW.reshape(-1).take(given_K * mask_HW.size + at_K)
        whole_K = np.rint(claimed_K * np.float32(UNIT))
        self.pixels_C += np.bincount(given_K, minlength=len(self.pixels_C))
        # float64 holds these sums of integers exactly
        self.claimed_C += np.bincount(given_K, whole_K, len(self.claimed_C)).astype(np.int64)

    def merge(self, other: "ConfidenceSums") -> "ConfidenceSums":
        """The sums of both parts' images."""
        both = ConfidenceSums(self.form)
        both.pixels_C = self.pixels_C + other.pixels_C
        both.claimed_C = self.claimed_C + other.claimed_C
        return both

    def thresholds(self) -> Array:
        """Mean probability of a category where the masks give it; NaN where they never do.

        Northcutt, Jiang and Chuang (2021), Confident Learning, equation 2.
        """
        threshold_C = np.full(len(self.pixels_C), np.nan)
        np.divide(self.claimed_C, self.pixels_C * UNIT, out=threshold_C, where=self.pixels_C > 0)
        # rounding must not turn away predictions that are the same everywhere
        return threshold_C - 1 / UNIT


@dataclasses.dataclass(frozen=True, eq=False)
class ImageCounts:
    """One image of the second pass.

    Attributes:
        image: its number.
        group: what it is resampled with.
        counts_PC4: pixels, confidently predicted ones, those of them that contradict the mask, and
            the sum of their probabilities in units of 1 / `UNIT`, by part and given category.
        region_4: xmin, ymin, xmax, ymax of the worst connected suspicious region, px.
        region_pixels: its size without the boundary band, px.
        given: the category that the mask gives most of that region; `NOWHERE` without a region.
        suggested: the category that is predicted for most of it.
    """

    image: int
    group: str
    counts_PC4: Array
    region_4: tuple[int, int, int, int]
    region_pixels: int
    given: int
    suggested: int


class MaskCounts:
    """Second pass: what each image's mask and prediction confidently disagree on.

    Args:
        form: of the masks.
        threshold_C: of the first pass over all images.
        band: px of the boundary band of the given mask.
    """

    def __init__(self, form: MaskForm, threshold_C: Array, band: int) -> None:
        self.form, self.threshold_C, self.band = form, threshold_C, band
        categories = len(form.categories)
        self.joint_PCC = np.zeros((len(PARTS), categories, categories), np.int64)
        self.images: list[ImageCounts] = []

    def update(self, image: int, group: str, mask_HW: Array, probabilities_CHW: Array) -> None:
        """Take in one image.

        Args:
            image: its number, unique.
            group: what it is resampled with.
            mask_HW: category ids, or the ignored one.
            probabilities_CHW: 0 to 1, or uint8 of 0 to 255.
        """
        mask_HW, known_HW, probabilities_CHW = self.form.read(mask_HW, probabilities_CHW, image)
        categories = len(self.form.categories)
        confident_HW, claimed_HW = confident_categories(probabilities_CHW, self.threshold_C)
        # a rare category has a low threshold; it contradicts a mask only where it is likelier
        y_K, x_K = np.nonzero((confident_HW != mask_HW) & (confident_HW != NOWHERE))
        given_K = probabilities_CHW[mask_HW[y_K, x_K], y_K, x_K]
        overruled_K = claimed_HW[y_K, x_K] <= given_K
        confident_HW[y_K[overruled_K], x_K[overruled_K]] = NOWHERE
        boundary_HW = boundary_band(mask_HW, known_HW, self.band)
        part_K = boundary_HW[known_HW].astype(np.intp)
        given_K, confident_K = mask_HW[known_HW], confident_HW[known_HW]
        cell_K = (part_K * categories + given_K) * (categories + 1) + confident_K + 1
        shape = (len(PARTS), categories, categories + 1)
        count_PCC = np.bincount(cell_K, minlength=int(np.prod(shape))).reshape(shape)
        sure_K = confident_K != NOWHERE
        whole_K = np.rint(np.where(sure_K, claimed_HW[known_HW], 0) * np.float32(UNIT))
        claimed = np.bincount(part_K * categories + given_K, whole_K, len(PARTS) * categories)
        joint_PCC = count_PCC[:, :, 1:]
        self.joint_PCC += joint_PCC
        sure_PC = joint_PCC.sum(axis=2)
        counts_PC4 = np.stack(
            [
                count_PCC.sum(axis=2),
                sure_PC,
                sure_PC - np.einsum("pcc->pc", joint_PCC),
                claimed.astype(np.int64).reshape(sure_PC.shape),
            ],
            axis=2,
        )
        suspicious_HW = known_HW & (confident_HW >= 0) & (confident_HW != mask_HW)
        region = _worst_region(suspicious_HW, boundary_HW, mask_HW, confident_HW)
        self.images.append(ImageCounts(image, group, counts_PC4, *region))

    def merge(self, other: "MaskCounts") -> "MaskCounts":
        """The counts of both parts' images, made with the same thresholds.

        Raises:
            InvalidArray: they were made with other thresholds, categories or bands.
        """
        same = self.form == other.form and self.band == other.band
        if not (same and np.array_equal(self.threshold_C, other.threshold_C, equal_nan=True)):
            raise InvalidArray(
                "mask counts",
                "two parts were counted with other thresholds, categories or boundary bands",
                "Merge the first pass of all parts, and count all parts with its thresholds.",
            )
        both = MaskCounts(self.form, self.threshold_C, self.band)
        both.joint_PCC = self.joint_PCC + other.joint_PCC
        both.images = sorted([*self.images, *other.images], key=lambda each: each.image)
        return both


def confident_categories(
    probabilities_CHW: Array, threshold_C: Sequence[float] | Array
) -> tuple[Array, Array]:
    """The likeliest category among those at or above their threshold, and its probability.

    Returns:
        intp HW with `NOWHERE` where none is, float32 HW with 0 there.
    """
    best_HW = np.full(probabilities_CHW.shape[1:], NOWHERE, np.int16)
    claimed_HW = np.zeros(probabilities_CHW.shape[1:], np.float32)
    for category, threshold in enumerate(np.asarray(threshold_C, np.float32)):
        probability_HW = probabilities_CHW[category]
        better_HW = (probability_HW >= threshold) & (probability_HW > claimed_HW)
        np.copyto(best_HW, np.int16(category), where=better_HW)
        np.copyto(claimed_HW, probability_HW, where=better_HW)
    return best_HW.astype(np.intp), claimed_HW


def _worst_region(
    suspicious_HW: Array, boundary_HW: Array, mask_HW: Array, confident_HW: Array
) -> tuple[tuple[int, int, int, int], int, int, int]:
    """Box, pixels outside the band, given and suggested category of the largest region."""
    if not suspicious_HW.any():
        return (0, 0, 0, 0), 0, NOWHERE, NOWHERE
    regions = Regions.of(suspicious_HW)
    inside_M = regions.pixels(suspicious_HW & ~boundary_HW)
    inside_M[0] = -1  # all that is not suspicious
    # by pixels outside the band, then by all pixels, then the first one
    first_M = -np.arange(len(inside_M))
    worst = int(np.lexsort((first_M, regions.area_M, inside_M))[-1])
    here_HW = regions.label_HW == worst
    return (
        regions.box(worst),
        int(inside_M[worst]),
        int(np.bincount(mask_HW[here_HW]).argmax()),
        int(np.bincount(confident_HW[here_HW]).argmax()),
    )


assert PARTS[INTERIOR] == "interior"
assert PARTS[BOUNDARY] == "boundary"
