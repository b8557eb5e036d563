"""What a prediction run does, beside the model and the pictures."""

from typing import Literal, Self

import pydantic

from goldseam.artifacts import StageConfig


class TilingConfig(StageConfig):
    """How a picture that is larger than a tile is cut; see `goldseam.prediction.tiling`.

    Attributes:
        tile: side of a tile in px; a picture that fits into one is predicted whole. Raised to a
            multiple of the model's stride.
        overlap: px that neighboring tiles share at least.
        batch: tiles, or small pictures of one size, that pass the model together.
    """

    tile: int = pydantic.Field(default=512, ge=16)
    overlap: int = pydantic.Field(default=64, ge=0)
    batch: int = pydantic.Field(default=8, ge=1)

    @pydantic.model_validator(mode="after")
    def _advances(self) -> Self:
        if self.overlap > self.tile // 2:
            raise ValueError(f"overlap {self.overlap} is more than half of a tile of {self.tile}")
        return self


class PredictConfig(StageConfig):
    """Options of `goldseam.prediction.stage.predict`.

    Attributes:
        device: where the model runs.
        tiling: how large pictures are cut.
        tasks: which tasks to write; empty writes all that the model has.
        initial: take the predictions before the denoiser.
        arrays: files of full precision: `npz` one file a picture, `npy` one file a picture and
            task, `none` no such files.
        picture_side: longest side of a drawing in px, at most what a JPEG holds; larger ones are
            thinned out.
        max_megapixels: a picture that unpacks to more is refused as a decompression bomb.
        split: of a dataset folder; empty takes all of its splits.
        skip_faulty: whether pictures that cannot be read are named and left out, instead of
            refusing the whole run.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    tiling: TilingConfig = TilingConfig()
    tasks: tuple[str, ...] = ()
    initial: bool = False
    arrays: Literal["npz", "npy", "none"] = "npz"
    picture_side: int = pydantic.Field(default=2048, ge=64, le=65_500)
    max_megapixels: int = pydantic.Field(default=500, ge=1)
    split: Literal["", "train", "validation", "test"] = ""
    skip_faulty: bool = False
