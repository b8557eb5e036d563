"""The configurations of DiffusionMTL, as published."""

from typing import Literal

from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig

WIDTH = 512


def published_config(
    variant: Literal["feature", "prediction", "multitask"] = "feature",
    encoder: str = "resnet18",
) -> ModelConfig:
    """The published architecture: feature or prediction diffusion, or its multi-task baseline.

    Source: Ye & Xu, CVPR 2024, and its released code (feature diffusion). With the five tasks of
    PASCAL-Context (21, 7, 2, 3 and 1 channels) and ResNet-18, feature diffusion has 132,913,284
    parameters and takes 675 billion multiply-adds for a 512 x 512 image; the baseline, with six
    blocks a task instead of two, 157,237,346 parameters. Prediction diffusion was not released:
    here it noises the logits, embeds them anew at every step, and has 121,273,476 parameters, where
    the paper prints 133 M.

    One difference is deliberate: the tasks' own blocks have GroupNorm, not BatchNorm (as many
    parameters), so that an image's result does not depend on the images beside it.

    Args:
        variant: `feature`, `prediction`, or `multitask` for the baseline without denoiser.
        encoder: `resnet18` or `resnet50` with random weights, or a hub id or folder of a backbone
            with its weights; the paper's are pretrained on ImageNet.
    """
    network = NetworkConfig(
        encoder=_encoder(encoder),
        decoder="concat",
        decoder_width=WIDTH,
        decoder_stride=8,
        task_blocks=6 if variant == "multitask" else 2,
        saliency_channels=2,
    )
    if variant == "multitask":
        return ModelConfig(network=network)
    return ModelConfig(
        network=network,
        diffusion=DiffusionConfig(
            variant=variant,
            residual="none",
            blocks=4,
            token_width=WIDTH,
            token_stride=4,
            token_pooling="bilinear",  # noqa: S106 - no password
            head="published",
        ),
    )


def _encoder(name: str) -> EncoderConfig:
    if name == "resnet18":
        return EncoderConfig(name="resnet18")
    if name == "resnet50":
        return EncoderConfig(name="resnet50")
    return EncoderConfig(name="auto", backbone=name)
