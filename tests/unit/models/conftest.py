import pytest
import torch

from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from tests.conftest import disc_info

NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=3), decoder_width=8)
TASKS = {name: task for name, task in disc_info().tasks.items() if name != "cover_map"}
BATCH = 6


def build(diffusion: DiffusionConfig | None, tasks=None, seed: int = 0) -> MultitaskModel:
    torch.manual_seed(seed)
    config = ModelConfig(network=NETWORK, diffusion=diffusion)
    model = MultitaskModel(config, tasks or TASKS, Preprocessing(values={"relief": (1.0, 2.0)}))
    return model.eval()


def awaken(model: MultitaskModel) -> MultitaskModel:
    """Give the zero-initialized convolutions weights, so that the denoiser does something."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.denoiser.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def images_B3HW() -> torch.Tensor:
    return torch.rand(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def known() -> dict[str, torch.Tensor]:
    return {
        "cover": torch.tensor([1, 0, 0, 1, 0, 0]).bool(),
        "edge": torch.tensor([0, 1, 0, 0, 0, 0]).bool(),
        "relief": torch.zeros(BATCH).bool(),
        "tags": torch.tensor([0, 1, 1, 1, 0, 0]).bool(),
    }
