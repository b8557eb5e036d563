"""What a model is made of, as a recipe says it."""

from typing import Literal, Self

import pydantic

from goldseam.artifacts import StageConfig


class EncoderConfig(StageConfig):
    """The part of a model that pretraining hands on.

    Attributes:
        name: `small` is a convolutional pyramid that can start at full resolution (small images
            lose their islands in a stem of stride 4); `resnet18` and `resnet50` are built from
            their description, with random weights and without a hub; `auto` is any
            `transformers.AutoBackbone`.
        width: channels of the first level of `small`; each level below has twice as many.
        levels: resolutions of `small`, each half of the one before.
        stem_stride: pixels along a position of the first level of `small`: 1, 2 or 4. At 2 a step
            on 64 px images takes about a quarter of the time.
        backbone: hub id or local folder of `auto`; a local folder needs no network.
        pretrained: whether `auto` loads weights, or only the architecture.
    """

    name: Literal["small", "resnet18", "resnet50", "auto"] = "small"
    width: int = pydantic.Field(default=16, ge=8, multiple_of=8)
    levels: int = pydantic.Field(default=4, ge=2, le=6)
    stem_stride: int = pydantic.Field(default=1, ge=1, le=4)
    backbone: str | None = None
    pretrained: bool = True

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.name == "auto") != (self.backbone is not None):
            raise ValueError("'backbone' goes with name: auto, and is needed there")
        if self.stem_stride == 3:
            raise ValueError("stem_stride must be 1, 2 or 4")
        if self.stem_stride != 1 and self.name != "small":
            raise ValueError("'stem_stride' goes with name: small")
        return self


class DiffusionConfig(StageConfig):
    """The denoiser that refines the initial features, or predictions, of each task.

    Source: Ye & Xu, DiffusionMTL, CVPR 2024. `published_config` has its values.

    Attributes:
        variant: what is denoised: a task's features before its last layer, or its prediction.
        steps: T, reverse steps in training; at inference as well, unless fewer are asked for.
        schedule: `linear` spaces the square roots of beta evenly; `cosine` (Nichol & Dhariwal,
            2021) takes no beta and ends in almost pure noise.
        beta_start: variance that the first step of `linear` adds.
        beta_end: variance that its last step adds.
        sampler: `ddpm` draws from the posterior of each step; `ddim` (Song et al., 2021, eta 0)
            draws noise at the start only, and may skip steps.
        noise_scale: task → factor on its noise; 1 where not named.
        relative_noise: noise in units of the root mean square of what is noised, measured on each
            image: features are unnormalized, and logits grow during training.
        parameterization: what the network predicts: `x0`, or the noise (`epsilon`).
        residual: `zero_init` adds a correction that is 0 at the start, so that training begins at
            the initial prediction; `none` predicts without it.
        condition: which maps of all tasks each task's denoising sees: their initial predictions,
            their initial features, or nothing.
        detach: whether the condition is cut from the initial predictions' gradient. Without, they
            are computed with gradients on unlabeled images too, which costs time.
        known_labels: probability, for an image and a task in training, that a known label stands in
            place of the prediction in the condition of the *other* tasks; a channel a task then
            marks such pixels, and labels can be given at inference. 0 makes neither.
        width: channels inside the denoiser; 0 takes the decoder's.
        blocks: cross-attention blocks, shared by all tasks.
        heads: attention heads.
        token_width: channels of a token. Where it equals the width, nothing projects.
        token_stride: positions of the feature map along a token's side.
        token_pooling: how a token sums up its positions; the published code samples bilinearly.
        head: each task's layers after attention: `residual` is a block and a convolution;
            `published` a 1x1 and three 3x3 convolutions with ReLU.
        own_head: whether denoised features pass a last 1x1 layer of their own, or that of the
            initial predictions. Denoised predictions have no further layer.
        deep_supervision: weight of the initial predictions' loss.
        deep_supervision_end: its weight at the end of training, reached linearly; the same as at
            the start where not given.
        packed: one call of the attention blocks a step for all tasks, instead of one a task: the
            same result, fewer and larger operations.
        checkpoint_steps: compute each step's activations again in the backward pass: less memory,
            the same gradients, up to a third more time.
    """

    variant: Literal["feature", "prediction"] = "feature"
    steps: int = pydantic.Field(default=2, ge=1, le=64)
    schedule: Literal["linear", "cosine"] = "linear"
    beta_start: float = pydantic.Field(default=1e-3, gt=0, lt=1)
    beta_end: float = pydantic.Field(default=1e-2, gt=0, lt=1)
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    noise_scale: dict[str, float] = pydantic.Field(default_factory=dict)
    relative_noise: bool = False
    parameterization: Literal["x0", "epsilon"] = "x0"
    residual: Literal["zero_init", "none"] = "zero_init"
    condition: Literal["predictions", "features", "none"] = "predictions"
    detach: bool = True
    known_labels: float = pydantic.Field(default=0.0, ge=0, le=1)
    width: int = pydantic.Field(default=0, ge=0, multiple_of=8)
    blocks: int = pydantic.Field(default=2, ge=1)
    heads: int = pydantic.Field(default=4, ge=1)
    token_width: int = pydantic.Field(default=64, ge=8)
    token_stride: int = pydantic.Field(default=8, ge=1)
    token_pooling: Literal["mean", "bilinear"] = "mean"  # noqa: S105 - no password
    head: Literal["residual", "published"] = "residual"
    own_head: bool = True
    deep_supervision: float = pydantic.Field(default=0.5, ge=0)
    deep_supervision_end: float | None = pydantic.Field(default=None, ge=0)
    packed: bool = False
    checkpoint_steps: bool = False

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.token_width % self.heads:
            raise ValueError("token_width must be a multiple of heads")
        if self.beta_end < self.beta_start:
            raise ValueError("beta_end must not be below beta_start")
        if any(scale < 0 for scale in self.noise_scale.values()):
            raise ValueError("noise_scale must not be negative")
        if self.known_labels and self.condition != "predictions":
            raise ValueError("known_labels needs condition: predictions, whose place labels take")
        if self.variant == "prediction" and not self.own_head:
            raise ValueError("own_head: false goes with variant: feature")
        return self


def deep_supervision_at(config: DiffusionConfig, share_done: float) -> float:
    """Weight of the initial predictions' loss.

    Args:
        config: names the weights at the start and at the end.
        share_done: of the training steps, from 0 to 1.
    """
    end = config.deep_supervision_end
    if end is None:
        return config.deep_supervision
    share = min(max(share_done, 0.0), 1.0)
    return config.deep_supervision + share * (end - config.deep_supervision)


class NetworkConfig(StageConfig):
    """What pretraining and training share, so that weights can pass from one to the other.

    Attributes:
        encoder: image to feature maps.
        decoder: `pyramid` adds the maps from the coarsest to the finest; `concat`, as published,
            brings all to one size, concatenates them and convolves once.
        decoder_width: channels of the shared decoder's output.
        decoder_stride: pixels along a position of the output of `concat`.
        task_blocks: residual blocks of each dense task's own decoder.
        saliency_channels: outputs of a saliency task: 1 is a logit; 2 are those of a softmax, as
            published, of which the model gives the difference: the same probability.
    """

    encoder: EncoderConfig = EncoderConfig()
    decoder: Literal["pyramid", "concat"] = "pyramid"
    decoder_width: int = pydantic.Field(default=16, ge=8, multiple_of=8)
    decoder_stride: int = pydantic.Field(default=8, ge=1)
    task_blocks: int = pydantic.Field(default=1, ge=0)
    saliency_channels: int = pydantic.Field(default=1, ge=1, le=2)


class ModelConfig(StageConfig):
    """The whole model: a network, and the denoiser or None for the plain multi-task model."""

    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig | None = None
