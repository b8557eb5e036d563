"""What every metric shares: sums per group, merging, and scores under group weights.

A group (scene, patient, map block) is the unit that the bootstrap draws, so a metric keeps one
state per group and scores any weighted sum of them. Legend: B batch, G groups, R resamples,
S numbers of a group's state, C categories, H and W pixels.
"""

import abc
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from goldseam.errors import GoldseamError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Better = Literal["higher", "lower"]
Scores = dict[str, float | None]

# resampled states are made in blocks of about this many numbers, so that memory stays bounded
BLOCK = 1_000_000


class InvalidMetricInput(GoldseamError):
    """A prediction and its label do not fit each other, or a value is outside what is declared."""


class Metric(Protocol):
    """What the trainer and the evaluation need of a metric."""

    primary: ClassVar[str]

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch; what stands where `known_B` is False is never read."""

    def merge(self, other: Self) -> Self:
        """A new metric of both parts' samples."""

    @property
    def groups(self) -> list[str]:
        """The groups with at least one known label, sorted."""

    def compute(self, weights: Mapping[str, float] | None = None) -> Scores:
        """The scores; None where undefined. `weights`: how often each group counts."""

    def compute_many(self, weights_RG: Floats) -> dict[str, Floats]:
        """The scores of many weightings at once, `R` each; NaN where undefined."""

    def describe(self, key: str) -> tuple[str, Better]:
        """Unit (empty for a ratio) and better direction of a score."""


class GroupSums(abc.ABC):
    """A metric that is a function of numbers that add up over samples.

    Attributes:
        primary: the score by which one model is called better than another.
    """

    primary: ClassVar[str]
    lower_is_better: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}

    @property
    def groups(self) -> list[str]:
        """The groups with at least one known label, sorted."""
        return sorted(self._sums)

    def merge(self, other: Self) -> Self:
        """A new metric of both parts' samples; both parts stay as they are.

        Raises:
            InvalidMetricInput: the two were made with different settings.
        """
        if type(self) is not type(other) or self._settings() != other._settings():
            raise InvalidMetricInput(
                f"{type(self).__name__} with settings {self._settings()} cannot be merged with "
                f"{type(other).__name__} with settings {other._settings()}.",
                remedy="Make both parts with the same arguments.",
            )
        both: Self = copy.deepcopy(self)
        for group, state in other._sums.items():
            both._add(group, state.copy())
        return both

    def compute(self, weights: Mapping[str, float] | None = None) -> Scores:
        """The scores of everything seen so far.

        Args:
            weights: how often each group counts (a bootstrap draw); a group that is not named
                counts 0 times. None counts each group once.

        Returns:
            Score by key; None where undefined, such as for a category that does not occur.
        """
        weight_G = [1.0 if weights is None else weights.get(group, 0.0) for group in self.groups]
        many = self.compute_many(np.asarray(weight_G, np.float64)[None])
        return {
            key: None if np.isnan(value_R[0]) else float(value_R[0])
            for key, value_R in many.items()
        }

    def compute_many(self, weights_RG: Floats) -> dict[str, Floats]:
        """The scores of many weightings at once.

        Args:
            weights_RG: how often each group counts, in the order of `groups`.

        Returns:
            `R` values by key; NaN where undefined.
        """
        shape = self._shape()
        states = [self._sums[group].reshape(-1) for group in self.groups]
        state_GS = (
            np.stack(states).astype(np.float64) if states else np.zeros((0, int(np.prod(shape))))
        )
        rows = max(1, BLOCK // max(1, state_GS.shape[1]))
        parts = [
            self._scores((weights_RG[start : start + rows] @ state_GS).reshape(-1, *shape))
            for start in range(0, len(weights_RG), rows)
        ]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def describe(self, key: str) -> tuple[str, Better]:
        """Unit (empty for a ratio) and better direction of a score."""
        name = key.partition(".")[0]
        return self._unit(key), "lower" if name in self.lower_is_better else "higher"

    def _unit(self, key: str) -> str:  # noqa: ARG002 (a ratio unless the metric says otherwise)
        return ""

    def _add(self, group: str, state: Array) -> None:
        self._sums[group] = self._sums[group] + state if group in self._sums else state

    @abc.abstractmethod
    def _settings(self) -> tuple[Any, ...]:
        """What two parts must share to be merged."""

    @abc.abstractmethod
    def _shape(self) -> tuple[int, ...]:
        """Shape of a group's state."""

    @abc.abstractmethod
    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        """The scores of `R` weighted states, shaped `R` + `_shape()`."""


def check_batch(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    known_B: Array,
    groups: Sequence[str],
    axes: str,
) -> tuple[Array, Array, npt.NDArray[np.intp]]:
    """The batch as arrays, and the indices of the samples that are known.

    Raises:
        InvalidMetricInput: the shapes do not fit.
    """
    predicted, labeled, known_B = np.asarray(prediction), np.asarray(target), np.asarray(known_B)
    fits = (
        predicted.shape == labeled.shape
        and predicted.ndim == len(axes.split())
        and known_B.shape == predicted.shape[:1]
        and len(groups) == len(predicted)
    )
    if not fits:
        raise InvalidMetricInput(
            f"prediction {predicted.shape}, target {labeled.shape}, known {known_B.shape} and "
            f"{len(groups)} groups do not fit; expected prediction and target {axes}, known B.",
            remedy="Hand over one target, one known flag and one group a sample.",
        )
    return predicted, labeled, np.flatnonzero(known_B.astype(bool))


def blocks(known: npt.NDArray[np.intp], pixels: int) -> Iterator[npt.NDArray[np.intp]]:
    """The indices of known samples in blocks of a bounded number of pixels."""
    rows = max(1, BLOCK // max(1, pixels))
    for start in range(0, len(known), rows):
        yield known[start : start + rows]


def ratio(numerator: Array, denominator: Array) -> Floats:
    """`numerator / denominator`, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def mean_defined(values: Array, axis: int = -1) -> Floats:
    """Mean over the values that are defined (not NaN); NaN when there are none."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis), defined.sum(axis))
