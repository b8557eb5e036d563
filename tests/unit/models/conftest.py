import pytest
import torch

from goldseam.dataset.schema import Kind, Task
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from tests.conftest import disc_info

NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=3), decoder_width=8)
TASKS = {name: task for name, task in disc_info().tasks.items() if name != "cover_map"}
# every kind of dense task, of which the last has labels for no image of the batch
DENSE_TASKS = {
    "cover": TASKS["cover"],
    "edge": TASKS["edge"],
    "object": Task(kind=Kind.SALIENCY),
    "normal": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "relief": TASKS["relief"],
}
BATCH = 6


def build(
    diffusion: DiffusionConfig | None, tasks=None, seed: int = 0, network: NetworkConfig = NETWORK
) -> MultitaskModel:
    torch.manual_seed(seed)
    config = ModelConfig(network=network, diffusion=diffusion)
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


class TableNoise:
    """Noise that belongs to an image, whatever batch it comes in."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def __call__(self, task, draw, rows_K, shape):
        rows = range(shape[0]) if rows_K is None else rows_K.tolist()
        return torch.stack([self._of_image(task, draw, self.first + row, shape) for row in rows])

    def _of_image(self, task, draw, image, shape):
        seed = 1_000_000 * (sum(task.encode()) + 1) + 1000 * draw + image
        return torch.randn(shape[1:], generator=torch.Generator().manual_seed(seed))


def gradients(model: MultitaskModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


def final_loss(output) -> torch.Tensor:
    return sum(logits.square().sum() for logits in output.final.values())


@pytest.fixture
def images_B3HW() -> torch.Tensor:
    return torch.rand(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def known() -> dict[str, torch.Tensor]:
    return {
        "cover": torch.tensor([1, 0, 0, 1, 0, 0]).bool(),
        "edge": torch.tensor([0, 1, 0, 0, 0, 0]).bool(),
        "object": torch.tensor([0, 1, 1, 0, 1, 0]).bool(),
        "normal": torch.ones(BATCH).bool(),
        "relief": torch.zeros(BATCH).bool(),
        "tags": torch.tensor([0, 1, 1, 1, 0, 0]).bool(),
    }


@pytest.fixture
def targets() -> dict[str, torch.Tensor]:
    """Targets of the whole batch; what is unlabeled has to be hidden by whoever uses them."""
    generator = torch.Generator().manual_seed(2)
    shape = (BATCH, 16, 16)
    return {
        "cover": torch.randint(3, shape, generator=generator),
        "edge": torch.randint(2, shape, generator=generator),
        "object": torch.randint(2, shape, generator=generator),
        "normal": torch.randn(BATCH, 3, 16, 16, generator=generator),
        "relief": torch.randn(shape, generator=generator),
        "tags": torch.randint(2, (BATCH, 3), generator=generator).to(torch.int8),
    }
