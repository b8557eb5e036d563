"""Small models with random weights, and pictures; what they predict does not matter."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from goldseam.dataset.schema import Kind, Task
from goldseam.models.checkpoint import save_checkpoint
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing

TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("ground", "disk", "bar")),
    "edge": Task(kind=Kind.BOUNDARY),
    "relief": Task(kind=Kind.REGRESSION, unit="m", scale=1 / 256, offset=-8),
    "facing": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "tags": Task(kind=Kind.TAGS, categories=("disk", "bar")),
}
STRIDE = 4


def make_model(variant: str = "plain", *, levels: int = 3) -> MultitaskModel:
    """A model with a denoiser that does something, and a stride of 4 px."""
    torch.manual_seed(7)
    diffusion = None
    if variant != "plain":
        diffusion = DiffusionConfig(variant=variant, token_width=8, token_stride=4, blocks=1)  # type: ignore[arg-type]
    network = NetworkConfig(encoder=EncoderConfig(width=8, levels=levels), decoder_width=8)
    config = ModelConfig(network=network, diffusion=diffusion)
    model = MultitaskModel(config, TASKS, Preprocessing(values={"relief": (2.0, 3.0)}))
    for parameter in model.parameters():
        # a residual that starts at zero would make the denoiser the identity
        if parameter.dim() > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def make_checkpoint(
    folder: Path, variant: str = "plain", thresholds: dict[str, float | None] | None = None
) -> Path:
    """`make_model` as a checkpoint folder; `thresholds` are those of its tags."""
    model = make_model(variant)
    if thresholds is not None:
        given = {**model.preprocessing.model_dump(), "tag_thresholds": {"tags": thresholds}}
        model.preprocessing = Preprocessing.model_validate(given)
    save_checkpoint(folder, model, dataset_digest="sha256:0", stage_key="sha256:1")
    return folder


def make_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth picture with some texture, `uint8 HW3`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 17.0
    waves = np.stack([np.sin(x + y), np.cos(x - y), np.sin(2 * y)], axis=2) * 90 + 128
    return (waves + random.normal(0, 10, waves.shape)).clip(0, 255).astype(np.uint8)


class Local(nn.Module):
    """A model that sees 2 px around each pixel and treats all places alike.

    At its own borders it pads by zeros, as convolutions do: there a tile is wrong, and blending
    must not let it through.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.tasks = TASKS
        self.layer = nn.Conv2d(3, 8, 5, padding=2)

    def predict(
        self,
        images_B3HW: torch.Tensor,
        *,
        initial: bool = False,  # noqa: ARG002
    ) -> dict[str, torch.Tensor]:
        raw = self.layer(images_B3HW)
        return {
            "cover": raw[:, :3].softmax(dim=1),
            "edge": raw[:, 3].sigmoid(),
            "relief": raw[:, 4] * 5,
            "facing": nn.functional.normalize(raw[:, 5:8], dim=1),
            "tags": raw[:, :2].amax(dim=(2, 3)).sigmoid(),
        }


class Constant:
    """A model that says the same everywhere."""

    def __init__(self) -> None:
        self.tasks = TASKS

    def predict(
        self,
        images_B3HW: torch.Tensor,
        *,
        initial: bool = False,  # noqa: ARG002
    ) -> dict[str, torch.Tensor]:
        batch, _, height, width = images_B3HW.shape
        cover = torch.tensor([0.2, 0.5, 0.3])[None, :, None, None]
        facing = torch.tensor([0.0, 0.6, 0.8])[None, :, None, None]
        return {
            "cover": cover.expand(batch, 3, height, width),
            "edge": torch.full((batch, height, width), 0.25),
            "relief": torch.full((batch, height, width), -3.5),
            "facing": facing.expand(batch, 3, height, width),
            "tags": torch.full((batch, 2), 0.1),
        }
