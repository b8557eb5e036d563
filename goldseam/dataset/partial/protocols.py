"""Partial-label protocols: which image keeps the label of which task, fixed for a whole training.

`one_label` and `random_label` are those of MTPSL (Li et al., CVPR 2022) and DiffusionMTL (Ye and
Xu, CVPR 2024), whose masks are published as files without the program that drew them; the rules
here reproduce how many images carry how many labels. Shapes: N images, T tasks, P patterns of
eligibility.
"""

import itertools
import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from goldseam.dataset.partial.choosing import generator
from goldseam.errors import InvalidConfig

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

# in the place of a protocol: every label is known
FULL = "full"


class Protocol(StrEnum):
    """How many tasks an image is labeled for.

    - `one_label`: exactly one task an image, and as many images for each task as for any other.
    - `random_label`: a number of tasks drawn evenly from one to all but one, then that many tasks.
    """

    ONE_LABEL = "one_label"
    RANDOM_LABEL = "random_label"

    @classmethod
    def _missing_(cls, value: object) -> "Protocol":
        name = str(value).replace("-", "_")
        for member in cls:
            if member.value == name:
                return member
        # as the command line writes them
        names = " or ".join(member.value.replace("_", "-") for member in cls)
        raise InvalidConfig(f"there is no protocol '{value}'.", remedy=f"Choose {names}.")


def label_mask(
    images: int,
    tasks: Sequence[str],
    protocol: Protocol | str,
    *,
    seed: int,
    eligible: npt.ArrayLike | None = None,
) -> Bools:
    """Draw which image keeps the label of which task.

    An image gets labels only of tasks it is eligible for: a task without a label there, or
    without meaning (body parts where nobody is in the picture), is left out. With E eligible tasks:

    - `one_label` draws one of the E. The tasks' numbers of images differ by at most one where
      eligibility allows it, and are otherwise as even as it allows.
    - `random_label` draws K evenly from 1 to E - 1 and then K of the E, each subset as likely as
      any other. No image gets all of its tasks, save that with E = 1 it gets that one.

    With E = 0 an image gets nothing, under both.

    Args:
        images: number of images N.
        tasks: their names; only their number T matters here.
        protocol: which.
        seed: of the draw; the mask is drawn once and holds for the whole training.
        eligible: bool NT, True where the image could carry the task's label; None means all.

    Returns:
        bool NT, True where the label is kept.

    Raises:
        InvalidConfig: no such protocol, no task, or `eligible` is not NT.
    """
    protocol = Protocol(protocol)
    if images < 0 or not tasks or len(set(tasks)) < len(tasks):
        raise InvalidConfig(
            f"cannot draw labels for {images} images and the tasks {list(tasks)}.",
            remedy="Give a count of at least 0 and the name of each task once.",
        )
    eligible_NT = _eligible((images, len(tasks)), eligible)
    random = generator(seed, f"labels by {protocol}")
    if protocol is Protocol.ONE_LABEL:
        return _one_label(eligible_NT, random)
    return _random_label(eligible_NT, random)


def known_labels(images: int, tasks: Sequence[str], protocol: str, seed: int) -> Bools:
    """Which labels of the training pictures are known, bool NT: all by `FULL`, else by a protocol.

    Raises:
        InvalidConfig: there is no such protocol.
    """
    if protocol == FULL:
        return np.ones((images, len(tasks)), bool)
    if protocol.replace("-", "_") not in list(Protocol):
        raise InvalidConfig(
            f"there is no protocol '{protocol}'.",
            remedy=f"Choose {FULL}, one-label or random-label.",
        )
    return label_mask(images, tasks, protocol, seed=seed)


def budget(
    mask_NT: npt.ArrayLike,
    factor: float,
    *,
    seed: int,
    eligible: npt.ArrayLike | None = None,
    order: Literal["random", "cover"] = "random",
) -> Bools:
    """The same labels, `factor` times as many for each task.

    Budgets of one seed are nested: what a smaller factor keeps, a larger one keeps too, and factor
    1 keeps the mask itself. A task that has labels keeps at least one, and gets no more than there
    are eligible images. Above 1 an image may come to carry all of its tasks, so that the larger
    mask no longer obeys the protocol the mask was drawn by.

    Args:
        mask_NT: the labels at factor 1.
        factor: of the number of labeled images of each task, above 0.
        seed: of the choice.
        eligible: bool NT, True where a label can be had; None means everywhere.
        order: `random` takes any image of the task, which leaves the mixture of images with one
            and with several labels as it is; `cover` takes images with few labels in `mask_NT`
            first, so that the labels reach as many images as they can.

    Returns:
        bool NT.

    Raises:
        InvalidConfig: the factor is not positive, or the mask names a label that cannot be had.
    """
    known_NT = np.array(mask_NT, bool)
    if not 0 < factor < math.inf:
        raise InvalidConfig(
            f"a label budget of {factor} times is none.", remedy="Give a number above 0."
        )
    eligible_NT = _eligible(known_NT.shape, eligible)
    if (known_NT & ~eligible_NT).any():
        row, task = np.argwhere(known_NT & ~eligible_NT)[0]
        raise InvalidConfig(
            f"the mask keeps a label of task number {task} for image number {row}, which is not "
            "eligible for it.",
            remedy="Give the mask that was drawn with the same eligibility.",
        )
    images, tasks = known_NT.shape
    count_T = known_NT.sum(axis=0)
    wanted_T = np.floor(factor * count_T + 0.5).clip(count_T > 0, eligible_NT.sum(axis=0))
    # one order of all images for each task: labeled ones, then eligible ones, then the others
    place_NT = generator(seed, "label budget").random((images, tasks))
    if order == "cover":
        place_NT += known_NT.sum(axis=1)[:, None]
    place_NT += np.where(known_NT, 0, np.where(eligible_NT, 1, 2)) * (tasks + 2)
    rank_NT = place_NT.argsort(axis=0, kind="stable").argsort(axis=0)
    kept_NT: Bools = rank_NT < wanted_T
    return kept_NT


def _eligible(shape: tuple[int, ...], eligible: npt.ArrayLike | None) -> Bools:
    eligible_NT = np.ones(shape, bool) if eligible is None else np.asarray(eligible, bool)
    if eligible_NT.shape != shape or len(shape) != 2:
        raise InvalidConfig(
            f"eligible has the shape {eligible_NT.shape}, expected {shape}: images, tasks.",
            remedy="Give one flag for every image and task.",
        )
    return eligible_NT


def _random_label(eligible_NT: Bools, random: np.random.Generator) -> Bools:
    usable_N = eligible_NT.sum(axis=1)
    count_N = random.integers(1, np.maximum(usable_N, 2))
    key_NT = np.where(eligible_NT, random.random(eligible_NT.shape), np.inf)
    rank_NT = key_NT.argsort(axis=1).argsort(axis=1)
    mask_NT: Bools = eligible_NT & (rank_NT < count_N[:, None])
    return mask_NT


def _one_label(eligible_NT: Bools, random: np.random.Generator) -> Bools:
    """Shuffle the images of each pattern of eligibility, then deal them out in balanced shares."""
    images, tasks = eligible_NT.shape
    mask_NT = np.zeros_like(eligible_NT)
    pattern_PT, pattern_N = np.unique(eligible_NT, axis=0, return_inverse=True)
    pattern_N = pattern_N.reshape(-1)
    size_P = np.bincount(pattern_N, minlength=len(pattern_PT))
    share_PT = _balanced_shares(pattern_PT, size_P, random)
    shuffled_N = random.permutation(images)
    order_N = shuffled_N[pattern_N[shuffled_N].argsort(kind="stable")]
    dealt_M = order_N[eligible_NT.sum(axis=1)[order_N] > 0]
    task_M = np.repeat(np.tile(np.arange(tasks), len(pattern_PT)), share_PT.reshape(-1))
    mask_NT[dealt_M, task_M] = True
    return mask_NT


def _balanced_shares(pattern_PT: Bools, size_P: Counts, random: np.random.Generator) -> Counts:
    """How many images of each pattern go to each task, so that the tasks' sums are most even.

    Begins with an even split of every pattern. While a chain of exchanges (an image goes from task
    a to b, another from b to c, …) leads from one task to another with at least two images less,
    images are passed along it; where none is left, the sum of squares is least, as in any flow of
    convex cost.
    """
    share_PT = np.zeros(pattern_PT.shape, np.int64)
    for pattern, (eligible_T, size) in enumerate(zip(pattern_PT, size_P.tolist(), strict=True)):
        if eligible_T.any():
            each, rest = divmod(size, int(eligible_T.sum()))
            share_PT[pattern, eligible_T] = each
            share_PT[pattern, random.permutation(np.flatnonzero(eligible_T))[:rest]] += 1
    while chain := _chain(share_PT, pattern_PT):
        steps = list(itertools.pairwise(chain))
        givers = [
            int(np.where(pattern_PT[:, after], share_PT[:, before], 0).argmax())
            for before, after in steps
        ]
        load_T = share_PT.sum(axis=0)
        room = (load_T[chain[0]] - load_T[chain[-1]]) // 2
        moved = min(
            room, *(share_PT[p, before] for p, (before, _) in zip(givers, steps, strict=True))
        )
        for pattern, (before, after) in zip(givers, steps, strict=True):
            share_PT[pattern, before] -= moved
            share_PT[pattern, after] += moved
    return share_PT


def _chain(share_PT: Counts, pattern_PT: Bools) -> list[int]:
    """Tasks from a full one to one with at least two images less; empty when there is none."""
    load_T = share_PT.sum(axis=0)
    # a gives to b where some pattern has images at a that may go to b
    gives_TT = (share_PT > 0).astype(np.int64).T @ pattern_PT.astype(np.int64)
    for start in np.argsort(-load_T, kind="stable").tolist():
        came_from = {start: start}
        queue = [start]
        for task in queue:
            for after in np.flatnonzero(gives_TT[task]).tolist():
                if after not in came_from:
                    came_from[after] = task
                    queue.append(after)
        last = min(queue, key=load_T.__getitem__)
        if load_T[start] - load_T[last] >= 2:
            chain = [last]
            while chain[-1] != start:
                chain.append(came_from[chain[-1]])
            return chain[::-1]
    return []
