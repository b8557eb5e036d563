"""Can two tasks be trained together without the gaps of one biasing the other.

Legend: N training images, T tasks.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.factors import Factor
from goldseam.audit.missingness.independence import associate
from goldseam.audit.missingness.wording import MODERATE, plain_name
from goldseam.audit.statistics.groups import draw_groups
from goldseam.dataset.codecs import Array
from goldseam.dataset.partial import generator
from goldseam.page.numbers import count, percent
from goldseam.results import MissingnessTest, PairVerdict

LABELS = ("other_label", "own_label")


def pair_verdicts(
    labels: LabelSide,
    row_M: Array,
    tests: Sequence[MissingnessTest],
    config: MissingnessConfig,
) -> tuple[PairVerdict, ...]:
    """A verdict for every pair of tasks.

    *biased*: the gaps of one depend on the other's labels, or both depend on the same thing, at
    least moderately (what is found of a category counts for its task); or, significantly and at
    least moderately, one is labeled where the other is not. Being labeled together is no bias.
    *unknown*: a task is never labeled; the two never meet on an image, so what one says about the
    other can be neither learned nor checked; too few images are labeled, or too few are not, for
    "no finding" to mean anything; or nothing could be tested. *safe*: none of these.

    Args:
        labels: the label side.
        row_M: the training images.
        tests: those of the training images, decided.
        config: the level, and how many images are enough.
    """
    pairs = itertools.combinations(labels.info.tasks, 2)
    return tuple(_verdict(labels, row_M, tests, config, *pair) for pair in pairs)


def _verdict(
    labels: LabelSide,
    row_M: Array,
    tests: Sequence[MissingnessTest],
    config: MissingnessConfig,
    task: str,
    other: str,
) -> PairVerdict:
    known_M, other_M = labels.known[task][row_M], labels.known[other][row_M]
    together = int((known_M & other_M).sum())

    def verdict(word: str, why: str) -> PairVerdict:
        return PairVerdict(task, other, together, word, why)  # type: ignore[arg-type]

    for name, mine_M in ((task, known_M), (other, other_M)):
        if not mine_M.any():
            return verdict("unknown", f"No training image carries a label of {name}.")
    if (why := _biased_by_labels(tests, task, other)) or (
        why := _biased_by_factor(tests, task, other)
    ):
        return verdict("biased", why)
    if not together:
        return verdict(
            "unknown",
            f"{task} and {other} never meet on a training image, so what one says about the other "
            "can be neither learned nor checked: label some images with both.",
        )
    if why := _avoiding(labels, row_M, config, task, other):
        return verdict("biased", why)
    return verdict(*_unbiased(tests, config, {task: known_M, other: other_M}))


def _unbiased(
    tests: Sequence[MissingnessTest], config: MissingnessConfig, known: dict[str, Array]
) -> tuple[str, str]:
    """What it means that nothing was found."""
    partial = [name for name, known_M in known.items() if not _whole(tests, name, known_M)]
    for name in partial:
        labeled = int(known[name].sum())
        unlabeled = len(known[name]) - labeled
        if labeled < config.enough:
            return "unknown", (
                f"Only {count(labeled)} training images carry a label of {name}: too few to tell "
                "whether they are like the others."
            )
        if 0 < unlabeled < config.enough:
            return "unknown", (
                f"Only {count(unlabeled)} training images carry no label of {name}: too few to "
                "tell whether they are like the others."
            )
        if not any(test.task == name and test.p_value is not None for test in tests):
            return "unknown", (
                f"Nothing is recorded against which the gaps of {name} could be tested: add "
                "metadata columns, pictures or embeddings."
            )
    first, second = known
    if not partial:
        return "safe", f"Every training image carries labels of {first} and {second}."
    return "safe", (
        f"The gaps of {' and '.join(partial)} depend neither on the other's labels nor, for both "
        "tasks, on the same property of the images, as far as that was tested."
    )


def _whole(tests: Sequence[MissingnessTest], task: str, known_M: Array) -> bool:
    """Whether a task has no gap, in no category that is a unit of its own."""
    of_category = any(test.task == task and test.category is not None for test in tests)
    return bool(known_M.all()) and not of_category


def _matters(test: MissingnessTest) -> bool:
    return test.strength in ("moderate", "strong")


def _named(test: MissingnessTest) -> str:
    return test.task if test.category is None else f"{test.task}.{test.category}"


def _biased_by_labels(tests: Sequence[MissingnessTest], task: str, other: str) -> str:
    for mine, theirs in ((task, other), (other, task)):
        found = [
            test
            for test in tests
            if test.task == mine
            and test.factor_kind in LABELS
            and test.factor.startswith(f"{theirs}.")
            and _matters(test)
        ]
        if found:
            return max(found, key=lambda test: abs(test.effect or 0)).sentence
    return ""


def _biased_by_factor(tests: Sequence[MissingnessTest], task: str, other: str) -> str:
    """The strongest factor on which the gaps of both depend."""
    strongest: dict[str, dict[str, MissingnessTest]] = {task: {}, other: {}}
    for test in tests:
        if test.task in strongest and test.factor_kind not in LABELS and _matters(test):
            best = strongest[test.task].get(test.factor)
            if best is None or abs(test.effect or 0) > abs(best.effect or 0):
                strongest[test.task][test.factor] = test
    shared = [
        (strongest[task][factor], strongest[other][factor])
        for factor in strongest[task]
        if factor in strongest[other]
    ]
    if not shared:
        return ""
    first, second = max(shared, key=lambda both: min(abs(one.effect or 0) for one in both))
    what = (
        "what the image looks like"
        if first.factor_kind == "embedding"
        else f"the {plain_name(first.factor)} of the image"
    )
    return (
        f"Whether {_named(first)} and {_named(second)} are labeled depends on the same thing, "
        f"{what}: what is learned from both holds for such images only."
    )


def _avoiding(
    labels: LabelSide, row_M: Array, config: MissingnessConfig, task: str, other: str
) -> str:
    """Whether one is labeled where the other is not, more than chance brings about."""
    random = generator(config.seed, f"missingness pair {task} {other}")
    row_M = row_M[draw_groups(labels.group_N[row_M], config.grouped_images, random)]
    known_M, other_M = labels.known[task][row_M], labels.known[other][row_M]
    factor = Factor(other, "other_label", other_M.astype(np.int64), ("unknown", "known"))
    found = associate(known_M[:, None], factor, labels.group_N[row_M], config, random)
    if found.why_not[0]:
        return ""
    known_L = found.known_LU[:, 0] / found.size_L
    pairs = len(labels.info.tasks) * (len(labels.info.tasks) - 1) / 2
    significant = found.p_U[0] * pairs < config.level
    if significant and known_L[1] < known_L[0] and found.effect_U[0] >= MODERATE:
        return (
            f"{task} is labeled where {other} is not: on {percent(float(known_L[1]))} of the "
            f"images that carry a label of {other}, and on {percent(float(known_L[0]))} of the "
            "others. The images with both are exceptions."
        )
    return ""
