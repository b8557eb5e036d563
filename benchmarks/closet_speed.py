"""How fast are scenes of closet composed, as a training asks for them?

One process asks `ClosetTable` for samples, which composes them and reads labels off the scene;
nothing is encoded or written, and no scene is asked for twice. The first scenes of a process also
cut out the photos and are left out. Rates are by the processor's time, which other work on the
machine changes less than the clock. Closet is composed, not photographed.
"""

import dataclasses
import statistics
import time
from pathlib import Path

from report import arguments, report

from goldseam.dataset.examples.closet.labels import TASKS
from goldseam.dataset.examples.closet.sources import ClosetTable

SIZES = {64: 4000, 128: 1000}
WANTED = {"tags": ("tags",), "segmentation and tags": ("segmentation", "tags"), "all": tuple(TASKS)}
WARM_UP = 1000
LEAST_PER_SECOND = 1000.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One size, set of labels and seed.

    Attributes:
        labels: that a sample carries.
        images_per_second: of one core.
    """

    image_px: int
    labels: str
    images: int
    seed: int
    images_per_second: float


def measure(size: int, images: int, labels: str, seed: int) -> Row:
    """Ask for scenes after those of the warm-up."""
    table = ClosetTable(images + WARM_UP, WANTED[labels], seed=seed, size=size)
    for position in range(WARM_UP):
        table[position]
    began = time.process_time()
    for position in range(WARM_UP, len(table)):
        table[position]
    return Row(size, labels, images, seed, round(images / (time.process_time() - began), 1))


def main(quick: bool, out: Path | None) -> None:
    """Measure all sizes and sets of labels."""
    seeds = range(1 if quick else 3)
    rows = [
        measure(size, images // (20 if quick else 1), labels, seed)
        for seed in seeds
        for size, images in SIZES.items()
        for labels in WANTED
    ]

    def median(size: int, labels: str) -> float:
        here = [row for row in rows if (row.image_px, row.labels) == (size, labels)]
        return statistics.median(row.images_per_second for row in here)

    report(
        claim=f"One core composes at least {LEAST_PER_SECOND:.0f} scenes of 64 px a second with "
        "segmentation and tags.",
        holds=median(64, "segmentation and tags") >= LEAST_PER_SECOND,
        figure="; ".join(
            f"{size} px, {labels}: {median(size, labels):.0f} images/s"
            for size in SIZES
            for labels in WANTED
        ),
        rows=rows,
        seeds=list(seeds),
        out=out,
    )


if __name__ == "__main__":
    main(*arguments(__doc__))
