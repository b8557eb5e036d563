"""What was found, in words for people who train no models."""

from goldseam.page import amount
from goldseam.results import Estimate

POINTS = "points"
METRICS = {
    "miou": "overlap with the label (IoU)",
    "mae": "mean error",
    "mean": "mean angle error",
    "f1": "F1",
    "max_f": "F score",
}


def size(value: float, unit: str) -> str:
    """A difference without its sign: `2.1 points` of a ratio, `0.02 m`."""
    if unit:
        return amount(abs(value), plural(unit))
    return f"{100 * abs(value):.1f} {POINTS}"


def plural(unit: str) -> str:
    """A unit after a number: `degrees`, `m`."""
    return f"{unit}s" if unit == "degree" else unit


def signed(value: float, unit: str) -> str:
    """A difference with its sign: `+2.1 points`, `−0.02 m`."""
    return f"{'+' if value >= 0 else '−'}{size(value, unit)}"


def gain(difference: Estimate) -> str:
    """A difference with plus where it is a gain, whichever direction of the score is better."""
    if difference.value is None:
        return ""
    lower = difference.better == "lower"
    return signed(-difference.value if lower else difference.value, difference.unit)


def span(difference: Estimate) -> str:
    """The interval of a gain: `(−0.4 to +2.1 points)`; empty where there is none.

    Plus is a gain whichever direction of the score is better.
    """
    if difference.low is None or difference.high is None:
        return ""
    low, high = difference.low, difference.high
    if difference.better == "lower":
        low, high = -high, -low
    return _ends(signed(low, difference.unit), signed(high, difference.unit), difference.unit)


def between(difference: Estimate) -> str:
    """The interval of a difference whose sign is clear, without it: `(0.4 to 2.1 points)`."""
    if difference.low is None or difference.high is None:
        return ""
    near, far = sorted((abs(difference.low), abs(difference.high)))
    return _ends(size(near, difference.unit), size(far, difference.unit), difference.unit)


def _ends(first: str, last: str, unit: str) -> str:
    """Both ends with their common unit named once."""
    return f"({first.removesuffix(f' {plural(unit) or POINTS}')} to {last})"


def effect_sentence(
    task: str, condition: str, metric: str, difference: Estimate, *, matters: bool = True
) -> str:
    """What one task gains by seeing the first guess of another."""
    guess = (
        "its own first guess" if task == condition else f"the model's first guess of {condition}"
    )
    word = METRICS.get(metric, metric)
    if difference.value is None:
        return f"Whether {guess} helps {task} is unknown: no {task} label could be scored."
    if difference.low is None:
        return (
            f"Whether {guess} helps {task} is unknown: all images belong to one group, "
            "so that there is no interval."
        )
    if difference.verdict == "unclear":
        return (
            f"It is not clear that {guess} changes {task}: its {word} differs by "
            f"{size(difference.value, difference.unit)}, where plus is better {span(difference)}."
        )
    if not matters:
        return f"Whether {task} sees {guess} changes its {word} too little to matter."
    way = "helps" if difference.verdict == "better" else "harms"
    turn = "worse" if difference.verdict == "better" else "better"
    return (
        f"{_capital(guess)} {way} {task}: when it is withheld, the {word} is "
        f"{size(difference.value, difference.unit)} {turn} {between(difference)}."
    )


def transfer_sentence(task: str, metric: str, difference: Estimate, *, matters: bool = True) -> str:
    """Whether a task is better learned together or alone."""
    if difference.value is None or difference.low is None:
        return f"Whether {task} is better learned together or alone is unknown."
    word, far = METRICS.get(metric, metric), size(difference.value, difference.unit)
    if difference.verdict == "unclear":
        return (
            f"Learned together, {task} is neither clearly better nor clearly worse than alone: its "
            f"{word} differs by {far} {span(difference)}."
        )
    if not matters:
        return f"Learned together or alone, the {word} of {task} differs too little to matter."
    if difference.verdict == "better":
        return (
            f"Learning {task} together with the other tasks pays: its {word} is "
            f"{far} better than alone {between(difference)}."
        )
    return (
        f"Warning: the other tasks harm {task}. Learned together, its {word} is "
        f"{far} worse than learned alone {between(difference)}. "
        f"Give {task} a larger weight, balance the losses, or train it apart."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
