"""Which tags of which image somebody looked at: schemes for making complete tags partial.

Every entry has one random number, a function of (seed, scheme): it is known where that number is
below the rate that the scheme gives the entry. So of one seed, what a lower rate keeps, a higher
one keeps too. Arrays: N images, C categories.
"""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import pydantic

from goldseam.artifacts import StageConfig
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN
from goldseam.dataset.partial.choosing import generator
from goldseam.errors import InvalidArray

Bools = npt.NDArray[np.bool_]
States = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]
Rate = Annotated[float, pydantic.Field(ge=0, le=1)]
Count = Annotated[int, pydantic.Field(ge=0)]


class Uniform(StageConfig):
    """Every entry stays known with the same probability: labels missing completely at random.

    Attributes:
        name: `uniform`.
        rate: that probability.
    """

    name: Literal["uniform"] = "uniform"
    rate: Rate


class FixedPerCategory(StageConfig):
    """The same number of known entries for each category, or all where it has fewer.

    Source: Ben-Baruch et al., CVPR 2022 (FPC).

    Attributes:
        name: `fixed_per_category`.
        positives: known present entries of each category.
        negatives: known absent entries of each category.
    """

    name: Literal["fixed_per_category"] = "fixed_per_category"
    positives: Count
    negatives: Count


class SinglePositive(StageConfig):
    """One random present category of each image is known, and nothing else (Cole et al. 2021).

    An image without a present category has nothing known.

    Attributes:
        name: `single_positive`.
    """

    name: Literal["single_positive"] = "single_positive"


class SinglePositiveAndNegatives(StageConfig):
    """One random present category of each image, and some absent ones.

    Attributes:
        name: `single_positive_and_negatives`.
        rate: probability that an absent entry stays known.
    """

    name: Literal["single_positive_and_negatives"] = "single_positive_and_negatives"
    rate: Rate


class SizeDependent(StageConfig):
    """Small things are overlooked: a present entry is known the likelier, the larger its area.

    Attributes:
        name: `size_dependent`.
        small: probability that a present entry stays known whose area is below the first boundary.
        middle: the same between the boundaries.
        large: the same from the second boundary on.
        negatives: probability that an absent entry stays known.
        boundaries: areas that part small from middle and middle from large, in the unit of the
            areas.
    """

    name: Literal["size_dependent"] = "size_dependent"
    small: Rate
    middle: Rate
    large: Rate
    negatives: Rate
    boundaries: tuple[float, float]

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.boundaries[0] > self.boundaries[1]:
            raise ValueError("'boundaries' are the smaller and the larger one, in this order")
        return self


class CoOccurrence(StageConfig):
    """Annotators name the first things that they see: others beside a present one hide it.

    A present entry stays known with probability alone x each^(other present entries of its image).
    An entry that is unknown from the beginning hides nothing.

    Attributes:
        name: `co_occurrence`.
        alone: probability for the only present entry of an image.
        each: factor for each other one.
        negatives: probability that an absent entry stays known.
    """

    name: Literal["co_occurrence"] = "co_occurrence"
    alone: Rate
    each: Rate
    negatives: Rate


class PositivesDropped(StageConfig):
    """Some present entries are known, and no absent one: what is not named may be either.

    Source: Zhang et al. 2021 (Hill, SPLC), who leave 75 % and 40 % of the present entries.

    Attributes:
        name: `positives_dropped`.
        rate: probability that a present entry stays known.
    """

    name: Literal["positives_dropped"] = "positives_dropped"
    rate: Rate


class RatesFromTable(StageConfig):
    """Known with the rates of a real dataset, apart for present and absent entries.

    Attributes:
        name: `rates_from_table`.
        positives: probability that a present entry stays known, one a category.
        negatives: the same of absent entries.
    """

    name: Literal["rates_from_table"] = "rates_from_table"
    positives: tuple[Rate, ...]
    negatives: tuple[Rate, ...]


TagScheme = Annotated[
    Uniform
    | FixedPerCategory
    | SinglePositive
    | SinglePositiveAndNegatives
    | SizeDependent
    | CoOccurrence
    | PositivesDropped
    | RatesFromTable,
    pydantic.Field(discriminator="name"),
]


def tag_mask(
    scheme: TagScheme, labels_NC: npt.ArrayLike, seed: int, *, area_NC: npt.ArrayLike | None = None
) -> Bools:
    """Draw which tags stay known.

    Args:
        scheme: which.
        labels_NC: 1 present, 0 absent, -1 unknown; what is unknown stays so.
        seed: of the draw.
        area_NC: area of what makes a present entry present, such as its share of the image; only
            `SizeDependent` asks for it, and of present entries alone.

    Returns:
        bool NC, True where the tag stays known.

    Raises:
        InvalidArray: the labels hold other values, areas are missing, or there is not one rate for
            each category.
    """
    labels_NC = _states(labels_NC)
    present_NC, absent_NC = labels_NC == PRESENT, labels_NC == ABSENT
    draw_NC = generator(seed, f"tags by {scheme.name}").random(labels_NC.shape)
    known_NC: Bools
    match scheme:
        case FixedPerCategory():
            known_NC = _lowest(draw_NC, present_NC, 0, scheme.positives)
            known_NC |= _lowest(draw_NC, absent_NC, 0, scheme.negatives)
        case SinglePositive():
            known_NC = _lowest(draw_NC, present_NC, 1, 1)
        case SinglePositiveAndNegatives():
            known_NC = _lowest(draw_NC, present_NC, 1, 1)
            known_NC |= absent_NC & (draw_NC < scheme.rate)
        case _:
            positive_NC, negative_NC = _rates(scheme, present_NC, area_NC)
            known_NC = present_NC & (draw_NC < positive_NC)
            known_NC |= absent_NC & (draw_NC < negative_NC)
    return known_NC


def flip_tags(
    labels_NC: npt.ArrayLike,
    false_negative: npt.ArrayLike,
    false_positive: npt.ArrayLike,
    seed: int,
) -> States:
    """Wrong tags at given rates: present ones become absent, absent ones present.

    Each entry is flipped independently of all others. Of one seed, what a lower rate flips, a
    higher one flips too.

    Args:
        labels_NC: 1 present, 0 absent, -1 unknown; unknown entries stay so.
        false_negative: share of the present entries that become absent; one number, or one a
            category.
        false_positive: share of the absent entries that become present, likewise.
        seed: of the choice.

    Returns:
        int8 NC, a copy.

    Raises:
        InvalidArray: the labels hold other values, or a rate is none or does not fit them.
    """
    labels_NC = _states(labels_NC)
    lost_C = _shares("false_negative", false_negative, labels_NC.shape[1])
    invented_C = _shares("false_positive", false_positive, labels_NC.shape[1])
    draw_NC = generator(seed, "flipped tags").random(labels_NC.shape)
    flipped_NC = labels_NC.copy()
    flipped_NC[(labels_NC == PRESENT) & (draw_NC < lost_C)] = ABSENT
    flipped_NC[(labels_NC == ABSENT) & (draw_NC < invented_C)] = PRESENT
    return flipped_NC


def known_rates(
    present_C: npt.ArrayLike,
    absent_C: npt.ArrayLike,
    blank_C: npt.ArrayLike,
    prevalence_of_blank: npt.ArrayLike,
) -> RatesFromTable:
    """The rates at which a real table knows its present and its absent entries.

    A table does not say how many of its blank entries are present; that share has to be assumed.
    Then a present entry is known with probability present / (present + share x blank), an absent
    one with absent / (absent + (1 - share) x blank). A category that has no such entry, known or
    blank, has the rate 0.

    Args:
        present_C: entries of each category that are known to be present.
        absent_C: entries that are known to be absent.
        blank_C: entries of which nothing is known, unsure ones among them.
        prevalence_of_blank: assumed share of the blank entries that are present; one number, or one
            a category.

    Raises:
        InvalidArray: a count is negative, the share is none, or the lengths differ.
    """
    count_3C = np.array([_counts(present_C), _counts(absent_C), _counts(blank_C)])
    share_C = _shares("prevalence_of_blank", prevalence_of_blank, count_3C.shape[1])
    known_2C = count_3C[:2]
    every_2C = known_2C + np.array([share_C, 1 - share_C]) * count_3C[2]
    rate_2C = np.divide(known_2C, every_2C, out=np.zeros_like(known_2C), where=every_2C > 0)
    return RatesFromTable(
        positives=tuple(rate_2C[0].tolist()), negatives=tuple(rate_2C[1].tolist())
    )


def _rates(
    scheme: Uniform | SizeDependent | CoOccurrence | PositivesDropped | RatesFromTable,
    present_NC: Bools,
    area_NC: npt.ArrayLike | None,
) -> tuple[Floats, Floats]:
    """Rates of present and of absent entries, of shapes that broadcast to NC."""
    match scheme:
        case Uniform():
            return np.array(scheme.rate), np.array(scheme.rate)
        case PositivesDropped():
            return np.array(scheme.rate), np.zeros(())
        case CoOccurrence():
            others_NC = present_NC.sum(axis=1, keepdims=True) - present_NC
            return scheme.alone * scheme.each**others_NC, np.array(scheme.negatives)
        case SizeDependent():
            # the side tells that an area at a boundary belongs to the larger ones
            size_NC = np.searchsorted(scheme.boundaries, _areas(area_NC, present_NC), side="right")
            rate_3 = np.array([scheme.small, scheme.middle, scheme.large])
            return rate_3[size_NC], np.array(scheme.negatives)
        case _:
            categories = present_NC.shape[1]
            for what in ("positives", "negatives"):
                if len(getattr(scheme, what)) != categories:
                    raise InvalidArray(
                        f"rates_from_table.{what}",
                        f"{len(getattr(scheme, what))} rates for {categories} categories",
                        "Give one rate a category, in their order.",
                    )
            return np.array(scheme.positives), np.array(scheme.negatives)


def _lowest(draw_NC: Floats, candidate_NC: Bools, axis: int, count: int) -> Bools:
    """The candidates with the lowest draws along an axis: `count` of them, or all."""
    key_NC = np.where(candidate_NC, draw_NC, np.inf)
    place_NC = key_NC.argsort(axis=axis, kind="stable").argsort(axis=axis, kind="stable")
    chosen_NC: Bools = candidate_NC & (place_NC < count)
    return chosen_NC


def _states(labels_NC: npt.ArrayLike) -> States:
    given_NC = np.asarray(labels_NC)
    if given_NC.ndim != 2:
        raise InvalidArray(
            "labels_NC",
            f"shape {given_NC.shape}, expected images x categories",
            "Give one row for each image.",
        )
    wrong_NC = ~np.isin(given_NC, (PRESENT, ABSENT, UNKNOWN))
    if wrong_NC.any():
        row, category = np.argwhere(wrong_NC)[0].tolist()
        raise InvalidArray(
            "labels_NC",
            f"{given_NC[row, category]} in row {row}, column {category}, expected 1, 0 or -1",
            "Write 1 for present, 0 for absent and -1 where nobody looked.",
        )
    return given_NC.astype(np.int8)


def _areas(area_NC: npt.ArrayLike | None, present_NC: Bools) -> Floats:
    remedy = "Give area_NC: the area of each present entry, in the unit of the boundaries."
    if area_NC is None:
        raise InvalidArray("area_NC", "missing, and size_dependent needs it", remedy)
    found_NC = np.asarray(area_NC, np.float64)
    if found_NC.shape != present_NC.shape:
        raise InvalidArray("area_NC", f"shape {found_NC.shape}, not {present_NC.shape}", remedy)
    wrong_NC = present_NC & ~(found_NC >= 0)
    if wrong_NC.any():
        row, category = np.argwhere(wrong_NC)[0].tolist()
        raise InvalidArray(
            "area_NC",
            f"{found_NC[row, category]} in row {row}, column {category}, where labels_NC says "
            "present, expected at least 0",
            remedy,
        )
    # what is not present has no area, and the rate of it is never read
    return np.where(present_NC, found_NC, 0.0)


def _shares(what: str, value: npt.ArrayLike, categories: int) -> Floats:
    given = np.asarray(value, np.float64)
    if given.shape not in ((), (categories,)) or not ((given >= 0) & (given <= 1)).all():
        raise InvalidArray(
            what,
            f"{given.tolist()}, expected a number in [0, 1], or {categories}, one a category",
            "Give shares, not percent.",
        )
    return np.broadcast_to(given, (categories,))


def _counts(value: npt.ArrayLike) -> Floats:
    given = np.asarray(value, np.float64)
    if given.ndim != 1 or not (given >= 0).all():
        raise InvalidArray(
            "counts of a table",
            f"{given.tolist()}, expected a number of at least 0 for each category",
            "Give the table's counts, one a category.",
        )
    return given
