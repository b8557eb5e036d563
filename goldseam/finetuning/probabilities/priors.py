"""How common a category is, and what follows: corrected intercepts, and negatives nobody labeled.

Known labels are rarely a random sample. A small set of images that were labeled at random tells the
prevalence, and with it the shift of the intercept that known labels alone cannot tell.
Legend: N images, A images labeled at random, G clusters of groups, R weightings.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.finetuning.probabilities.reliability import expit, known_probabilities
from goldseam.finetuning.resampling import (
    Floats,
    Groups,
    KnownColumn,
    check_states,
    estimate,
    weightings,
    wilson,
)
from goldseam.finetuning.solving.logistic import log_loss
from goldseam.metrics.sums import ratio
from goldseam.page import between, count, percent
from goldseam.results import Estimate

# half the 95 % quantile of chi-squared with one degree of freedom
LIKELIHOOD_DROP = 1.920729410347062


def prevalence(label_A: npt.ArrayLike, category: str = "") -> Estimate:
    """Share of images that show a category, with Wilson's 95 % interval.

    Assumed: the images were drawn at random, one by one, whatever they show, and those among them
    that stayed unknown are like the others.

    Args:
        label_A: 1 present, 0 absent, -1 unknown of the images that were drawn.
        category: name, for messages.

    Raises:
        InvalidArray: a label is none of 1, 0, -1.
    """
    label_A = np.asarray(label_A)
    check_states(label_A, category)
    known = int((label_A != -1).sum())
    if not known:
        return Estimate(None)
    share = int((label_A == 1).sum()) / known
    low, high = wilson(share, known)
    return Estimate(share, float(low), float(high))


@dataclasses.dataclass(frozen=True)
class InterceptShift:
    """What to add to a category's intercept, from images that were labeled at random.

    Attributes:
        category: its name.
        shift: added to every margin; its interval is that of the likelihood ratio. The value is
            None, and the intercept should stay, where all images or none show the category: then
            only one end of the interval is finite, the other is None.
        prevalence: share of the random images that shows the category, Wilson's interval.
        log_loss_before: mean log-loss on those images, nats; None without any.
        log_loss_after: the same with the shift, on the images that gave it; None without a shift.
        audited: images with a known label.
        sentence: the same in words.
    """

    category: str
    shift: Estimate
    prevalence: Estimate
    log_loss_before: float | None
    log_loss_after: float | None
    audited: int
    sentence: str


def shift_by_audit(
    margin_A: npt.ArrayLike, label_A: npt.ArrayLike, *, category: str = ""
) -> InterceptShift:
    """The intercept's shift with the greatest likelihood on images that were labeled at random.

    Where labels were given or withheld by what they say (a positive is noted with one chance, a
    negative with another, whatever else the image shows), the margins of a model of the known
    labels differ from those of all images by one constant, the logarithm of the ratio of the two
    chances (King and Zeng 2001). The maximum-likelihood constant is where the expected number of
    positives among the random images equals the number found, and it is unique; so it also
    reproduces the prevalence of these images exactly.

    Assumed: images drawn at random one by one and labeled whatever they show; margins that are
    calibrated but for a constant, and that did not see these labels.

    Args:
        margin_A: calibrated margins (logits) of the random images.
        label_A: their labels, 1 present, 0 absent, -1 unknown; unknown rows are never read.
        category: name.

    Raises:
        InvalidArray: shapes do not fit, a label is none of 1, 0, -1, or a known margin not finite.
    """
    known = KnownColumn.of(margin_A, label_A, None, category)
    share = prevalence(label_A, category)
    audited, presents = len(known), known.presents
    before = float(log_loss(known.score_N, known.present_N).mean()) if audited else None
    shift, after = Estimate(None, unit="nats"), None
    if audited:
        shift = _likely_shift(known)
    if shift.value is not None:
        after = float(log_loss(known.score_N + shift.value, known.present_N).mean())
        span = between(share)
        sentence = (
            f"'{category}' is present in {percent(share.value)} ({span}) of {count(audited)} "
            f"images labeled at random, where {percent(float(expit(known.score_N).mean()))} were "
            "predicted; probabilities are moved accordingly."
        )
    else:
        found = "none" if not presents else "all"
        sentence = (
            f"'{category}': no image labeled at random has a known label; probabilities stay."
            if not audited
            else f"'{category}' is present in {found} of {count(audited)} images labeled at "
            "random: too few to say by how much probabilities are off; they stay."
        )
    return InterceptShift(category, shift, share, before, after, audited, sentence)


def _likely_shift(known: KnownColumn) -> Estimate:
    """Maximum of the likelihood over the shift, and where it has fallen by `LIKELIHOOD_DROP`."""
    presents = known.presents

    def excess(shift: float) -> float:
        return float(expit(known.score_N + shift).sum()) - presents

    def loss(shift: float) -> float:
        return float(log_loss(known.score_N + shift, known.present_N).sum())

    value = None
    least = 0.0  # of the loss, which falls to 0 where all labels are alike
    if 0 < presents < len(known):
        value = _root(excess, 0.0)
        least = loss(value)
    low = high = None
    # from the maximum, or from far on the side where the loss falls forever
    far = 40.0 + float(np.abs(known.score_N).max())
    bound = least + LIKELIHOOD_DROP
    if presents > 0:
        low = _root(lambda shift: bound - loss(shift), far if value is None else value, -1)
    if presents < len(known):
        high = _root(lambda shift: loss(shift) - bound, -far if value is None else value, 1)
    return Estimate(value, low, high, unit="nats")


def _root(rising: Callable[[float], float], start: float, side: int = 0) -> float:
    """Where a rising function is 0; `side` -1 or 1 looks only below or above `start`."""
    from scipy.optimize import brentq

    low, high = (start - 1.0 if side <= 0 else start), (start + 1.0 if side >= 0 else start)
    step = 1.0
    while side <= 0 and rising(low) > 0:
        low, step = low - step, 2 * step
    step = 1.0
    while side >= 0 and rising(high) < 0:
        high, step = high + step, 2 * step
    return float(brentq(rising, low, high, xtol=1e-12, rtol=1e-14))


def shift_to_prevalence(margin_N: npt.ArrayLike, share: float) -> float:
    """The shift that makes the mean probability of these images equal a prevalence known elsewhere.

    Args:
        margin_N: calibrated margins of images drawn at random; labels are not needed.
        share: how many of such images show the category, more than 0 and under 1.

    Raises:
        InvalidConfig: the share is not between 0 and 1.
        InvalidArray: there is no margin, or one is not finite.
    """
    _check_share(share, "prevalence")
    margin_N = np.asarray(margin_N, np.float64)
    if not margin_N.size or not np.isfinite(margin_N).all():
        raise InvalidArray(
            "margins", "empty, NaN or infinite", "Hand over finite margins of at least one image."
        )
    return _root(lambda shift: float(expit(margin_N + shift).mean()) - share, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class PseudoLabels:
    """What each image counts as present and as absent, where no negative is known.

    A fit takes an image twice, with either label, at these weights; they sum to 1.

    Attributes:
        present_weight_N: 1 for a known positive.
        absent_weight_N: 0 for a known positive.
        prior: share of all images that was assumed to show the category.
        labeled_share: of the images that show it, how many are known: c of Elkan and Noto.
        sentence: what was assumed.
    """

    present_weight_N: Floats
    absent_weight_N: Floats
    prior: float
    labeled_share: float
    sentence: str


def pseudo_negatives(
    label_N: npt.ArrayLike,
    prior: float,
    *,
    known_probability_N: npt.ArrayLike | None = None,
    category: str = "",
) -> PseudoLabels:
    """Weights that let unknown images stand in for negatives (Elkan and Noto 2008, section 3.2).

    Assumed: the images are a random sample in which a share `prior` shows the category, and those
    of them that are known were chosen at random, whatever else they show. Then an unknown image
    with probability g of being *known* shows it with probability (1 - c) / c * g / (1 - g), where
    c, the share of positives that is known, is known positives / (prior * images). The weights add
    up to that: where they do not by themselves, all odds are multiplied by one factor, so that
    unknown positives are as many as the prior says.

    Without `known_probability_N` every unknown image is present with the same probability. Fits
    then rank as they should, but their probabilities are drawn towards each other.

    Args:
        label_N: 1 present, -1 unknown.
        prior: share of all images that shows the category.
        known_probability_N: predicted probability that an image is a known positive, out of fold.
        category: name, for messages.

    Raises:
        InvalidArray: there is no known positive, a label is not 1 or -1, or a value no probability.
        InvalidConfig: the prior is not between 0 and 1, or under the share of known positives.
    """
    label_N = np.asarray(label_N)
    check_states(label_N, category)
    presents = int((label_N == 1).sum())
    if not presents or (label_N == 0).any():
        raise InvalidArray(
            f"labels of '{category}'",
            f"{count(presents)} known present and {count(int((label_N == 0).sum()))} known absent",
            "Use this where positives are known and negatives are not; otherwise fit the known "
            "labels.",
        )
    _check_share(prior, f"prior of '{category}'")
    labeled_share = presents / (prior * len(label_N))
    if labeled_share > 1 + 1e-9:  # a prior that equals the share of known positives may round
        raise InvalidConfig(
            f"category '{category}': prior {prior} is under {presents / len(label_N):.4g}, the "
            "share of images that is known to show it.",
            remedy="Raise the prior; every known positive is one.",
        )
    labeled_share = min(labeled_share, 1.0)
    unknown_N = label_N == -1
    present_N = (~unknown_N).astype(np.float64)
    expected = prior * len(label_N) - presents
    if expected > 1e-9 * len(label_N):
        present_N[unknown_N] = _unknown_present(
            unknown_N, expected, labeled_share, known_probability_N, category
        )
    sentence = (
        f"'{category}' has no known absent label: {percent(prior)} of images are assumed to show "
        f"it, of which {percent(labeled_share)} are known, chosen at random; the other images "
        "count as absent as far as that leaves room."
    )
    return PseudoLabels(present_N, 1 - present_N, prior, labeled_share, sentence)


def _unknown_present(
    unknown_N: npt.NDArray[np.bool_],
    expected: float,
    labeled_share: float,
    known_probability_N: npt.ArrayLike | None,
    category: str,
) -> Floats:
    """Probability of present of each unknown image; they sum to `expected`."""
    unknown = int(unknown_N.sum())
    if known_probability_N is None:
        return np.full(unknown, expected / unknown)
    every_N = np.zeros(len(unknown_N), np.int8)
    chance_N = known_probabilities(known_probability_N, every_N, None, category).score_N[unknown_N]
    least = np.finfo(np.float64).tiny
    chance_N = np.clip(chance_N, least, 1 - 2.0**-53)
    odds_N = (1 - labeled_share) / labeled_share * chance_N / (1 - chance_N)
    # as odds of present against absent, a probability over 1 becomes nearly sure instead
    share_N = np.clip(odds_N, least, 1 - 2.0**-53)
    logit_N = np.log(share_N) - np.log1p(-share_N)
    return expit(logit_N + shift_to_prevalence(logit_N, expected / unknown))


def estimated_prior(
    known_probability_N: npt.ArrayLike,
    label_N: npt.ArrayLike,
    *,
    groups: Groups = None,
    category: str = "",
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """An upper bound of the prevalence from known positives alone (Elkan and Noto 2008, e1).

    The mean probability of being known, over known positives, estimates c, the share of positives
    that is known, where pictures tell the category without doubt; otherwise it falls short of c.
    So the share of known positives divided by it is the prior, or more than it; at most 1.
    Assumed: known positives are a random sample of positives; predictions are calibrated and out of
    fold.

    Args:
        known_probability_N: predicted probability that an image is a known positive, of all images.
        label_N: 1 known positive, -1 unknown.
        groups: group of each row, for the interval.
        category: name, for messages.
        resamples: draws of groups.
        seed: of the draws.

    Raises:
        InvalidArray: shapes do not fit, or a value is no label or probability.
    """
    label_N = np.asarray(label_N)
    check_states(label_N, category)
    every = known_probabilities(
        known_probability_N, (label_N == 1).astype(np.int8), groups, category
    )
    chance_N = every.score_N * every.present_N
    sums_GS = every.sums(np.stack([np.ones(len(every)), every.present_N, chance_N], axis=1))
    rows_R, presents_R, chance_R = (weightings(every.clusters, resamples, seed) @ sums_GS).T
    return estimate(np.minimum(ratio(presents_R**2, chance_R * rows_R), 1.0))


def _check_share(share: float, name: str) -> None:
    if not (math.isfinite(share) and 0 < share < 1):
        raise InvalidConfig(
            f"{name} is {share}, expected more than 0 and under 1.",
            remedy="Hand over a share, such as 0.03.",
        )
