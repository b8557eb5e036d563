"""A model as one graph: pictures in, named predictions out, nothing of goldseam needed to run it.

Shapes: B batch, H and W pixels, multiples of the model's stride.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from goldseam.errors import InvalidConfig
from goldseam.export.config import ExportConfig
from goldseam.models.multitask import MultitaskModel

# a graph holds for any size up to this many strides a side
LARGEST_STRIDES = 4096
LARGEST_BATCH = 65536
# numbers of pictures and strides that the graph is traced with; 0 and 1 would be built in
TRACED_BATCH, TRACED_STRIDES = 2, (3, 4)


class PredictionGraph(nn.Module):
    """What is exported: `MultitaskModel.predict` with its options fixed.

    Standardization of pixels, softmax and sigmoid, units of values and the length of normals are
    all inside.
    """

    def __init__(self, model: MultitaskModel, tasks: tuple[str, ...], *, initial: bool) -> None:
        super().__init__()
        self.model = model
        self.names = tasks
        self.initial = initial

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Predictions by task.

        Args:
            images: float32 B3HW, RGB in [0, 1].
        """
        found = self.model.predict(images, initial=self.initial)
        return {name: found[name] for name in self.names}


def trace(graph: PredictionGraph, config: ExportConfig, stride: int) -> Any:
    """The graph as a `torch.export.ExportedProgram`.

    Args:
        graph: on the CPU, in evaluation mode.
        config: names the size, or leaves it open.
        stride: of the model.

    Raises:
        InvalidConfig: the size is no multiple of the stride, or the model cannot be traced so.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch.export import Dim

    if any(length % stride for length in config.size):
        raise InvalidConfig(
            f"--size {'x'.join(map(str, config.size))} is no multiple of the model's stride, "
            f"{stride} px.",
            remedy=f"Round both numbers up to multiples of {stride}, and pad the pictures.",
        )
    height, width = config.size or (stride * TRACED_STRIDES[0], stride * TRACED_STRIDES[1])
    dims: dict[int, Any] = {0: Dim("batch", min=1, max=LARGEST_BATCH)}
    if not config.size:
        dims[2] = stride * Dim("h", min=2, max=LARGEST_STRIDES)
        dims[3] = stride * Dim("w", min=2, max=LARGEST_STRIDES)
    example_B3HW = torch.zeros((TRACED_BATCH, 3, height, width))
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(graph, (example_B3HW,), dynamic_shapes=(dims,), strict=False)
    except (TorchDynamoException, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidConfig(
            f"this model cannot be traced for pictures of "
            f"{'any size' if not config.size else 'this size'} ({reason}).",
            remedy="Try a fixed size, such as --size 512x512, or --initial."
            if not config.size
            else "Try another --size, or --initial.",
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what the exporters say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
