"""Slips of normals: axes that are flipped or swapped, and angles far from the prediction.

N images; T the 48 ways to permute three axes and change their signs.
"""

import itertools

import numpy as np

from goldseam.audit.errors.outliers import outlier_score, robust_z
from goldseam.audit.errors.slip import Slip
from goldseam.audit.errors.value_config import ValuesConfig
from goldseam.audit.errors.value_statistics import Statistics
from goldseam.audit.findings import Action, Issue
from goldseam.dataset.codecs import Array
from goldseam.page import percent

AXES = "xyz"
ONE_SIDED = 0.95  # an axis with so many normals on one side has a usual side
OTHER_SIDE = 0.8  # how much more of an image must lie on the other side
CHANGE_COST = 0.01  # of two explanations as good as each other, the one that changes less
LEAST_LOG_SPREAD = 0.1


def normal_slips(statistics: Statistics, config: ValuesConfig) -> list[Slip]:
    """Everything that stands out, an image possibly more than once; what explains comes first."""
    count = np.isfinite(statistics["axis_x_positive"]).sum()
    slips = [_empty(statistics, config)]
    if count >= config.minimum_images:
        slips += [
            _changed_axes(statistics, config),
            _facing(statistics),
            _outliers(statistics, config),
        ]
    return slips


def _empty(statistics: Statistics, config: ValuesConfig) -> Slip:
    known_N = statistics["pixels"] > 0
    at = np.flatnonzero(known_N & (statistics["valid"] == 0))
    if len(at) > config.common_share * known_N.sum():
        at = at[:0]
    text = "No pixel of this label has a normal, though the label counts as known."
    return Slip(
        "empty",
        Issue.OUTLYING_VALUES,
        Action.REVIEW,
        at,
        np.ones(len(at)),
        [text] * len(at),
        [None] * len(at),
    )


def axis_changes() -> tuple[Array, list[str]]:
    """The 48 matrices T33 that turn predicted into labeled axes, and their names.

    The fewest changes first; the first is the identity, whose name is empty.
    """
    found = []
    for order in itertools.permutations(range(3)):
        for sign in itertools.product((1, -1), repeat=3):
            matrix_33 = np.zeros((3, 3))
            matrix_33[range(3), order] = sign
            moved = [AXES[axis] for axis in range(3) if order[axis] != axis]
            flipped = [AXES[axis] for axis in range(3) if sign[axis] < 0]
            name = " and ".join(moved) + " swapped" if moved else ""
            if len(moved) == 3:
                name = "x, y, z holding " + ", ".join(AXES[axis] for axis in order)
            if flipped:
                name += (", " if name else "") + " and ".join(flipped) + " flipped"
            found.append((len(moved) + len(flipped), name, matrix_33))
    found.sort(key=lambda entry: entry[:2])
    return np.stack([entry[2] for entry in found]), [entry[1] for entry in found]


def _changed_axes(statistics: Statistics, config: ValuesConfig) -> Slip:
    """Images that fit their prediction far better with axes flipped or swapped.

    Under a change T the mean cosine is the sum of `T * cross`, so nine numbers an image try all.
    Where most images want the same change, prediction and labels name their axes differently, and
    that change is the reference.
    """
    change_T33, names = axis_changes()
    cross_N33 = np.stack([statistics[f"cross_{a}{b}"] for a in AXES for b in AXES], axis=1).reshape(
        -1, 3, 3
    )
    compared_N = np.isfinite(cross_N33[:, 0, 0])
    cosine_NT = np.einsum("nab,tab->nt", np.nan_to_num(cross_N33), change_T33)
    if compared_N.sum() < config.minimum_images:
        compared_N = np.zeros_like(compared_N)
    cost_T = CHANGE_COST * (np.abs(change_T33 - np.eye(3)).sum(axis=(1, 2)) > 0)
    usual = (
        int((np.median(cosine_NT[compared_N], axis=0) - cost_T).argmax()) if compared_N.any() else 0
    )
    # changes relative to the reference: what is applied on top of it
    relative = change_T33 @ change_T33[usual].T
    size_T = np.abs(relative - np.eye(3)).sum(axis=(1, 2))
    best_N = (cosine_NT - CHANGE_COST * size_T).argmax(axis=1)
    best_cosine_N = cosine_NT[np.arange(len(best_N)), best_N]
    gain_N = best_cosine_N - cosine_NT[:, usual]
    # the change must bring the image up to what is usual, not merely be the best of bad ones
    fits_N = (
        best_cosine_N >= 0.8 * np.median(cosine_NT[compared_N, usual])
        if compared_N.any()
        else False
    )
    at = np.flatnonzero(compared_N & fits_N & (gain_N >= config.least_alignment_gain))
    what = [
        names[int(np.abs(change_T33 - relative[best_N[image]]).sum(axis=(1, 2)).argmin())]
        for image in at
    ]
    texts = [
        f"With {name} the normals fit the prediction: the mean cosine rises from "
        f"{cosine_NT[image, usual]:.2f} to {best_cosine_N[image]:.2f}."
        for image, name in zip(at, what, strict=True)
    ]
    score = 0.5 + 0.5 * np.clip(gain_N[at], 0, 1)
    return Slip("axes", Issue.INVERTED_VALUES, Action.CONVERT, at, score, texts, what)


def _facing(statistics: Statistics) -> Slip:
    """Images whose normals point to the side that hardly any normal of the dataset points to.

    Needs no prediction: what a camera sees faces it, so one axis has a usual side.
    """
    parts: list[tuple[int, str, float, str]] = []
    for axis in AXES:
        share_N = statistics[f"axis_{axis}_positive"]
        usual = float(np.nanmedian(share_N))
        if max(usual, 1 - usual) < ONE_SIDED:
            continue
        other_N = np.nan_to_num(np.abs(share_N - usual))
        for image in np.flatnonzero(other_N >= OTHER_SIDE):
            text = (
                f"{percent(float(share_N[image]))} of the normals point along positive {axis}; "
                f"{percent(usual)} is usual."
            )
            parts.append((int(image), axis, float(other_N[image]), text))
    return Slip(
        "facing",
        Issue.INVERTED_VALUES,
        Action.CONVERT,
        np.array([image for image, *_ in parts], np.int64),
        np.array([off for _, _, off, _ in parts]),
        [text for *_, text in parts],
        [f"{axis} flipped" for _, axis, _, _ in parts],
    )


def _outliers(statistics: Statistics, config: ValuesConfig) -> Slip:
    """Images whose median angle is far larger than that of most, on a log scale."""
    angle_N = statistics["angle"]
    at, z_N, usual = np.zeros(0, np.int64), angle_N, 0.0
    if np.isfinite(angle_N).sum() >= config.minimum_images:
        usual = float(np.nanmedian(angle_N))
        z_N = robust_z(np.log(angle_N + usual / 10 + 1e-12), LEAST_LOG_SPREAD)
        at = np.flatnonzero(np.nan_to_num(z_N) >= config.robust_z)
    texts = [
        f"The median angle to the prediction is {angle_N[image]:.1f}°; {usual:.1f}° is usual."
        for image in at
    ]
    return Slip(
        "outlier",
        Issue.OUTLYING_VALUES,
        Action.REVIEW,
        at,
        outlier_score(z_N[at], config.robust_z),
        texts,
        [None] * len(at),
    )
