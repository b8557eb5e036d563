"""The export stage: a checkpoint becomes a file that runs without goldseam, and is compared."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pydantic
import torch

from goldseam.artifacts import digest_file, digest_folder
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import GoldseamError
from goldseam.export.config import ExportConfig
from goldseam.export.formats import FILES, input_name, open_program, require, write_program
from goldseam.export.program import PredictionGraph, trace
from goldseam.models.checkpoint import CheckpointConfig, load_checkpoint
from goldseam.models.outputs import Thresholds
from goldseam.prediction.predictor import model_stride
from goldseam.storage.atomic import atomic_folder, require_place, write_text

METADATA_FILE = "metadata.json"
FORMAT = 1
# a larger difference to the checkpoint, relative to the largest value, is another model
TOLERANCE = 1e-3
CHECKED_BATCH, CHECKED_STRIDES, SEED = 3, (5, 2), 0


class ExportDiffers(GoldseamError):
    """An exported program does not predict what its checkpoint does."""

    def __init__(self, task: str, difference: float) -> None:
        super().__init__(
            f"the exported program's '{task}' differs from the checkpoint's by {difference:.2g}.",
            remedy="Export to the other --format, or with a fixed --size; nothing was written.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """The content of `metadata.json`.

    Attributes:
        format: version of this layout.
        goldseam: version of the library that exported it.
        kind: `torch` or `onnx`.
        file: the program, beside `metadata.json`.
        file_digest: of the program.
        model_digest: of the checkpoint it was made from.
        dataset_digest: what the model was trained on.
        initial: whether it predicts without the denoiser.
        stride: px; heights and widths of pictures must be multiples of it.
        input: name of the input.
        input_shape: sizes in px; a text is open (`batch`, `8*h`), from two strides on.
        input_meaning: what the input holds.
        outputs: name of an output, which is its task → its shape.
        output_meanings: likewise → what it holds.
        tasks: kind, categories and unit of each.
        tag_thresholds: tags task → category → call it present from this probability on, and never
            from 1 on; null where known labels could not tell. 0.5 where nobody chose one.
        largest_difference: to the checkpoint, on random pictures of another size than traced.
        versions: of the packages that made it.
    """

    format: int = FORMAT
    goldseam: str
    kind: str
    file: str
    file_digest: str
    model_digest: str
    dataset_digest: str
    initial: bool
    stride: int
    input: str
    input_shape: tuple[int | str, ...]
    input_meaning: str = "float32 RGB in [0, 1]; not standardized"
    outputs: dict[str, tuple[int | str, ...]]
    output_meanings: dict[str, str]
    tasks: dict[str, Task]
    tag_thresholds: dict[str, Thresholds] = dataclasses.field(default_factory=dict)
    largest_difference: float
    versions: dict[str, str]

    def input_text(self) -> str:
        """The input's shape in one line."""
        return f"'{self.input}' float32 [{', '.join(map(str, self.input_shape))}]"


def export(config: ExportConfig, model: Path, out: Path, *, replace: bool = False) -> Exported:
    """Export a checkpoint as one program that runs without goldseam.

    Args:
        config: options.
        model: checkpoint folder.
        out: folder to make: the program and `metadata.json`.
        replace: whether an export that stands at `out` is replaced.

    Raises:
        MissingInput: the folder holds no checkpoint.
        MissingExtra: the packages of ONNX are not installed.
        InvalidConfig: an unknown task, or a size that the model does not take.
        ExportDiffers: the program does not predict what the checkpoint does.
        OutputExists: `out` is there, and is not to be replaced or holds no export.
    """
    from goldseam import __version__

    require_place(out, METADATA_FILE, replace=replace)
    checkpoint = CheckpointConfig.read(model)
    tasks = checkpoint.chosen(config.tasks)
    versions = require(config.format)
    network = load_checkpoint(model)
    stride = model_stride(network)
    graph = PredictionGraph(network, tuple(tasks), initial=config.initial).eval()
    program = trace(graph, config, stride)
    with atomic_folder(out, replace=replace) as folder:
        file = folder / FILES[config.format]
        write_program(program, file, tuple(tasks))
        sizes: tuple[int | str, int | str] = (f"{stride}*h", f"{stride}*w")
        if config.size:
            sizes = (config.size[0], config.size[1])
        result = Exported(
            goldseam=__version__,
            kind=config.format,
            file=file.name,
            file_digest=digest_file(file),
            model_digest=digest_folder(model),
            dataset_digest=checkpoint.dataset_digest,
            initial=config.initial,
            stride=stride,
            input=input_name(tuple(tasks)),
            input_shape=("batch", 3, *sizes),
            outputs={name: _shape(task, sizes) for name, task in tasks.items()},
            output_meanings={name: _meaning(task) for name, task in tasks.items()},
            tasks=tasks,
            tag_thresholds=checkpoint.preprocessing.thresholds_of(tasks),
            largest_difference=_compare(graph, file, config, stride),
            versions=versions,
        )
        body = pydantic.TypeAdapter(Exported).dump_python(result, mode="json")
        text = json.dumps(body, indent=1, allow_nan=False, ensure_ascii=False)
        write_text(folder / METADATA_FILE, text + "\n")
    return result


def _shape(task: Task, sizes: tuple[int | str, int | str]) -> tuple[int | str, ...]:
    if task.kind is Kind.TAGS:
        return ("batch", len(task.categories))
    if task.kind is Kind.SEGMENTATION:
        return ("batch", len(task.categories), *sizes)
    return ("batch", 3, *sizes) if task.kind is Kind.NORMALS else ("batch", *sizes)


def _meaning(task: Task) -> str:
    if task.kind is Kind.NORMALS:
        return f"unit vectors, {task.axes}"
    if task.kind is Kind.REGRESSION:
        return f"value in {task.unit}"
    return "probability" + (" of each category" if task.categories else "")


def _compare(graph: PredictionGraph, file: Path, config: ExportConfig, stride: int) -> float:
    """The largest difference between the written program and the model, on random pictures.

    Raises:
        ExportDiffers: it is more than rounding.
    """
    size = config.size or tuple(stride * count for count in CHECKED_STRIDES)
    random = np.random.default_rng(SEED)
    images_B3HW = random.random((CHECKED_BATCH, 3, *size), np.float32)
    found = open_program(file)(images_B3HW)
    with torch.inference_mode():
        expected = graph(torch.from_numpy(images_B3HW))
    largest = 0.0
    for task, tensor in expected.items():
        right = tensor.numpy()
        difference = float(np.abs(found[task] - right).max())
        # NaN differs from everything
        if not difference <= TOLERANCE * max(1.0, float(np.abs(right).max())):
            raise ExportDiffers(task, difference)
        largest = max(largest, difference)
    return largest
