"""Options of cross-fitting."""

from typing import Annotated, Self

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.models.config import EncoderConfig, NetworkConfig
from goldseam.trainer.config import LearningConfig, LoopConfig, LossConfig, OptimizerConfig

HUB = "hub:"


class PredictionsConfig(StageConfig):
    """Options of `crossfit`.

    Attributes:
        features: where predictions come from. `train`: a small model for each fold, trained on the
            other folds. `checkpoint`: linear heads on the frozen network of a checkpoint.
            `hub:NAME`: linear heads on a backbone of the hub, or of a local folder. `auto`:
            `checkpoint` where one is given, else `train`.
        tasks: which to predict; all that can be by default.
        folds: into which the groups of all splits together are dealt.
        image_px: longest side of the images that a network sees; larger ones, and images of
            different sizes, are stretched.
        network: of `train`.
        optimizer: of `train`; its steps are all taken, since nothing may choose among them.
        penalties: ridge strengths of linear heads; one of the other folds chooses.
        pixels: of labeled images that a dense head is fit on, at most, over all images.
        pixels_per_image: the same for one image.
        head_rows: images that a tags head is fit on, at most.
        batch_size: images a forward pass.
        device: where networks run.
        seed: of folds, weights, order and samples.
    """

    features: str = pydantic.Field(default="auto", pattern="^(auto|train|checkpoint|hub:.+)$")
    tasks: tuple[str, ...] = ()
    folds: int = pydantic.Field(default=5, ge=2)
    image_px: int = pydantic.Field(default=96, ge=16)
    network: NetworkConfig = NetworkConfig(
        encoder=EncoderConfig(width=8, levels=4), decoder_width=16
    )
    optimizer: OptimizerConfig = OptimizerConfig(steps=300, batch_size=16, learning_rate=4e-3)
    penalties: tuple[Annotated[float, pydantic.Field(gt=0)], ...] = (1.0, 10.0, 100.0)
    pixels: int = pydantic.Field(default=50_000, ge=100)
    pixels_per_image: int = pydantic.Field(default=200, ge=1)
    head_rows: int = pydantic.Field(default=50_000, ge=100)
    batch_size: int = pydantic.Field(default=64, ge=1)
    device: str = pydantic.Field(default="auto", pattern="^(auto|cpu|cuda)$")
    seed: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _some_penalty(self) -> Self:
        if not self.penalties:
            raise ValueError("penalties names none; give at least one")
        return self

    @property
    def learning(self) -> LearningConfig:
        """How the model of a fold is trained: no loss is weighted, so that outputs stay rates."""
        steps = self.optimizer.steps
        return LearningConfig(
            network=self.network,
            optimizer=self.optimizer,
            loss=LossConfig(boundary_positive=1.0),
            loop=LoopConfig.model_validate(
                {"seed": self.seed, "device": self.device, "evaluate_every": steps}
            ),
        )
