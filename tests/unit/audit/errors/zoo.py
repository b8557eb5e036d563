"""Boxed animals with known faults, and what a model predicts of them."""

import dataclasses

import numpy as np

from goldseam.audit.errors.boxes import PredictedBoxes
from goldseam.dataset.codecs import Boxes

NAMES = ("cat", "dog", "owl")


@dataclasses.dataclass
class World:
    """Labels with known faults, predictions, and what was done to each label."""

    labels: list[Boxes | None]
    predictions: list[PredictedBoxes | None]
    fates: list[list[str]]
    omitted: int


def boxes(corners, category, ignore=None) -> Boxes:
    corners_N4 = np.asarray(corners, np.float32).reshape(-1, 4)
    ignored = np.zeros(len(corners_N4), bool) if ignore is None else np.asarray(ignore, bool)
    return Boxes(np.asarray(category, np.int32).reshape(-1), corners_N4, ignored)


def predicted(corners, category, score) -> PredictedBoxes:
    return PredictedBoxes(
        np.asarray(corners, np.float64).reshape(-1, 4),
        np.asarray(category, np.int64).reshape(-1),
        np.asarray(score, np.float64).reshape(-1),
    )


def world(
    seed: int, images: int = 600, *, omit=0.1, invent=0.05, shift=0.05, rename=0.05, found=0.98
) -> World:
    """Objects apart from each other in a 3 x 3 grid of cells of 100 px."""
    random = np.random.default_rng(seed)
    made = World([], [], [], 0)
    for _ in range(images):
        cells = random.permutation(9)[: random.integers(1, 6)]
        size = random.uniform(25, 60, (len(cells), 2))
        place = np.stack([cells % 3, cells // 3], axis=1) * 100 + random.uniform(5, 35, size.shape)
        true_N4 = np.concatenate([place, place + size], axis=1)
        category = random.integers(0, 3, len(cells))
        fate = random.choice(
            ["omit", "invent", "shift", "rename", "fine"],
            len(cells),
            p=[omit, invent, shift, rename, 1 - omit - invent - shift - rename],
        )
        shown = (random.random(len(cells)) < found) & (fate != "invent")
        noise = random.normal(0, 1, true_N4.shape)
        made.predictions.append(
            predicted((true_N4 + noise)[shown], category[shown], random.beta(8, 2, shown.sum()))
        )
        given_N4, given = true_N4.copy(), category.copy()
        moved = fate == "shift"
        given_N4[moved] += np.tile(size[moved] * 0.45, 2)
        given[fate == "rename"] = (given[fate == "rename"] + 1) % 3
        kept = fate != "omit"
        made.labels.append(boxes(given_N4[kept], given[kept]))
        made.fates.append(list(fate[kept]))
        made.omitted += int((fate == "omit").sum())
    return made
