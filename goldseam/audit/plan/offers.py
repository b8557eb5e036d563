"""What can be bought: labels of images where nobody looked, and what each costs.

Legend: N images that may be bought for, M some of them, C columns of one task (its categories for
tags, one for every other kind), U columns of all tasks. States are 1, 0 and -1 for unknown.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.audit.plan.config import PlanConfig
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.schema import DatasetInfo, Kind
from goldseam.errors import InvalidArray, InvalidConfig, closest

# A tag: about 1 s a category, taken as 2 with the click, and masks of a whole picture: 240 s
# (Bearman et al., What's the Point, ECCV 2016, on PASCAL VOC). A box by extreme clicking takes 7 s
# (Papadopoulos et al., ICCV 2017); a picture is taken to hold four. The others are our judgment:
# name your own in `costs`.
SECONDS: dict[Kind, float] = {
    Kind.TAGS: 2,
    Kind.DETECTION: 28,
    Kind.SEGMENTATION: 240,
    Kind.BOUNDARY: 120,
    Kind.SALIENCY: 60,
    Kind.REGRESSION: 60,
    Kind.NORMALS: 120,
    Kind.CAPTION: 30,
}


@dataclasses.dataclass(frozen=True, eq=False)
class TaskOffers:
    """The labels of one task, known and unknown.

    Attributes:
        task: its name.
        categories: C names; one None for a task that is labeled as a whole.
        seconds_C: what one label costs.
        worth_C: of the same relative improvement.
        state_NC: int8.
        probability_NC: of "present", made without the image's own label; NaN where there is none.
            None for no predictions, and for a task that is labeled as a whole.
        error_N: expected share of error of the prediction of the whole image, NaN where unknown;
            None where nothing is predicted.
        offered_NC: bool, unknown labels that may be bought; None for all.
    """

    task: str
    categories: tuple[str | None, ...]
    seconds_C: Array
    worth_C: Array
    state_NC: Array
    probability_NC: Array | None = None
    error_N: Array | None = None
    offered_NC: Array | None = None
    present_C: Array = dataclasses.field(init=False)
    known_C: Array = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        # object.__setattr__ is how a frozen dataclass fills what follows from its fields
        object.__setattr__(self, "present_C", (self.state_NC == PRESENT).sum(axis=0))
        object.__setattr__(self, "known_C", (self.state_NC != UNKNOWN).sum(axis=0))

    @property
    def whole(self) -> bool:
        """True where an image is labeled as a whole."""
        return self.categories == (None,)

    @property
    def rate(self) -> Array:
        """Share of "present" among the known, with Jeffreys' half a label of each state; `C`."""
        rate_C: Array = (self.present_C + 0.5) / (self.known_C + 1)
        return rate_C

    @property
    def base(self) -> Array:
        """Probability of "present" of an unknown label, before any prediction; `C`.

        Where only presences are recorded their share, 1, says nothing of the unknown labels, so it
        is a half.
        """
        base_C: Array = np.where(self.present_C == self.known_C, 0.5, self.rate)
        return base_C

    @property
    def entropy(self) -> Array:
        """Log-loss of the base rate, in nats: what there is to save; 1 for a whole image; `C`."""
        if self.whole:
            return np.ones(1)
        base_C = self.base
        entropy_C: Array = -base_C * np.log(base_C) - (1 - base_C) * np.log1p(-base_C)
        return entropy_C

    def probability(self, row_M: Array) -> Array:
        """P(present) `MC`, no surer than the number of known labels allows.

        Where no absence is known nothing can have learned what "present" means, so that predictions
        have no part in it.
        """
        state_MC = self.state_NC[row_M]
        base_MC = np.where(state_MC == UNKNOWN, self.base, self.rate)
        if self.probability_NC is None:
            return base_MC
        given_MC = self.probability_NC[row_M]
        # n labels cannot support a claim of less than about 1 in 2n
        floor_C = 0.5 / (self.known_C + 1)
        clipped_MC = np.clip(given_MC, floor_C, 1 - floor_C)
        used_MC = np.isfinite(given_MC) & (self.known_C > self.present_C)
        found_MC: Array = np.where(used_MC, clipped_MC, base_MC)
        return found_MC

    def information(self, row_M: Array) -> Array:
        """Fisher information of one label about its own logit: `p (1 - p)`.

        Of a task as a whole: the image's expected error over the mean expected error.
        """
        if self.whole:
            if self.error_N is None or not np.isfinite(self.error_N).any():
                return np.ones((len(row_M), 1))
            mean = float(np.nanmean(self.error_N))
            error_M = self.error_N[row_M]
            relative_M = np.where(np.isfinite(error_M), error_M, mean) / (mean or 1.0)
            return relative_M[:, None]
        p_MC = self.probability(row_M)
        information_MC: Array = p_MC * (1 - p_MC)
        return information_MC

    def buyable(self, row_M: Array) -> Array:
        """Bool `MC`."""
        unknown_MC: Array = self.state_NC[row_M] == UNKNOWN
        if self.offered_NC is not None:
            unknown_MC = unknown_MC & self.offered_NC[row_M]
        wanted_MC: Array = unknown_MC & (self.worth_C > 0)
        return wanted_MC


@dataclasses.dataclass(frozen=True, eq=False)
class Offers:
    """The labels of all tasks, side by side in U columns."""

    tasks: tuple[TaskOffers, ...]

    @property
    def columns(self) -> list[tuple[str, str | None]]:
        """Task and category of each column."""
        return [(one.task, category) for one in self.tasks for category in one.categories]

    def of_all(self, name: str) -> Array:
        """An attribute of C numbers, of all columns: `U`."""
        return np.concatenate([getattr(one, name) for one in self.tasks])

    def known(self, row_M: Array) -> Array:
        """Bool `MU`."""
        return np.concatenate([one.state_NC[row_M] != UNKNOWN for one in self.tasks], axis=1)

    def buyable(self, row_M: Array) -> Array:
        """Bool `MU`."""
        return np.concatenate([one.buyable(row_M) for one in self.tasks], axis=1)

    def information(self, row_M: Array) -> Array:
        """float32 `MU`."""
        parts = [one.information(row_M).astype(np.float32) for one in self.tasks]
        return np.concatenate(parts, axis=1)


def offers_of(
    labels: LabelSide,
    row_N: Array,
    config: PlanConfig,
    *,
    probabilities: Mapping[str, Array],
    uncertainty: Mapping[str, Array],
    states: Mapping[str, Array],
) -> Offers:
    """The labels of every task on some images; noisy versions of another task are not for sale.

    Args:
        labels: the label side.
        row_N: positions of the images that may be bought for.
        config: costs and worth.
        probabilities: tags task → P(present) of all images.
        uncertainty: other task → expected share of error of all images.
        states: tags task → states that replace those of `labels`.

    Raises:
        InvalidConfig: `costs` or `worth` name what is no kind, task or category.
        InvalidArray: a prediction has another shape than the labels.
    """
    info = labels.info
    for option, named in (("costs", config.costs), ("worth", config.worth)):
        _check_names(info, option, named)
    found = []
    for name, task in info.tasks.items():
        if task.noisy_version_of:
            continue
        tags = task.kind is Kind.TAGS
        categories: tuple[str | None, ...] = tuple(task.categories) if tags else (None,)
        shape = (len(labels), len(categories))
        given = probabilities.get(name) if tags else uncertainty.get(name)
        if given is not None and given.shape != (shape if tags else shape[:1]):
            raise InvalidArray(
                f"prediction of '{name}'",
                f"has shape {given.shape}, expected {shape if tags else shape[:1]}",
                remedy="Give one row for each image, in the order of the label side.",
            )
        if tags:
            state_NC = states.get(name, labels.states[name])[row_N]
        else:
            # that it is known is all that counts of a label of a whole image
            state_NC = np.where(labels.known[name][row_N], ABSENT, UNKNOWN).astype(np.int8)[:, None]
        found.append(
            TaskOffers(
                task=name,
                categories=categories,
                seconds_C=_of(config.costs, name, task.kind, categories, SECONDS[task.kind]),
                worth_C=_of(config.worth, name, task.kind, categories, 1.0),
                state_NC=state_NC,
                probability_NC=given[row_N] if tags and given is not None else None,
                error_N=given[row_N] if not tags and given is not None else None,
            )
        )
    return Offers(tuple(found))


def _of(
    given: Mapping[str, float],
    task: str,
    kind: Kind,
    categories: Sequence[str | None],
    default: float,
) -> Array:
    general = given.get(task, given.get(str(kind), default))
    return np.array([given.get(f"{task}.{category}", general) for category in categories], float)


def _check_names(info: DatasetInfo, option: str, given: Mapping[str, float]) -> None:
    names = [str(kind) for kind in Kind]
    for name, task in info.tasks.items():
        names.append(name)
        if task.kind is Kind.TAGS:
            names += [f"{name}.{category}" for category in task.categories]
    for key in given:
        if key not in names:
            raise InvalidConfig(
                f"plan.{option}: '{key}' is no kind, no task and no tag of this dataset.",
                remedy=f"Write: {closest(key, names)}.",
            )
