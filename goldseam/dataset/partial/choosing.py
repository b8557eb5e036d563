"""Which images to label when only a few labels can be paid for, and which tags to forget.

Everything is seeded, and balanced by minimization (Pocock and Simon 1975): the next image is the
one whose traits (map block, shows a lake, …) the choice has least of.

Shapes: N images, T tasks, C categories.
"""

import zlib
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN
from goldseam.errors import InvalidConfig

Traits = Sequence[Sequence[Hashable]]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator of its own for each purpose: one more draw here shifts nothing there."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(purpose.encode())]))


def choose_rows(
    candidate_N: npt.ArrayLike, count: int, *, seed: int, purpose: str = "rows", traits: Traits = ()
) -> npt.NDArray[np.bool_]:
    """Choose `count` images, balanced over their traits.

    Args:
        candidate_N: True where an image may be chosen.
        count: how many.
        seed: of the choice.
        purpose: names what is chosen; choices of another purpose do not follow from this one.
        traits: each a sequence of N values, such as the images' groups.

    Returns:
        bool N, True for exactly `count` candidates.

    Raises:
        InvalidConfig: there are fewer candidates.
    """
    candidate_N1 = np.asarray(candidate_N, bool)[:, None]
    return one_task_each(candidate_N1, count, seed=seed, purpose=purpose, traits=traits)[:, 0]


def one_task_each(
    candidate_NT: npt.ArrayLike,
    per_task: int,
    *,
    seed: int,
    purpose: str = "one task each",
    traits: Traits = (),
) -> npt.NDArray[np.bool_]:
    """Give every task `per_task` images, and no image to two tasks.

    The tasks choose in turn, so that none is left with what another did not want.

    Args:
        candidate_NT: True where the image could carry the task's label.
        per_task: images of each task.
        seed: of the choice.
        purpose: names what is chosen; choices of another purpose do not follow from this one.
        traits: each a sequence of N values; each task's images are balanced over them.

    Returns:
        bool NT: at most one True in a row, exactly `per_task` in a column.

    Raises:
        InvalidConfig: a task runs out of candidates, or `traits` do not fit the images.
    """
    free_NT = np.array(candidate_NT, bool)
    images, tasks = free_NT.shape
    if per_task < 0 or any(len(trait) != images for trait in traits):
        raise InvalidConfig(
            f"cannot choose {per_task} of {images} images by traits of lengths "
            f"{[len(trait) for trait in traits]}.",
            remedy="Give a count of at least 0, and one value of each trait for every image.",
        )
    random = generator(seed, purpose)
    chosen_NT = np.zeros_like(free_NT)
    counts = [[Counter[Hashable]() for _ in traits] for _ in range(tasks)]
    for turn in range(per_task):
        for task in range(tasks):
            candidates = np.flatnonzero(free_NT[:, task])
            if not len(candidates):
                raise InvalidConfig(
                    f"only {turn} of {per_task} images are left for task number {task}: "
                    f"there are {images} images for {tasks} tasks.",
                    remedy="Ask for fewer labeled images (--clean-per-task), or give more images.",
                )
            load_K = np.zeros(len(candidates), np.int64)
            for trait, count in zip(traits, counts[task], strict=True):
                load_K += [count[trait[row]] for row in candidates.tolist()]
            row = int(random.choice(candidates[load_K == load_K.min()]))
            free_NT[row] = False
            chosen_NT[row, task] = True
            for trait, count in zip(traits, counts[task], strict=True):
                count[trait[row]] += 1
    return chosen_NT


def known_tags(
    state_NC: npt.ArrayLike, rate: float, *, seed: int, purpose: str = "known tags"
) -> npt.NDArray[np.int8]:
    """Forget tags, so that of each category about `rate` stays known.

    Present and absent entries of a category are drawn apart, and at least one of each stays where
    there is one; so no category loses all of its positives by chance. An image left with nothing
    known gets one of its tags back.

    Args:
        state_NC: 1 present, 0 absent, -1 unknown.
        rate: share of the entries that stays known, 0 < rate <= 1.
        seed: of the choice.
        purpose: names what is chosen; choices of another purpose do not follow from this one.

    Returns:
        int8 NC, a copy with more -1.

    Raises:
        InvalidConfig: `rate` is no share.
    """
    if not 0 < rate <= 1:
        raise InvalidConfig(
            f"{rate} is no share of tags to keep.", remedy="Give a number above 0 and at most 1."
        )
    full_NC = np.asarray(state_NC, np.int8)
    random = generator(seed, purpose)
    kept_NC = np.full_like(full_NC, UNKNOWN)
    for category in range(full_NC.shape[1]):
        for state in (PRESENT, ABSENT):
            rows = np.flatnonzero(full_NC[:, category] == state)
            if len(rows):
                keep = max(1, round(rate * len(rows)))
                kept_NC[random.choice(rows, keep, replace=False), category] = state
    for row in np.flatnonzero((kept_NC == UNKNOWN).all(axis=1)):
        known = np.flatnonzero(full_NC[row] != UNKNOWN)
        if len(known):
            category = int(random.choice(known))
            kept_NC[row, category] = full_NC[row, category]
    return kept_NC
