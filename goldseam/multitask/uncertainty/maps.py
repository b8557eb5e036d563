"""Uncertainty of each pixel (each category, for tags), from one model's own predictions.

Shapes: B batch, C categories, H and W pixels, K samples. `…` is what a prediction has of each task
after B, without the axis of categories or of vector components: `H W`, or `C` for tags.
"""

import dataclasses
from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor

from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig
from goldseam.models.multitask import MultitaskModel
from goldseam.multitask.mirror import can_mirror, mirrored_back

Signal = Literal["entropy", "spread", "correction", "mirror"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

PROBABLE = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY, Kind.TAGS)
SMALLEST = 1e-12


@dataclasses.dataclass(frozen=True)
class UncertainPrediction:
    """What a model predicts for one task, and how unsure it is of it.

    A signal that a task or a model does not have is None: it is unknown, not zero.

    Attributes:
        prediction: without noise; see `MultitaskModel.predict`.
        entropy: of the predicted probabilities, `B …` in bits; None for values and normals.
        spread: over K passes with noise, `B …`: root of the summed variances of the probabilities;
            standard deviation of values; mean angle in degrees between normals and their mean. None
            for tags, which are not denoised, and where no sample was asked for.
        correction: how far the denoiser moved the initial prediction, `B …`: total variation of
            probabilities, absolute difference of values, angle of normals in degrees. None without
            a denoiser, and for tags.
        mirror: how far the prediction of the mirrored image, mirrored back, is from this one, in
            the units of `correction`. None for normals whose x axis is not along the width.
    """

    prediction: Tensor
    entropy: Tensor | None = None
    spread: Tensor | None = None
    correction: Tensor | None = None
    mirror: Tensor | None = None

    def signal(self, name: Signal) -> Tensor | None:
        """One of the four by name."""
        found: Tensor | None = getattr(self, name)
        return found


@torch.no_grad()
def uncertainty(
    model: MultitaskModel,
    images_B3HW: Tensor,
    *,
    signals: Collection[Signal] = SIGNALS,
    samples: int = 8,
    noise_scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[str, UncertainPrediction]:
    """Predictions of every task with their uncertainties.

    Nothing here is calibrated: a signal orders pixels, and `measure_uncertainty` says how well.

    Args:
        model: in evaluation mode.
        images_B3HW: in [0, 1], on the model's device.
        signals: which to compute; entropy costs nothing, correction and mirror one pass each,
            spread as many as there are samples.
        samples: K, passes with noise; at least 2.
        noise_scale: times the noise of training; training's own is small beside the features.
        generator: source of the noise, on the CPU; seeded with 0 by default.

    Raises:
        InvalidConfig: fewer than 2 samples, or a noise scale that is not positive.
    """
    if "spread" in signals and (samples < 2 or not noise_scale > 0):
        raise InvalidConfig(
            f"uncertainty from {samples} samples with {noise_scale} times the noise.",
            remedy="Take at least 2 samples and a positive noise scale, or leave 'spread' out.",
        )
    found = model.predict(images_B3HW)
    parts: dict[Signal, dict[str, Tensor]] = {}
    if "entropy" in signals:
        parts["entropy"] = {
            task: entropy(prediction, model.tasks[task].kind)
            for task, prediction in found.items()
            if model.tasks[task].kind in PROBABLE
        }
    if model.refines and "spread" in signals:
        drawn = _sampled(model, images_B3HW, samples, noise_scale, generator)
        parts["spread"] = {
            task: spread(drawn[task], model.tasks[task].kind) for task in model.dense
        }
    if model.refines and "correction" in signals:
        before = model.predict(images_B3HW, initial=True)
        parts["correction"] = {
            task: distance(found[task], before[task], model.tasks[task].kind)
            for task in model.dense
        }
    if "mirror" in signals:
        mirrored = model.predict(images_B3HW.flip(-1))
        parts["mirror"] = {
            task: distance(prediction, mirrored_back(spec, mirrored[task]), spec.kind)
            for task, prediction in found.items()
            if can_mirror(spec := model.tasks[task])
        }
    return {
        task: UncertainPrediction(
            prediction, **{name: maps[task] for name, maps in parts.items() if task in maps}
        )
        for task, prediction in found.items()
    }


def entropy(probability: Tensor, kind: Kind) -> Tensor:
    """Entropy in bits: over categories for segmentation, of yes and no otherwise."""
    if kind is not Kind.SEGMENTATION:
        return entropy(torch.stack([probability, 1 - probability], dim=1), Kind.SEGMENTATION)
    return -(probability * probability.clamp(min=SMALLEST).log2()).sum(dim=1)


def spread(sample_KB: Tensor, kind: Kind) -> Tensor:
    """How far K samples of a prediction lie apart; see `UncertainPrediction.spread`."""
    if kind is Kind.NORMALS:
        mean_B3HW = sample_KB.mean(dim=0)
        return angle(sample_KB, mean_B3HW.expand_as(sample_KB)).mean(dim=0)
    variance_B = sample_KB.var(dim=0)
    return (variance_B.sum(dim=1) if kind is Kind.SEGMENTATION else variance_B).sqrt()


def distance(one: Tensor, other: Tensor, kind: Kind) -> Tensor:
    """How far two predictions lie apart; see `UncertainPrediction.correction`."""
    if kind is Kind.NORMALS:
        return angle(one, other)
    difference = (one - other).abs()
    return difference.sum(dim=1) / 2 if kind is Kind.SEGMENTATION else difference


def angle(one: Tensor, other: Tensor) -> Tensor:
    """Angle in degrees between vectors on the third axis from the end; 0 where one has no length.

    By atan2 of cross and dot product, which is exact for small angles where arccos is not.
    """
    cross = torch.linalg.cross(one, other, dim=-3).norm(dim=-3)
    return torch.rad2deg(torch.atan2(cross, (one * other).sum(dim=-3)))


def _sampled(
    model: MultitaskModel,
    images_B3HW: Tensor,
    samples: int,
    noise_scale: float,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    generator = generator or torch.Generator().manual_seed(0)
    return model.sample_predictions(images_B3HW, samples, generator, scale=noise_scale)
