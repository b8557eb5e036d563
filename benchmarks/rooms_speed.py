"""How fast are rooms rendered with all of their labels, and where does the time go?

One process renders views of the training furniture; pictures and labels are encoded as the dataset
stores them, and nothing is written. Rates are by the processor's time of all threads, which other
work on the machine changes less than the clock; the clock's stand beside them. The first rooms of
a process prepare the models and are left out.
"""

import dataclasses
import itertools
import statistics
import time
from collections import Counter

from report import arguments, report

from goldseam.dataset.codecs import encode_image, encode_label
from goldseam.dataset.examples.rooms.build import views
from goldseam.dataset.examples.rooms.labels import LABELS, TASKS
from goldseam.dataset.examples.rooms.models import read_library
from goldseam.dataset.examples.rooms.shading import photograph

SIZES = {64: 240, 128: 80, 256: 24}
QUICK_SIZES = {64: 24, 128: 8}
WARM_UP = 90
LEAST_PER_SECOND = 30.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One size with one seed.

    Attributes:
        images_per_second: one core's, by processor time.
        clock_images_per_second: by the clock.
        furnish_ms: processor time for one image's share of the room, its triangles and the labels'
            rays.
        photograph_ms: … of the picture's rays and shading.
        labels_ms: … of the labels.
        encode_ms: … of PNG files and cells.
    """

    image_px: int
    images: int
    seed: int
    images_per_second: float
    clock_images_per_second: float
    furnish_ms: float
    photograph_ms: float
    labels_ms: float
    encode_ms: float


class Clock:
    """Processor time by part of the work."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._last = time.process_time()

    def lap(self, part: str) -> None:
        """Count the time since the last lap to `part`."""
        now = time.process_time()
        self.seconds[part] += now - self._last
        self._last = now


def measure(size: int, images: int, seed: int) -> Row:
    library = read_library()
    drawn_views = views(library.split("train"), "train", size, seed)
    for _ in itertools.islice(drawn_views, WARM_UP):
        pass
    start, clock = time.perf_counter(), Clock()
    for drawn in itertools.islice(drawn_views, images):
        view = drawn.view
        clock.lap("furnish_ms")
        image_HW3 = photograph(view.scene, view.camera, size, library.texture_T, drawn.random)
        clock.lap("photograph_ms")
        labels = {task: LABELS[task](view) for task in TASKS}
        clock.lap("labels_ms")
        encode_image(image_HW3)
        for task in TASKS:
            encode_label(TASKS[task], labels[task])
        clock.lap("encode_ms")
    elapsed = time.perf_counter() - start
    return Row(
        image_px=size,
        images=images,
        seed=seed,
        images_per_second=round(images / clock.seconds.total(), 1),
        clock_images_per_second=round(images / elapsed, 1),
        **{part: round(1000 * spent / images, 2) for part, spent in clock.seconds.items()},
    )


def main() -> None:
    quick, out = arguments(__doc__ or "")
    seeds = range(1 if quick else 3)
    sizes = QUICK_SIZES if quick else SIZES
    rows = [measure(size, images, seed) for seed in seeds for size, images in sizes.items()]
    medians = {
        size: statistics.median(row.images_per_second for row in rows if row.image_px == size)
        for size in sizes
    }
    listed = ", ".join(f"{rate:.0f} images/s at {size} px" for size, rate in medians.items())
    report(
        claim=f"One core renders at least {LEAST_PER_SECOND:.0f} rooms of 64 px a second with all "
        "labels.",
        holds=medians[64] >= LEAST_PER_SECOND,
        figure=f"median by processor time of one core: {listed}",
        rows=rows,
        seeds=list(seeds),
        out=out,
    )


if __name__ == "__main__":
    main()
