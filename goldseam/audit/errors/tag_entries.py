"""The known entries of a tag matrix with their predictions, block by block, checked and binned.

Shapes: N images, C categories, E known entries of a block in row-major order, B bins of the logit.

What stands in the predictions of unknown entries is never looked at. A block holds some two
million entries, so that arrays may be larger than memory (`numpy.memmap`).
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.errors import InvalidArray

BINS = 64
LARGEST_LOGIT = 9.0
WIDTH = 2 * LARGEST_LOGIT / BINS
LOGIT_B = -LARGEST_LOGIT + WIDTH * (np.arange(BINS) + 0.5)
BLOCK = 1 << 21
# a float32 of 0 to 1 without its last 13 bits: a step of 1/2048 near 1, finer below
DROPPED_BITS = 13


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """Known entries of some rows.

    Attributes:
        flat_E: position in the whole matrix, row · C + category.
        cell_E: (category · 2 + given) · B + bin.
        probability_E: float32.
    """

    flat_E: Array
    cell_E: Array
    probability_E: Array


class TagMatrix:
    """Labels and predictions of the same images and categories.

    Raises:
        InvalidArray: the two do not fit each other, or are empty.
    """

    def __init__(
        self,
        labels_NC: Array,
        probabilities_NC: Array,
        categories: Sequence[str] | None,
        task: str | None = None,
    ) -> None:
        # what errors call the two
        self.labels_name, self.predictions_name = (
            name if task is None else f"{name} of '{task}'" for name in ("labels", "predictions")
        )
        self.labels_NC = np.asanyarray(labels_NC)
        self.probabilities_NC = np.asanyarray(probabilities_NC)
        labels, predicted = self.labels_NC.shape, self.probabilities_NC.shape
        if len(labels) != 2 or 0 in labels:
            raise InvalidArray(
                self.labels_name,
                f"shape {labels}, expected images x categories, at least one of each",
                "Hand over one row an image and one column a category, 1, 0 or -1 each.",
            )
        if labels != predicted:
            raise InvalidArray(
                self.predictions_name,
                f"shape {predicted}, but labels have {labels}: they are for other images or other "
                "categories",
                "Predict every category of the labels, in their order, for the same images.",
            )
        if categories is not None and len(categories) != labels[1]:
            raise InvalidArray(
                "categories",
                f"{len(categories)} names for {labels[1]} columns of labels",
                "Name every column of the labels once.",
            )
        _check_number(self.labels_NC, self.labels_name, "1 present, 0 absent, -1 unknown")
        _check_number(self.probabilities_NC, self.predictions_name, "probabilities of present")
        self.categories = (
            tuple(categories)
            if categories is not None
            else tuple(str(number) for number in range(labels[1]))
        )
        self._whole: Entries | None = None

    def blocks(self) -> Iterator[Entries]:
        """Known entries in row-major order; a matrix of one block is read once.

        Raises:
            InvalidArray: a label is none of 1, 0, -1, or the prediction of a known entry is no
                probability; names row, category and value.
        """
        images, categories = self.labels_NC.shape
        rows = max(1, BLOCK // categories)
        if self._whole is not None:
            yield self._whole
            return
        for start in range(0, images, rows):
            entries = self._read(start, start + rows)
            if rows >= images:
                self._whole = entries
            yield entries

    def _read(self, start: int, stop: int) -> Entries:
        label_F = np.ravel(self.labels_NC[start:stop])
        if label_F.dtype != np.int8:
            label_F = self._as_states(label_F, start)
        flat_E = np.flatnonzero(label_F != UNKNOWN)
        given_E = label_F[flat_E]
        strange_E = given_E.view(np.uint8) > PRESENT
        if strange_E.any():
            at = int(flat_E[strange_E.argmax()])
            raise self._strange(label_F[at], at, start)
        predicted_F = np.ravel(self.probabilities_NC[start:stop])
        probability_E = predicted_F[flat_E].astype(np.float32, copy=False)
        # written so that NaN fails as well
        if len(flat_E) and not (probability_E.min() >= 0 and probability_E.max() <= 1):
            outside_E = ~((probability_E >= 0) & (probability_E <= 1))
            raise self._no_probability(int(flat_E[outside_E.argmax()]), start)
        # adding 0 turns -0 into 0, whose bits are in the table
        code_E = (probability_E + np.float32(0)).view(np.uint32) >> DROPPED_BITS
        categories = self.labels_NC.shape[1]
        cell_E = flat_E % categories
        cell_E *= 2
        cell_E += given_E
        cell_E *= BINS
        cell_E += _bin_of_code().take(code_E)
        return Entries(flat_E + start * categories, cell_E, probability_E)

    def _as_states(self, label_F: Array, start: int) -> Array:
        state_F = np.full(label_F.shape, 2, np.int8)
        for state in (ABSENT, PRESENT, UNKNOWN):
            state_F[label_F == state] = state
        strange_F = state_F == 2
        if strange_F.any():
            at = int(strange_F.argmax())
            raise self._strange(label_F[at], at, start)
        return state_F

    def _where(self, at: int, start: int) -> str:
        row, category = divmod(at, len(self.categories))
        return f"row {start + row}, category '{self.categories[category]}'"

    def _strange(self, value: object, at: int, start: int) -> InvalidArray:
        return InvalidArray(
            self.labels_name,
            f"{self._where(at, start)}: {value}, expected 1 present, 0 absent or -1 unknown",
            "Write -1 where nobody looked; map other codes (such as 2 for uncertain) to -1.",
        )

    def _no_probability(self, at: int, start: int) -> InvalidArray:
        row, category = divmod(at, len(self.categories))
        value = self.probabilities_NC[start + row, category]
        where = f"{self._where(at, start)}: {value}"
        if np.isnan(value):
            return InvalidArray(
                self.predictions_name,
                f"{where}, where the label is known",
                "Predict every known label, or set it to -1 to leave it out.",
            )
        return InvalidArray(
            self.predictions_name,
            f"{where}, expected a probability of 0 to 1",
            "Apply a sigmoid to scores (logits); divide percentages by 100.",
        )


def _check_number(array: Array, what: str, expected: str) -> None:
    if array.dtype.kind not in "bifu":
        raise InvalidArray(
            what, f"values of type {array.dtype}, expected numbers: {expected}", "Convert them."
        )


def logit_of(probability: Array) -> Array:
    """The logit, kept within ± `LARGEST_LOGIT`; float64."""
    least = 1 / (1 + np.exp(LARGEST_LOGIT))
    kept = np.clip(probability.astype(np.float64), least, 1 - least)
    logit: Array = np.log(kept / (1 - kept))
    return logit


@functools.cache
def _bin_of_code() -> Array:
    """The bin of every float32 of 0 to 1, by its leading bits."""
    last = int(np.float32(1).view(np.uint32)) >> DROPPED_BITS
    code = np.arange(last + 1, dtype=np.uint32) << DROPPED_BITS
    # the middle of the values that share these bits
    value = np.minimum((code | (1 << (DROPPED_BITS - 1))).view(np.float32), 1)
    value[0], value[-1] = 0, 1
    place = np.clip((logit_of(value) + LARGEST_LOGIT) / WIDTH, 0, BINS - 1)
    return place.astype(np.int64)
