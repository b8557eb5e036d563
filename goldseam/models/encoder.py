"""Encoders: an image becomes feature maps, finest first.

Shapes: B batch, H and W pixels; level l has D_l channels and stride s_l.
"""

from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.errors import InvalidConfig, MissingInput
from goldseam.models.config import EncoderConfig
from goldseam.models.layers import ConvBlock

# stride of the stem → strides of the two convolutions of the first level
STEM = {1: (1, 1), 2: (2, 1), 4: (2, 2)}
# name → (layer, blocks a stage, channels a stage): He et al., 2016
RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
}


class SmallEncoder(nn.Module):
    """A convolutional pyramid that can start at stride 1: small images keep their small objects."""

    def __init__(self, width: int, levels: int, stem_stride: int = 1) -> None:
        super().__init__()
        self.channels = tuple(width << level for level in range(levels))
        strides = (STEM[stem_stride], *((1, 1) for _ in range(1, levels)))
        self.levels = nn.ModuleList(
            nn.Sequential(ConvBlock(before, channels, first), ConvBlock(channels, channels, second))
            for before, channels, (first, second) in zip(
                (3, *self.channels), self.channels, strides, strict=False
            )
        )

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Feature maps `B D_l H/s_l W/s_l`, finest first."""
        features: list[Tensor] = []
        x_BDHW = image_B3HW
        for number, level in enumerate(self.levels):
            if number:
                x_BDHW = F.max_pool2d(x_BDHW, 2, ceil_mode=True)
            x_BDHW = level(x_BDHW)
            features.append(x_BDHW)
        return features


class BackboneEncoder(nn.Module):
    """A backbone of transformers, all of whose stages are used."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = cast("nn.Module", network)
        self.channels = tuple(int(channels) for channels in network.channels)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Feature maps `B D_l H/s_l W/s_l`, finest first."""
        return list(self.network(image_B3HW).feature_maps)


class AutoEncoder(BackboneEncoder):
    """Any `transformers.AutoBackbone`."""

    def __init__(self, backbone: str, *, pretrained: bool) -> None:
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

        try:
            config = AutoConfig.from_pretrained(backbone)
            if type(config) not in MODEL_FOR_BACKBONE_MAPPING:
                raise InvalidConfig(
                    f"encoder.backbone '{backbone}' has no feature maps.",
                    remedy="Choose a model that AutoBackbone lists, such as microsoft/resnet-18.",
                )
            # all stages: a decoder needs the fine maps as well as the last one
            config.out_features = list(config.stage_names[1:])
            # AutoBackbone.from_pretrained of transformers 5 asks the hub about local folders too
            architecture: Any = MODEL_FOR_BACKBONE_MAPPING[type(config)]
            network = (
                # the other format of weights is a pickle
                architecture.from_pretrained(backbone, config=config, use_safetensors=True)
                if pretrained
                else architecture(config)
            )
        except (OSError, ValueError) as error:
            raise MissingInput(
                backbone,
                f"no backbone can be loaded from here ({str(error).splitlines()[0]})",
                "Name a local folder with config.json and model.safetensors, or use name: small.",
            ) from error
        super().__init__(network)


class ResNetEncoder(BackboneEncoder):
    """ResNet-18 or -50 from its description: random weights, and no hub is asked."""

    def __init__(self, name: str) -> None:
        from transformers import ResNetBackbone, ResNetConfig

        layer, depths, channels = RESNETS[name]
        config = ResNetConfig(
            embedding_size=64,
            hidden_sizes=list(channels),
            depths=list(depths),
            layer_type=layer,
            out_features=[f"stage{stage}" for stage in range(1, 5)],
        )
        super().__init__(ResNetBackbone(config))


def build_encoder(
    config: EncoderConfig, *, pretrained: bool = True
) -> SmallEncoder | BackboneEncoder:
    """The encoder that a configuration names; `pretrained=False` loads no weights."""
    if config.name == "auto":
        assert config.backbone is not None  # the configuration's validator saw to it
        return AutoEncoder(config.backbone, pretrained=config.pretrained and pretrained)
    if config.name != "small":
        return ResNetEncoder(config.name)
    return SmallEncoder(config.width, config.levels, config.stem_stride)
