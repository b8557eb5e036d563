"""The audit's section on gaps: what they depend on, what they hide, which tasks they bias.

Legend: N images in the order of the label side, C categories of one task, D features.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.audit.missingness.complete import complete_split_tests
from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.gaps import Evidence, GapTests, Tested
from goldseam.audit.missingness.pairs import pair_verdicts
from goldseam.audit.missingness.presence import PresenceEstimates
from goldseam.audit.missingness.wording import decided
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.errors import InvalidConfig, closest
from goldseam.page.numbers import count, percent, split_name
from goldseam.results import MissingnessTest, PairVerdict, PresenceEstimate

TRAINING = "train"
# sentences that stand for the section, beside those about held-out splits and pairs
LEADING = 5


@dataclasses.dataclass(frozen=True)
class MissingnessSection:
    """What was found out about gaps.

    Attributes:
        tests: of the training images (of all images where there is no such split), and the split
            itself as a factor over all images.
        presence: priors and propensities on the same images.
        pairs: verdict on every pair of tasks.
        sentences: the most important ones.
        held_out: the same tests within each other split that has gaps, on which scores are
            computed; their p-values stand in the same control of false discoveries.
    """

    tests: tuple[MissingnessTest, ...]
    presence: tuple[PresenceEstimate, ...]
    pairs: tuple[PairVerdict, ...]
    sentences: tuple[str, ...]
    held_out: Mapping[str, tuple[MissingnessTest, ...]] = dataclasses.field(default_factory=dict)


def audit_missingness(
    labels: LabelSide,
    config: MissingnessConfig,
    *,
    states: Mapping[str, Array] | None = None,
    pictures: pa.Table | None = None,
    embeddings_ND: Array | None = None,
    probabilities: Mapping[str, Array] | None = None,
) -> MissingnessSection:
    """Test whether labels are missing at random, and say what follows where they are not.

    Every test keeps its error rate where the images of a group depend on each other, see
    `clustered_test`; where each image is a group of its own they are the classic tests.

    Args:
        labels: the label side.
        config: the options.
        states: task → int8 NC of masks (1 present, 0 absent, -1 unknown), measured elsewhere.
        pictures: a row an image, with `image_id` and float columns of image statistics.
        embeddings_ND: float; a row with NaN is missing.
        probabilities: task → out-of-fold P(present), NC, NaN where missing. Of an image whose label
            is unknown they must come from a model like that of a known one (of one fold, not the
            mean of all), else that difference is found.

    Raises:
        InvalidConfig: an array does not fit the label side, or holds impossible values.
    """
    evidence = _checked(
        labels, {**(states or {}), **labels.states}, pictures, embeddings_ND, probabilities or {}
    )
    if not len(labels):
        return MissingnessSection((), (), (), ("There are no images, so nothing can be said.",))
    training = TRAINING if TRAINING in labels.splits else None
    others = [split for split in labels.splits if split != TRAINING] if training else []
    within = GapTests(evidence, config, training)
    families: list[Sequence[Tested]] = [
        [*within.all(with_split=False), *_complete(evidence, config, training)],
        list(GapTests(evidence, config, None).all(with_split=True)),
        *([one for one in GapTests(evidence, config, split).all(with_split=False)
           if not one.why_not] for split in others),
    ]  # fmt: skip
    tests, of_splits, *of_others = decided(families, config)
    held_out = {split: found for split, found in zip(others, of_others, strict=True) if found}
    presence = PresenceEstimates(evidence, config, training, tests)
    estimates = presence.all()
    rows = np.arange(len(labels)) if training is None else np.flatnonzero(labels.in_split(training))
    pairs = pair_verdicts(labels, rows, tests, config)
    sentences = [
        *_leading(tests),
        *_held_out_sentences(evidence, config, held_out),
        *_presence_sentences(estimates),
        *_pair_sentences(pairs),
    ]
    return MissingnessSection((*tests, *of_splits), estimates, pairs, tuple(sentences), held_out)


def _complete(evidence: Evidence, config: MissingnessConfig, training: str | None) -> list[Tested]:
    return [] if training is None else list(complete_split_tests(evidence, config, training))


def _checked(
    labels: LabelSide,
    states: Mapping[str, Array],
    pictures: pa.Table | None,
    embeddings_ND: Array | None,
    probabilities: Mapping[str, Array],
) -> Evidence:
    """Refuse arrays that do not fit, before anything is made of them."""
    for what, given in (("states", states), ("probabilities", probabilities)):
        for task, value_NC in given.items():
            if task not in labels.info.tasks:
                raise InvalidConfig(
                    f"{what} are given for '{task}', which is not a task of the dataset.",
                    remedy=f"Closest: {closest(task, labels.info.tasks)}.",
                )
            expected = (len(labels), len(labels.info.tasks[task].categories))
            if value_NC.shape != expected:
                raise InvalidConfig(
                    f"{what} of '{task}' have shape {value_NC.shape}, expected {expected}: images "
                    "and categories of dataset.yaml.",
                    remedy="Give a row for every image of the dataset and a column a category.",
                )
    for task, state_NC in states.items():
        inside_NC = np.isin(state_NC, (PRESENT, ABSENT, UNKNOWN)) if _strange(state_NC) else None
        _no_other(f"states of '{task}'", state_NC, inside_NC, "1 present, 0 absent or -1 unknown")
    for task, probability_NC in probabilities.items():
        inside_NC = np.isnan(probability_NC) | ((probability_NC >= 0) & (probability_NC <= 1))
        expected_values = "0 to 1, or NaN where there is none"
        _no_other(f"probabilities of '{task}'", probability_NC, inside_NC, expected_values)
    if embeddings_ND is not None and (embeddings_ND.ndim != 2 or len(embeddings_ND) != len(labels)):
        raise InvalidConfig(
            f"embeddings have shape {embeddings_ND.shape}, expected ({len(labels)}, features).",
            remedy="Give a row for every image of the dataset, of NaN where there is none.",
        )
    if pictures is not None and "image_id" not in pictures.column_names:
        raise InvalidConfig(
            f"the table of image statistics has no column 'image_id', only "
            f"{', '.join(pictures.column_names) or 'none'}.",
            remedy="Give a row an image with its image_id.",
        )
    return Evidence(labels, states, pictures, embeddings_ND, probabilities)


def _strange(state_NC: Array) -> bool:
    """Whether a cell may be no state: a cheap look, since a million images have many cells."""
    if not state_NC.size:
        return False
    whole = np.issubdtype(state_NC.dtype, np.integer)
    return not whole or bool(state_NC.min() < UNKNOWN or state_NC.max() > PRESENT)


def _no_other(what: str, value_NC: Array, fine_NC: Array | None, expected: str) -> None:
    if fine_NC is not None and not fine_NC.all():
        row, column = np.argwhere(~fine_NC)[0].tolist()
        raise InvalidConfig(
            f"{what}, row {row}, column {column}: {value_NC[row, column]}, expected {expected}.",
            remedy="Mend the array, or leave the task out.",
        )


def _leading(tests: Sequence[MissingnessTest]) -> list[str]:
    """The strongest finding of each task, the strongest task first; or that there is none."""
    strongest: dict[str, MissingnessTest] = {}
    for test in tests:
        best = strongest.get(test.task)
        if test.strength != "none" and (best is None or _size(test) > _size(best)):
            strongest[test.task] = test
    if strongest:
        ordered = sorted(strongest.values(), key=_size, reverse=True)
        return [test.sentence for test in ordered[:LEADING]]
    tested = sum(test.p_value is not None for test in tests)
    if not tested:
        return ["Nothing could be tested about which labels are missing."]
    told = (
        f"In {count(tested)} tests nothing was found on which it depends which labels are missing."
    )
    return [told]


def _size(test: MissingnessTest) -> float:
    return abs(test.effect or 0.0)


def _held_out_sentences(
    evidence: Evidence,
    config: MissingnessConfig,
    held_out: Mapping[str, tuple[MissingnessTest, ...]],
) -> list[str]:
    """Whether scores on the other splits are biased by their own gaps."""
    found = []
    for split, tests in held_out.items():
        name = split_name(split)
        leading = [test for test in tests if test.strength != "none"]
        if leading:
            worst = max(leading, key=_size)
            found.append(
                f"The {name} split is biased by its own gaps, so scores on it are too. On its "
                f"images: {worst.sentence}"
            )
        presence = PresenceEstimates(evidence, config, split, tests)
        presence.all()
        if presence.corrected:
            one = max(presence.corrected, key=lambda each: abs(each.naive - each.value))
            found.append(
                f"Of the labeled {name} images {percent(one.naive)} show {one.category} "
                f"({one.task}), of all {name} images an estimated {percent(one.value)}."
            )
    return found


def _presence_sentences(estimates: Sequence[PresenceEstimate]) -> list[str]:
    """How many categories cannot be estimated because only presences were written down."""
    blind = [one for one in estimates if one.prior.value is None and one.known_present]
    if not blind:
        return []
    names = ", ".join(one.category for one in blind[:3]) + (" …" if len(blind) > 3 else "")
    if len(blind) == 1:
        return [f"Of {names} only presences are recorded: how often it is there cannot be told."]
    told = f"Of {count(len(blind))} categories only presences are recorded ({names})"
    return [f"{told}: how often they are there cannot be told."]


def _pair_sentences(pairs: Sequence[PairVerdict]) -> list[str]:
    if not pairs:
        return []
    number = {
        word: sum(pair.verdict == word for pair in pairs) for word in ("safe", "biased", "unknown")
    }
    told = (
        f"Trained together, {count(number['safe'])} of {count(len(pairs))} pairs of tasks are safe "
        f"as far as was tested and {count(number['biased'])} biased; of "
        f"{count(number['unknown'])} too little is known."
    )
    return [told]
