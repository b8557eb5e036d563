"""Rates of noise in words that the owner of the labels reads."""

import math

from goldseam.page import count, percent
from goldseam.results import Estimate, NoiseRate

RATIO = "×"


def amount(value: float, unit: str, *, digits: int | None = None) -> str:
    """A number with its unit; a share without a unit as a percentage."""
    if not unit:
        return percent(value)
    if digits is None:
        digits = 1 if unit == "px" else max(0, 2 - math.floor(math.log10(abs(value) or 1)))
    shown = f"{round(value, min(digits, 6)) + 0.0:.{min(digits, 6)}f}"  # not -0.0
    return f"{shown}{'' if unit in ('°', RATIO) else ' '}{unit}"


def with_interval(
    estimate: Estimate,
    *,
    magnitude: bool = False,
    absent: str = " (one group only, so no interval)",
) -> str:
    """`4.5 % (95 % interval 4.1 % to 5.0 %)`; says so where there is no interval.

    Args:
        estimate: defined.
        magnitude: leave out the sign, which the sentence tells in words.
        absent: said where there is no interval.
    """
    assert estimate.value is not None
    value = abs(estimate.value) if magnitude else estimate.value
    shown = amount(value, estimate.unit)
    if estimate.low is None or estimate.high is None:
        return f"{shown}{absent}"
    ends = [estimate.low, estimate.high]
    if magnitude and estimate.value < 0:
        ends = [-end for end in reversed(ends)]
    low, high = (amount(end, estimate.unit) for end in ends)
    return f"{shown} (95 % interval {low} to {high})"


def estimated(rate: Estimate) -> str:
    """A share that was not measured, with its interval if there is one."""
    return f"an estimated {with_interval(rate, absent='')}"


def images_seen(images: int) -> str:
    """`1,242 images`."""
    return f"{count(images)} image" + "s" * (images != 1)


def direction(dx: float, dy: float) -> str:
    """`2.1 px to the right and 0.4 px up`."""
    across = f"{abs(dx):.1f} px to the {'right' if dx >= 0 else 'left'}"
    return f"{across} and {abs(dy):.1f} px {'down' if dy >= 0 else 'up'}"


def nothing_in_common(clean: str, noisy: str) -> NoiseRate:
    """The rate of a pair that no image carries both labels of: unknown."""
    return NoiseRate(
        task=noisy,
        clean_task=clean,
        category=None,
        kind="flip",
        rate=Estimate(None, better="lower"),
        images=0,
        method="measured",
        sentence=f"How far {noisy} is off is unknown: no image carries both it and {clean}.",
    )
