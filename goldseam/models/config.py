"""What a model is made of, as a recipe says it."""

from typing import Literal, Self

import pydantic

from goldseam.artifacts import StageConfig


class EncoderConfig(StageConfig):
    """The part of a model that pretraining hands on.

    Attributes:
        name: `small` is a convolutional pyramid that starts at full resolution (small images lose
            their islands in a stem of stride 4); `auto` is any `transformers.AutoBackbone`.
        width: channels at full resolution of `small`; each level below has twice as many.
        levels: resolutions of `small`: strides 1, 2, 4, …
        backbone: hub id or local folder of `auto`; a local folder needs no network.
        pretrained: whether `auto` loads weights, or only the architecture.
    """

    name: Literal["small", "auto"] = "small"
    width: int = pydantic.Field(default=16, ge=8, multiple_of=8)
    levels: int = pydantic.Field(default=4, ge=2, le=6)
    backbone: str | None = None
    pretrained: bool = True

    @pydantic.model_validator(mode="after")
    def _backbone_named(self) -> Self:
        if (self.name == "auto") != (self.backbone is not None):
            raise ValueError("'backbone' goes with name: auto, and is needed there")
        return self


class DiffusionConfig(StageConfig):
    """The denoiser that refines the initial features of each task.

    Source: Ye & Xu, DiffusionMTL, CVPR 2024 (feature diffusion).

    Attributes:
        variant: what is denoised.
        steps: T, reverse steps, at training and at inference.
        beta_start: variance of the first step; the square roots are spaced linearly.
        beta_end: variance of the last step.
        residual: `zero_init` predicts x0 = x + delta with delta 0 at the start, so that training
            begins at the initial prediction; `none` predicts x0 itself.
        conditioning: whether all tasks' initial predictions condition each task.
        blocks: cross-attention blocks, shared by all tasks.
        heads: attention heads.
        token_width: channels of a token.
        token_stride: pixels of the feature map along a token's side.
        deep_supervision: weight of the initial predictions' loss.
    """

    variant: Literal["feature"] = "feature"
    steps: int = pydantic.Field(default=2, ge=1, le=16)
    beta_start: float = pydantic.Field(default=1e-3, gt=0, lt=1)
    beta_end: float = pydantic.Field(default=1e-2, gt=0, lt=1)
    residual: Literal["zero_init", "none"] = "zero_init"
    conditioning: bool = True
    blocks: int = pydantic.Field(default=2, ge=1)
    heads: int = pydantic.Field(default=4, ge=1)
    token_width: int = pydantic.Field(default=64, ge=8)
    token_stride: int = pydantic.Field(default=8, ge=1)
    deep_supervision: float = pydantic.Field(default=0.5, ge=0)

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.token_width % self.heads:
            raise ValueError("token_width must be a multiple of heads")
        if self.beta_end < self.beta_start:
            raise ValueError("beta_end must not be below beta_start")
        return self


class NetworkConfig(StageConfig):
    """What pretraining and training share, so that weights can pass from one to the other.

    Attributes:
        encoder: image to feature maps.
        decoder_width: channels of the shared decoder's output.
        task_blocks: residual blocks of each dense task's own decoder.
    """

    encoder: EncoderConfig = EncoderConfig()
    decoder_width: int = pydantic.Field(default=16, ge=8, multiple_of=8)
    task_blocks: int = pydantic.Field(default=1, ge=0)


class ModelConfig(StageConfig):
    """The whole model: a network, and the denoiser or None for the plain multi-task model."""

    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig | None = None
