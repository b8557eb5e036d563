"""What is written for one picture: maps, drawings, arrays of full precision, and facts.

Strips come in from top to bottom and leave at once, so a picture of any height needs little memory;
only the drawings are held, thinned out to `PredictConfig.picture_side`.
"""

import contextlib
import dataclasses
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.decisions import decide_tags
from goldseam.dataset.schema import Kind, Task
from goldseam.models.outputs import Thresholds
from goldseam.prediction.config import PredictConfig
from goldseam.prediction.maps import MapWriter, map_format
from goldseam.prediction.pictures import draw_prediction
from goldseam.prediction.predictor import Strip

CERTAIN = 0.5
JPEG_QUALITY = 88
# a ZIP entry carries a date; one date for all makes equal predictions equal bytes
EPOCH = (1980, 1, 1, 0, 0, 0)
SAID = {PRESENT: True, ABSENT: False, UNKNOWN: None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted for one picture; paths are relative to the output folder.

    Attributes:
        name: of its files.
        source: where the picture comes from.
        width: px.
        height: px.
        picture: a drawing of the picture itself.
        maps: dense task → map (see `maps`).
        pictures: dense task → drawing with its legend.
        arrays: task → file of full precision; in an `.npz` the task is the name of the array.
        shares: segmentation task → category → share of the pixels; boundary or saliency task →
            `{"present": share}` of the pixels with a probability of at least 0.5.
        ranges: regression task → smallest, mean and largest value, in the task's unit.
        tags: tags task → category → probability.
        present: tags task → category → whether it is called present by its threshold; None where
            the model has no threshold: nothing is decided.
    """

    name: str
    source: str
    width: int
    height: int
    picture: str
    maps: dict[str, str]
    pictures: dict[str, str]
    arrays: dict[str, str]
    shares: dict[str, dict[str, float]]
    ranges: dict[str, tuple[float, float, float]]
    tags: dict[str, dict[str, float]]
    present: dict[str, dict[str, bool | None]] = dataclasses.field(default_factory=dict)


def called_present(probability_C: Array, thresholds: Thresholds) -> dict[str, bool | None]:
    """Category → whether it is called present; None where nothing is decided."""
    states = decide_tags(probability_C, list(thresholds.values()))
    return dict(zip(thresholds, (SAID[state] for state in states.tolist()), strict=True))


class PredictionWriter:
    """Collects the strips of one picture.

    Args:
        folder: output folder.
        name: of the picture's files.
        size: (height, width) px.
        tasks: what is predicted.
        thresholds: tags task → category → from which probability on it is called present.
        config: options.
        files: the stack on which open files are closed, also after an error.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        size: tuple[int, int],
        tasks: Mapping[str, Task],
        *,
        thresholds: Mapping[str, Thresholds],
        config: PredictConfig,
        files: contextlib.ExitStack,
    ) -> None:
        self._folder, self._name, self._size = folder, name, size
        self._tasks, self._thresholds, self._config = tasks, thresholds, config
        self._every = -(-max(size) // config.picture_side)
        self._maps: dict[str, MapWriter] = {}
        self._map_files: dict[str, str] = {}
        for task, spec in self._dense().items():
            self._map_files[task] = place = f"maps/{task}/{name}{map_format(spec).suffix}"
            stream = files.enter_context(self._new(place).open("wb"))
            self._maps[task] = MapWriter(stream, spec, size)
        self._arrays: dict[str, Any] = {}
        self._drawn: dict[str, list[Array]] = {task: [] for task in self._maps}
        self._sums: dict[str, Array] = {}
        self._limits: dict[str, tuple[float, float]] = {}
        self._tags: dict[str, Array] = {}

    def _dense(self) -> dict[str, Task]:
        return {name: task for name, task in self._tasks.items() if task.kind is not Kind.TAGS}

    def _new(self, place: str) -> Path:
        file = self._folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def write(self, strip: Strip) -> None:
        """Take the next rows."""
        skip = -strip.top % self._every
        for task, rows in strip.dense.items():
            self._maps[task].write(rows)
            if self._config.arrays != "none":
                self._array(task, rows)[..., strip.top : strip.top + rows.shape[-2], :] = rows
            thin = rows[..., skip :: self._every, :: self._every]
            if self._tasks[task].kind is Kind.SEGMENTATION:
                thin = thin.argmax(axis=0)
            self._drawn[task].append(thin)
            self._count(task, rows)
        self._tags = strip.tags

    def _array(self, task: str, rows: Array) -> Any:
        """The array of the whole picture, on disk."""
        if task not in self._arrays:
            file = self._new(self._array_file(task))
            shape = (*rows.shape[:-2], *self._size)
            self._arrays[task] = np.lib.format.open_memmap(file, "w+", np.float32, shape)
        return self._arrays[task]

    def _array_file(self, task: str) -> str:
        return f"arrays/{task}/{self._name}.npy"

    def _count(self, task: str, rows: Array) -> None:
        """Add up what the facts need."""
        spec = self._tasks[task]
        if spec.kind is Kind.SEGMENTATION:
            part = np.bincount(rows.argmax(axis=0).ravel(), minlength=len(spec.categories))
        elif spec.kind is Kind.REGRESSION:
            part = np.array([rows.sum(dtype=np.float64)])
            low, high = self._limits.get(task, (np.inf, -np.inf))
            self._limits[task] = (min(low, float(rows.min())), max(high, float(rows.max())))
        elif spec.kind is Kind.NORMALS:
            return
        else:
            part = np.array([(rows >= CERTAIN).sum()])
        self._sums[task] = self._sums.get(task, 0) + part

    def finish(self, image_HW3: Array, source: str) -> Prediction:
        """Write what needs the whole picture.

        Args:
            image_HW3: the picture, uint8.
            source: where it comes from.
        """
        for map_ in self._maps.values():
            map_.close()
        picture = f"pictures/image/{self._name}.jpg"
        thin_HW3 = np.ascontiguousarray(image_HW3[:: self._every, :: self._every])
        Image.fromarray(thin_HW3).save(self._new(picture), quality=JPEG_QUALITY)
        pictures: dict[str, str] = {}
        for task, parts in self._drawn.items():
            pictures[task] = f"pictures/{task}/{self._name}.png"
            drawn = draw_prediction(self._tasks[task], np.concatenate(parts, axis=-2))
            Image.fromarray(drawn).save(self._new(pictures[task]))
        return Prediction(
            name=self._name,
            source=source,
            width=self._size[1],
            height=self._size[0],
            picture=picture,
            maps=self._map_files,
            pictures=pictures,
            arrays=self._finish_arrays(),
            shares=self._shares(),
            ranges=self._ranges(),
            tags={
                task: dict(zip(self._tasks[task].categories, found_C.tolist(), strict=True))
                for task, found_C in self._tags.items()
            },
            present={
                task: called_present(found_C, self._thresholds[task])
                for task, found_C in self._tags.items()
            },
        )

    def _finish_arrays(self) -> dict[str, str]:
        if self._config.arrays == "none":
            return {}
        for task, array in self._arrays.items():
            array.flush()
            self._arrays[task] = None
        for task, found_C in self._tags.items():
            np.save(self._new(self._array_file(task)), found_C)
        files = {task: self._array_file(task) for task in (*self._arrays, *self._tags)}
        if self._config.arrays == "npy":
            return files
        bundle = f"arrays/{self._name}.npz"
        with zipfile.ZipFile(self._new(bundle), "w", zipfile.ZIP_STORED) as packed:
            for task, place in files.items():
                entry = zipfile.ZipInfo(f"{task}.npy", EPOCH)
                with (
                    (self._folder / place).open("rb") as plain,
                    packed.open(entry, "w", force_zip64=True) as target,
                ):
                    shutil.copyfileobj(plain, target, 1 << 20)
                (self._folder / place).unlink()
        for task in files:
            (self._folder / "arrays" / task).rmdir()
        return dict.fromkeys(files, bundle)

    def _shares(self) -> dict[str, dict[str, float]]:
        pixels = self._size[0] * self._size[1]
        return {
            task: dict(
                zip(
                    self._tasks[task].categories or ("present",),
                    (sums / pixels).tolist(),
                    strict=True,
                )
            )
            for task, sums in self._sums.items()
            if task not in self._limits
        }

    def _ranges(self) -> dict[str, tuple[float, float, float]]:
        pixels = self._size[0] * self._size[1]
        return {
            task: (low, float(self._sums[task][0]) / pixels, high)
            for task, (low, high) in self._limits.items()
        }
