"""The predict stage: pictures in, maps, drawings and arrays out, and one page that shows them."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pydantic

from goldseam.artifacts import digest_folder
from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import GoldseamError, InvalidConfig, MissingInput
from goldseam.models.checkpoint import CheckpointConfig, load_checkpoint
from goldseam.models.outputs import Thresholds
from goldseam.prediction.config import PredictConfig
from goldseam.prediction.maps import map_format
from goldseam.prediction.page import write_page
from goldseam.prediction.predictor import Predictor, Strip, model_stride
from goldseam.prediction.reading import Inputs, InvalidImage, Source, find_inputs, read_image
from goldseam.prediction.writing import Prediction, PredictionWriter
from goldseam.progress import progress
from goldseam.storage.atomic import atomic_folder, require_place, write_text
from goldseam.trainer.devices import choose_device

PREDICTIONS_FILE = "predictions.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped:
    """A picture that was left out, and why."""

    source: str
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """The content of `predictions.json`.

    Attributes:
        format: version of this layout.
        goldseam: version of the library that wrote it.
        model_digest: of the checkpoint folder.
        dataset_digest: what the model was trained on.
        options: of the run.
        stride: px; pictures and tiles were padded to its multiples.
        tasks: what was predicted: kind, categories, unit, camera axes.
        map_meanings: dense task → how to read a pixel of its map.
        tag_thresholds: tags task → category → from which probability on it was called present; None
            where nothing is decided. 0.5 where nobody chose one.
        images: one entry a picture.
        skipped: pictures that could not be read, with `skip_faulty`.
    """

    format: int = FORMAT
    goldseam: str
    model_digest: str
    dataset_digest: str
    options: PredictConfig
    stride: int
    tasks: dict[str, Task]
    map_meanings: dict[str, str]
    tag_thresholds: dict[str, Thresholds] = dataclasses.field(default_factory=dict)
    images: tuple[Prediction, ...]
    skipped: tuple[Skipped, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `predictions.json`."""
        body = pydantic.TypeAdapter(Predictions).dump_python(self, mode="json")
        text = json.dumps(body, indent=1, allow_nan=False, ensure_ascii=False)
        write_text(folder / PREDICTIONS_FILE, text + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `predictions.json`.

        Raises:
            MissingInput: there is none, or it is of another format.
        """
        path = Path(folder) / PREDICTIONS_FILE
        try:
            found = pydantic.TypeAdapter(cls).validate_json(path.read_bytes())
        except OSError as error:
            raise MissingInput(
                path, f"no predictions are here ({error.strerror})", "Run 'goldseam predict' first."
            ) from error
        except pydantic.ValidationError as error:
            raise MissingInput(
                path, "holds no predictions of this version", "Run 'goldseam predict' again."
            ) from error
        return found


def predict(
    config: PredictConfig,
    inputs: Sequence[Path],
    model: Path,
    out: Path,
    *,
    replace: bool = False,
) -> Predictions:
    """Predict every task of a model for pictures of any size.

    Args:
        config: options.
        inputs: pictures, folders of pictures, and dataset folders.
        model: checkpoint folder.
        out: folder to make: `predictions.json`, `index.html`, `maps`, `pictures`, `arrays`.
        replace: whether predictions that stand at `out` are replaced.

    Raises:
        MissingInput: a picture or the checkpoint is not there.
        InvalidImage: a picture cannot be decoded; names it, and nothing is written.
        InvalidConfig: a task is named that the model does not have, or no picture is given.
        OutputExists: `out` is there, and is not to be replaced or holds no predictions.
    """
    from goldseam import __version__

    require_place(out, PREDICTIONS_FILE, replace=replace)
    checkpoint = CheckpointConfig.read(model)
    tasks = checkpoint.chosen(config.tasks)
    thresholds = checkpoint.preprocessing.thresholds_of(tasks)
    found = find_inputs(inputs, split=config.split)
    if not len(found):
        raise InvalidConfig("there is no picture to predict.", remedy="Name at least one picture.")
    predictor = open_predictor(model, config)
    skipped: list[Skipped] = []
    with atomic_folder(out, replace=replace) as folder:
        pictures = _read_all(found, config, skipped)
        with progress("predict", len(found)) as step:
            images = []
            for source, image_HW3, strips in predictor.over(pictures):
                images.append(
                    _write_one(
                        *(source, image_HW3, strips, folder, tasks),
                        thresholds=thresholds,
                        config=config,
                    )
                )
                step(note=source.name)
        result = Predictions(
            goldseam=__version__,
            model_digest=digest_folder(model),
            dataset_digest=checkpoint.dataset_digest,
            options=config,
            stride=predictor.stride,
            tasks=tasks,
            tag_thresholds=thresholds,
            map_meanings={
                name: map_format(task).meaning
                for name, task in tasks.items()
                if task.kind is not Kind.TAGS
            },
            images=tuple(images),
            skipped=tuple(skipped),
        )
        result.write(folder)
        write_page(folder, result.images, tasks, [one.why for one in skipped])
    return result


def open_predictor(model: Path, config: PredictConfig) -> Predictor:
    """The model of a checkpoint folder, ready for pictures of any size.

    Raises:
        MissingInput: the folder holds no checkpoint.
        InvalidConfig: CUDA is asked for and not there.
    """
    device = choose_device(config.device)
    network = load_checkpoint(model, device)
    return Predictor(
        model=network,
        stride=model_stride(network),
        device=device,
        tiling=config.tiling,
        tasks=config.tasks,
        initial=config.initial,
    )


def _read_all(
    found: Inputs, config: PredictConfig, skipped: list[Skipped]
) -> Iterator[tuple[Source, Array]]:
    """Decoded pictures in order; faulty ones are noted or end the run.

    Raises:
        InvalidImage: a picture is faulty; with `skip_faulty`, all of them are.
        MissingInput: a file cannot be read; likewise.
    """
    last: GoldseamError | None = None
    for source in found:
        try:
            image_HW3 = read_image(source, max_megapixels=config.max_megapixels)
        except (InvalidImage, MissingInput) as error:
            if not config.skip_faulty:
                raise
            skipped.append(Skipped(source=source.place, why=error.message))
            last = error
            continue
        yield source, image_HW3
    if last is not None and len(skipped) == len(found):
        raise last


def _write_one(
    source: Source,
    image_HW3: Array,
    strips: Iterable[Strip],
    folder: Path,
    tasks: Mapping[str, Task],
    *,
    thresholds: Mapping[str, Thresholds],
    config: PredictConfig,
) -> Prediction:
    size = (image_HW3.shape[0], image_HW3.shape[1])
    with contextlib.ExitStack() as files:
        writer = PredictionWriter(
            *(folder, source.name, size, tasks), thresholds=thresholds, config=config, files=files
        )
        for strip in strips:
            writer.write(strip)
        return writer.finish(image_HW3, source.place)
