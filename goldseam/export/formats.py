"""Writing a traced program as a file, and running that file again.

Shapes: B batch, H and W pixels.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goldseam.dataset.codecs import Array
from goldseam.errors import MissingExtra
from goldseam.export.program import quiet

FILES = {"torch": "model.pt2", "onnx": "model.onnx"}
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Runs = Callable[[Array], Mapping[str, Array]]


def require(format_: str) -> dict[str, str]:
    """Versions of the packages that a format needs.

    Raises:
        MissingExtra: one of them is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    versions = {"torch": str(torch.__version__)}
    for name in ONNX_PACKAGES if format_ == "onnx" else ():
        try:
            versions[name] = version(name)
        except PackageNotFoundError as error:
            raise MissingExtra(name, "onnx", "Export to ONNX") from error
    return versions


def input_name(tasks: tuple[str, ...]) -> str:
    """Name of the graph's input; no output has it."""
    return "images" if "images" not in tasks else "input_images"


def write_program(program: Any, file: Path, tasks: tuple[str, ...]) -> None:
    """Write a `torch.export.ExportedProgram` in the format of the file's suffix.

    Args:
        program: takes one input, gives a dictionary in the order of `tasks`.
        file: `.pt2` or `.onnx`.
        tasks: names of the outputs.
    """
    with quiet():
        if file.suffix == ".pt2":
            torch.export.save(program, file)
            return
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[input_name(tasks)],
            output_names=list(tasks),
            verbose=False,
        )
        assert exported is not None
        exported.save(str(file))


def open_program(file: Path) -> Runs:
    """A written program as a function from float32 B3HW in [0, 1] to predictions by task."""
    if file.suffix == ".pt2":
        module: Any = torch.export.load(file).module()

        def run_torch(images_B3HW: Array) -> Mapping[str, Array]:
            with torch.inference_mode():
                found = module(torch.from_numpy(images_B3HW))
            return {name: tensor.numpy() for name, tensor in found.items()}

        return run_torch
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (given,) = (one.name for one in session.get_inputs())

    def run_onnx(images_B3HW: Array) -> Mapping[str, Array]:
        found = session.run(names, {given: images_B3HW})
        return {name: np.asarray(array) for name, array in zip(names, found, strict=True)}

    return run_onnx
