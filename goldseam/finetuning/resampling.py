"""Intervals where whole groups are drawn: bootstrap weightings, Wilson's interval, known columns.

Images of one group (scene, patient, map block) resemble each other, so groups are what is counted.
Legend: N known labels of one category, G clusters of groups, R weightings (the first counts each
cluster once, the others are draws).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidArray
from goldseam.results import Estimate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Groups = Sequence[str] | npt.NDArray[Any] | None

# With more groups than this several are drawn together: sums over independent groups are
# independent too, two hundred are plenty for a 95 % interval, and a category's draws stay cheap.
CLUSTERS = 200
Z = 1.959963984540054  # of a two-sided 95 % interval


@dataclasses.dataclass(frozen=True, eq=False)
class KnownColumn:
    """The known labels of one category with what is predicted of them.

    Attributes:
        row_N: their rows in the arrays that were given.
        score_N: margin or probability of present.
        present_N: 1.0 present, 0.0 absent.
        cluster_N: what is drawn together, 0 to G - 1.
        clusters: G.
    """

    row_N: Integers
    score_N: Floats
    present_N: Floats
    cluster_N: Integers
    clusters: int

    @classmethod
    def of(
        cls, score_N: npt.ArrayLike, label_N: npt.ArrayLike, groups: Groups = None, name: str = ""
    ) -> Self:
        """Read the known rows of a column; what stands at the others, even NaN, is never read.

        Args:
            score_N: margins or probabilities, a row an image.
            label_N: 1 present, 0 absent, -1 unknown.
            groups: group of each row; None where rows are independent.
            name: of the category, for messages.

        Raises:
            InvalidArray: shapes do not fit, a label is none of 1, 0, -1, or the score of a known
                label is NaN or infinite.
        """
        score_N, label_N = np.asarray(score_N), np.asarray(label_N)
        rows = len(label_N) if label_N.ndim == 1 else -1
        if score_N.shape != (rows,) or (groups is not None and len(groups) != rows):
            more = "" if groups is None else f" and {len(groups)} groups"
            raise InvalidArray(
                f"category '{name}'",
                f"predictions {score_N.shape}, labels {label_N.shape}{more} do not fit, expected "
                "one of each an image",
                "Hand over one prediction, label and group an image.",
            )
        check_states(label_N, name)
        row_N = np.flatnonzero(label_N != -1)
        known_N = np.asarray(score_N[row_N], np.float64)
        if not np.isfinite(known_N).all():
            row = int(row_N[np.flatnonzero(~np.isfinite(known_N))[0]])
            raise InvalidArray(
                f"predictions of category '{name}'",
                f"row {row}: {score_N[row]}, where the label is known, expected a finite number",
                "Predict every known label, or mark it unknown (-1) to leave it out.",
            )
        present_N = (label_N[row_N] == 1).astype(np.float64)
        names = row_N if groups is None else np.asarray(groups)[row_N]
        cluster_N = clusters_of(names)
        return cls(row_N, known_N, present_N, cluster_N, int(cluster_N.max(initial=-1)) + 1)

    def part(self, taken_N: npt.NDArray[np.bool_]) -> "KnownColumn":
        """Some of the known labels; clusters keep their numbers."""
        return KnownColumn(
            self.row_N[taken_N],
            self.score_N[taken_N],
            self.present_N[taken_N],
            self.cluster_N[taken_N],
            self.clusters,
        )

    def __len__(self) -> int:
        return len(self.row_N)

    @property
    def presents(self) -> int:
        """Known positives."""
        return int(self.present_N.sum())

    @property
    def absents(self) -> int:
        """Known negatives."""
        return len(self) - self.presents

    def sums(self, value_NS: Floats) -> Floats:
        """Sums of columns over the known labels of each cluster: `G S`."""
        columns = [np.bincount(self.cluster_N, value, self.clusters) for value in value_NS.T]
        return np.stack(columns, axis=1)


def check_states(label: npt.NDArray[Any], name: str) -> None:
    """Refuse labels other than 1, 0 and -1.

    Raises:
        InvalidArray: names the place and the value.
    """
    wrong = ~np.isin(label, (-1, 0, 1))
    if wrong.any():
        place = ", ".join(str(axis) for axis in np.argwhere(wrong)[0])
        raise InvalidArray(
            f"labels of '{name}'" if name else "labels",
            f"row {place}: {label[wrong][0]}, expected 1 (present), 0 (absent) or -1 (unknown)",
            "Mark unknown labels with -1.",
        )


def clusters_of(groups: npt.NDArray[Any]) -> Integers:
    """Each row's cluster: its group, or a bundle of groups where there are over `CLUSTERS`."""
    _, rank_N = np.unique(groups, return_inverse=True)
    return np.asarray(rank_N.ravel() % CLUSTERS, np.intp)


@functools.lru_cache(maxsize=8)
def weightings(clusters: int, resamples: int, seed: int) -> Floats:
    """How often each cluster counts: once each, then `resamples` draws with replacement; `R G`.

    Fewer than two clusters cannot be drawn from; then there is the first row alone.
    """
    weight_RG = np.ones((1, clusters))
    if clusters >= 2:
        chance_G = np.full(clusters, 1 / clusters)
        drawn_RG = np.random.default_rng(seed).multinomial(clusters, chance_G, resamples)
        weight_RG = np.concatenate([weight_RG, drawn_RG.astype(np.float64)])
    weight_RG.flags.writeable = False  # the same array goes to every caller
    return weight_RG


def estimate(
    value_R: Floats, *, unit: str = "", better: Literal["higher", "lower"] = "higher"
) -> Estimate:
    """A number and its percentile 95 % interval (Efron 1979) from its values under `weightings`.

    None where it is undefined (NaN); the interval is None without draws, and where fewer than half
    of them are defined.
    """
    value = None if np.isnan(value_R[0]) else float(value_R[0])
    defined_R = value_R[1:][~np.isnan(value_R[1:])]
    low = high = None
    if value is not None and defined_R.size and 2 * defined_R.size >= value_R.size - 1:
        low, high = (float(end) for end in np.percentile(defined_R, (2.5, 97.5)))
    return Estimate(value=value, low=low, high=high, unit=unit, better=better)


def wilson(share: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Wilson's score interval (1927) of a share of independent trials, at 95 %.

    Args:
        share: hits among the trials, 0 to 1.
        trials: how many; need not be whole, as an effective number is not.

    Returns:
        Lower and upper end, of the shape of the arguments; NaN without trials.
    """
    share, trials = np.broadcast_arrays(
        np.asarray(share, np.float64), np.asarray(trials, np.float64)
    )
    safe = np.where(trials > 0, trials, np.nan)
    middle = (share + Z**2 / (2 * safe)) / (1 + Z**2 / safe)
    half = Z / (1 + Z**2 / safe) * np.sqrt(share * (1 - share) / safe + Z**2 / (4 * safe**2))
    # where none or all are hits the end is the share itself, free of rounding
    low = np.where(share == 0, 0.0 * safe, np.maximum(middle - half, 0.0))
    high = np.where(share == 1, 1.0 + 0.0 * safe, np.minimum(middle + half, 1.0))
    return low, high
