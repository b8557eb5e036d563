"""Which learning rate and loss weights suit each way to train on rooms, with equal effort for all?

What `benchmarks/multitask_rooms.py` holds fixed is chosen here, on validation images and on seeds
that are not measured there. Every way to train gets the same candidates; the default's student has
those of its teacher, with derived labels. Rooms are rendered.
"""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

from ledger import Ledger
from multitask_parts import STEPS
from multitask_rooms import DENOISER, IMAGES, options
from report import arguments, report
from rooms_training import LOWER_IS_BETTER, WORK, Labels, Run, Score, train_all

SEEDS = (100, 101)
RATES = (1.5e-3, 3e-3, 6e-3)
WEIGHTS: dict[str, dict[str, Any]] = {
    "equal": {"weights": {}},
    "like sizes": {"weights": {"depth": 2.0, "normals": 6.0}},
    "normals first": {"weights": {"depth": 4.0, "normals": 12.0}},
    "uncertainty": {"balance": "uncertainty"},
}
MIDDLE = (3e-3, "like sizes")
WAYS: dict[str, dict[str, Any]] = {
    "multi-task": {},
    "derived labels": {"derive": "declared"},
    "feature diffusion": {"diffusion": DENOISER},
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A candidate.

    Attributes:
        way: to train.
        learning_rate: the highest.
        weights: name of the loss weights.
        gain: mean relative gain on validation over multi-task training with the middle candidate,
            percent, mean over the seeds.
    """

    way: str
    learning_rate: float
    weights: str
    gain: float


def candidates() -> list[tuple[float, str]]:
    """One line through the middle for each option; a full grid would cost four times as much."""
    rates = [(rate, MIDDLE[1]) for rate in RATES]
    return rates + [(MIDDLE[0], name) for name in WEIGHTS if name != MIDDLE[1]]


def run(way: str, rate: float, weights: str, labels: Labels, steps: int) -> Run:
    """A candidate on the labels of one seed."""
    config = options(labels.seed, steps, **WAYS[way])
    config["optimizer"]["learning_rate"] = rate
    config["loss"] = WEIGHTS[weights]
    return Run(f"{way} {rate:g} {weights}", labels, config)


def main(quick: bool, out: Path | None) -> None:
    """Score every candidate on validation."""
    from goldseam.metrics.delta import delta_m

    seeds, images, steps = ((100,), 24, 4) if quick else (SEEDS, IMAGES, STEPS)
    ledger = Ledger(WORK / ("ledger-quick" if quick else "ledger"), Score)
    plans = {
        (way, rate, weights): [
            run(way, rate, weights, Labels("one_label", seed, images=images), steps)
            for seed in seeds
        ]
        for way in WAYS
        for rate, weights in candidates()
    }
    train_all([one for several in plans.values() for one in several], ledger)
    found = {
        key: [(ledger.find(one) or [])[0].headline("validation") for one in several]
        for key, several in plans.items()
    }
    middle = found["multi-task", *MIDDLE]
    rows = []
    for (way, rate, weights), scores in found.items():
        gains = [
            delta_m(score, reference, LOWER_IS_BETTER).mean or 0.0
            for score, reference in zip(scores, middle, strict=True)
        ]
        rows.append(Row(way, rate, weights, round(100 * statistics.fmean(gains), 3)))
    best = {way: max((r for r in rows if r.way == way), key=lambda r: r.gain) for way in WAYS}
    for way, row in best.items():
        print(f"{way}: rate {row.learning_rate:g}, weights '{row.weights}', {row.gain:+.2f} %")
    report(
        claim="Plain multi-task training and the default are best with the same learning rate and "
        "the same loss weights, on validation images of seeds that are not measured.",
        holds=len({(row.learning_rate, row.weights) for row in list(best.values())[:2]}) == 1,
        figure="; ".join(
            f"{way}: {row.learning_rate:g}, {row.weights}" for way, row in best.items()
        ),
        rows=rows,
        seeds=seeds,
        out=out,
    )


if __name__ == "__main__":
    main(*arguments(__doc__))
