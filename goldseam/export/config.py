"""What an exported model is."""

from typing import Literal, Self

import pydantic

from goldseam.artifacts import StageConfig


class ExportConfig(StageConfig):
    """Options of `goldseam.export.stage.export`.

    Attributes:
        format: `torch` is a `.pt2` program of torch.export; `onnx` a file of ONNX.
        size: (height, width) of the pictures in px, multiples of the model's stride; empty leaves
            both open. The number of pictures is always open.
        tasks: which predictions it gives; empty gives all.
        initial: give the predictions before the denoiser, which is then left out.
    """

    format: Literal["torch", "onnx"] = "torch"
    size: tuple[int, ...] = ()
    tasks: tuple[str, ...] = ()
    initial: bool = False

    @pydantic.model_validator(mode="after")
    def _height_and_width(self) -> Self:
        if self.size and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError("size is height and width in px, or empty")
        return self
