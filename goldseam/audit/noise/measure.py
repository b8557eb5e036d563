"""What is read off pictures about noise: a noisy label beside its clean version, image by image.

Tags and boxes need no pictures; `section` compares them on the label side. C categories, H and W
pixels.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.measuring import Seen
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.counts import NO_CATEGORY, Counted, CountTable
from goldseam.audit.noise.disagreement import MEASURED, boundary_band, category_ids, check_size
from goldseam.audit.noise.objects import is_speckled, left_out, smoothed
from goldseam.audit.noise.outlines import OutlineFit, compare_outlines, gains, translation
from goldseam.audit.noise.values import ValueDifference, compare_normals, compare_values
from goldseam.audit.regions import Regions, moved
from goldseam.audit.statistics.bootstrap import bundle_of
from goldseam.dataset.codecs import Array, BadCell
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.errors import InvalidDataset

ROWS_AT_ONCE = 4096
NOISE_COUNTS, NOISE_IMAGES = "noise_counts", "noise_images"
NUMBERS = (
    ("dx", "px to the right; noisy beside clean"),
    ("dy", "px down"),
    ("shift_weight", "px of outline that tell the shift"),
    ("dilation", "px that the noisy outline lies outside of the clean one"),
    ("dilation_weight", "px of outline that tell the dilation"),
    ("bias", "unit of the task"),
    ("scale", "slope of noisy over clean"),
    ("spread", "unit of the task"),
    ("angle", "degrees"),
)
IMAGES_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("noisy_task", pa.string(), nullable=False),
        pa.field("category", pa.int32(), nullable=False),  # -1 for the label as a whole
        pa.field("pixels", pa.int64(), nullable=False),  # at which both labels are known
        pa.field("differing", pa.int64()),  # of the whole label; null where it is no category ids
        *(pa.field(name, pa.float64()) for name, _ in NUMBERS),  # null where undefined
    ]
)
OMISSION = (Counted.CLEAN_OBJECTS, Counted.OMITTED)
INVENTION = (Counted.NOISY_OBJECTS, Counted.INVENTED)
OF_VALUES = (Kind.REGRESSION, Kind.NORMALS)


class NoiseMeasure:
    """Compares every noisy picture label with its clean version where both are known.

    Leaves two tables. `noise_counts` (`counts.COUNTS_SCHEMA`): pixels by clean and noisy category,
    apart for the boundary band of the clean label and the interior; objects, and those left out or
    put in. `noise_images` (`IMAGES_SCHEMA`): an image's numbers, as a whole and by category.

    Args:
        info: of the dataset.
        config: the options.
    """

    def __init__(self, info: DatasetInfo, config: NoiseConfig) -> None:
        self._config = config
        self._pairs = [
            (task.noisy_version_of, name, info.tasks[task.noisy_version_of], task)
            for name, task in info.tasks.items()
            if task.noisy_version_of is not None and task.kind in MEASURED + OF_VALUES
        ]
        self._counts = CountTable()
        self._rows: list[dict[str, Any]] = []
        self._written: list[pa.Table] = [IMAGES_SCHEMA.empty_table()]

    def update(self, seen: Seen) -> None:
        """Compare the labels of one image.

        Raises:
            InvalidDataset: two labels of one image cannot be compared.
        """
        for clean, noisy, clean_task, noisy_task in self._pairs:
            labels = seen.labels.get(clean), seen.labels.get(noisy)
            if labels[0] is None or labels[1] is None:
                continue
            of = (noisy, seen.split, bundle_of(seen.group))
            self._counts.add(of, Counted.IMAGES, np.ones(1, np.int64))
            try:
                if noisy_task.kind in MEASURED:
                    ids = category_ids(clean_task, labels[0]), category_ids(noisy_task, labels[1])
                    check_size(ids[0][0], ids[1][0])
                    self._compare_ids(seen.image_id, of, clean_task, *ids)
                else:
                    check_size(labels[0], labels[1])
                    normals = noisy_task.kind is Kind.NORMALS
                    compare = compare_normals if normals else compare_values
                    self._add_values(seen.image_id, noisy, compare(labels[0], labels[1]))
            except BadCell as error:
                raise InvalidDataset(
                    f"image '{seen.image_id}', '{noisy}' beside '{clean}': {error}.",
                    remedy=error.remedy,
                ) from error

    def tables(self) -> dict[str, pa.Table]:
        """`noise_counts` and `noise_images`; none where no task has a noisy version."""
        if not self._pairs:
            return {}
        self._pack()
        images = pa.concat_tables(self._written).combine_chunks()
        return {NOISE_COUNTS: self._counts.table(), NOISE_IMAGES: images}

    def _pack(self) -> None:
        """Rows as a table: a fiftieth of the memory."""
        self._written.append(pa.Table.from_pylist(self._rows, schema=IMAGES_SCHEMA))
        self._rows.clear()

    def _compare_ids(
        self,
        image_id: str,
        of: tuple[str, str, int],
        task: Task,
        clean: tuple[Array, Array],
        noisy: tuple[Array, Array],
    ) -> None:
        (clean_HW, clean_known_HW), (noisy_HW, noisy_known_HW) = clean, noisy
        known_HW = clean_known_HW & noisy_known_HW
        band_HW = boundary_band(clean_HW, clean_known_HW, self._config.band)
        differing = known_HW & (clean_HW != noisy_HW)
        self._add(image_id, of[0], NO_CATEGORY, int(known_HW.sum()), int(differing.sum()))
        for counted, part_HW in ((Counted.BOUNDARY, band_HW), (Counted.INTERIOR, ~band_HW)):
            self._count_pixels(of, counted, clean_HW, noisy_HW, known_HW & part_HW)
        present = np.union1d(np.unique(clean_HW[known_HW]), np.unique(noisy_HW[known_HW]))
        # lines are no more than a pixel wide, and would be voted down with the specks
        speckled = task.kind is not Kind.BOUNDARY and (
            is_speckled(clean_HW, known_HW) or is_speckled(noisy_HW, known_HW)
        )
        # of two categories one is the other's complement; of lines, nobody looks for their gaps
        first = 0 if task.kind is Kind.SEGMENTATION else 1
        masks = {}
        for category in present[present >= first].tolist():
            pair = clean_HW == category, noisy_HW == category
            if speckled:
                pair = smoothed(pair[0]), smoothed(pair[1])
            masks[category] = clean_known_HW & pair[0], noisy_known_HW & pair[1]
        self._compare_masks(image_id, of, masks, known_HW)

    def _count_pixels(
        self,
        of: tuple[str, str, int],
        counted: Counted,
        clean_HW: Array,
        noisy_HW: Array,
        counted_HW: Array,
    ) -> None:
        clean_P, noisy_P = clean_HW[counted_HW], noisy_HW[counted_HW]
        if not len(clean_P):
            return
        ids = np.union1d(np.unique(clean_P), np.unique(noisy_P))
        place = np.zeros(ids[-1] + 1, np.int64)
        place[ids] = np.arange(len(ids))
        cell_P = place[clean_P] * len(ids) + place[noisy_P]
        count_M = np.bincount(cell_P, minlength=len(ids) ** 2)
        self._counts.add(of, counted, count_M, np.repeat(ids, len(ids)), np.tile(ids, len(ids)))

    def _compare_masks(
        self,
        image_id: str,
        of: tuple[str, str, int],
        masks: dict[int, tuple[Array, Array]],
        known_HW: Array,
    ) -> None:
        """Objects left out and put in, and how the outlines lie, by category."""
        reach, known = self._config.reach, int(known_HW.sum())
        comparable = {
            category: (clean_HW & known_HW, noisy_HW & known_HW)
            for category, (clean_HW, noisy_HW) in masks.items()
        }
        gained = {
            category: gains(*pair, known_HW, reach)
            for category, pair in comparable.items()
            if self._can_be_placed(pair, known)
        }
        # objects are looked for where the label as a whole has them: a few px beside their place
        move = translation(np.sum([*gained.values()], axis=0)) if gained else (0, 0)
        for category, pair in masks.items():
            self._count_objects(of, category, pair, move, known_HW)
        for category, gain_YX in gained.items():
            clean_HW, noisy_HW = comparable[category]
            fit = compare_outlines(clean_HW, noisy_HW, known_HW, translation(gain_YX), reach)
            if fit is not None:
                self._add(image_id, of[0], category, known, None, fit)

    def _can_be_placed(self, pair: tuple[Array, Array], known: int) -> bool:
        """Whether both masks show enough of a category, and of what is not of it."""
        pixels = [int(mask_HW.sum()) for mask_HW in pair]
        return min(*pixels, known - max(pixels)) >= self._config.minimum_pixels

    def _count_objects(
        self,
        of: tuple[str, str, int],
        category: int,
        pair: tuple[Array, Array],
        move: tuple[int, int],
        known_HW: Array,
    ) -> None:
        ids = np.array([category])
        clean, noisy = (Regions.of(mask_HW) for mask_HW in pair)
        back = -move[0], -move[1]

        def add(
            kinds: tuple[Counted, Counted],
            own: Regions,
            other: Regions,
            there: tuple[int, int],
            *sides: Array | None,
        ) -> None:
            both_known_HW = known_HW & moved(known_HW, *there)
            found = left_out(own, other.moved(*there), both_known_HW, self._config.minimum_object)
            for counted, number in zip(kinds, found, strict=True):
                self._counts.add(of, counted, np.array([number]), *sides)

        add(OMISSION, clean, noisy, back, ids)
        add(INVENTION, noisy, clean, move, None, ids)

    def _add_values(self, image_id: str, noisy: str, difference: ValueDifference) -> None:
        self._add(image_id, noisy, NO_CATEGORY, difference.pixels, None, difference)

    def _add(
        self,
        image_id: str,
        noisy: str,
        category: int,
        pixels: int,
        differing: int | None,
        numbers: OutlineFit | ValueDifference | None = None,
    ) -> None:
        row: dict[str, Any] = {
            "image_id": image_id,
            "noisy_task": noisy,
            "category": category,
            "pixels": pixels,
            "differing": differing,
        }
        for name, _ in NUMBERS:
            value = getattr(numbers, name, np.nan)
            row[name] = None if np.isnan(value) else float(value)
        self._rows.append(row)
        if len(self._rows) == ROWS_AT_ONCE:
            self._pack()
