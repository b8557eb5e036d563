"""A compiled model computes what the plain one does, and keeps its names."""

import copy

import pytest
import torch

from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.trainer.compilation import compile_parts
from goldseam.trainer.config import LossConfig
from goldseam.trainer.losses import MultitaskLoss
from tests.conftest import disc_info

TASKS = ("cover", "edge", "relief", "tags")


def pair(tasks=TASKS, diffusion=None):
    """A model twice, with equal weights."""
    torch.manual_seed(0)
    network = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
    config = ModelConfig(network=network, diffusion=diffusion)
    specs = {name: disc_info().tasks[name] for name in tasks}
    plain = MultitaskModel(config, specs, Preprocessing())
    return plain, copy.deepcopy(plain)


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    yield
    torch.compiler.reset()


def loss_and_gradients(model, labeled, *, twice=False):
    generator = torch.Generator().manual_seed(1)
    count = 6
    images = torch.rand(count, 3, 16, 16, generator=generator)
    known = {
        task: torch.arange(count) % (place + 2) < labeled for place, task in enumerate(model.tasks)
    }
    targets = {
        "cover": torch.randint(0, 3, (count, 16, 16), generator=generator),
        "edge": torch.randint(0, 2, (count, 16, 16), generator=generator),
        "relief": torch.randn(count, 16, 16, generator=generator),
        "tags": torch.randint(0, 2, (count, 3), generator=generator).to(torch.int8),
    }
    output = model(images, known, torch.Generator().manual_seed(2))
    losses = MultitaskLoss(model.tasks, LossConfig(), {}, 0.5)(output, targets, known)
    loss = torch.stack(list(losses.values())).sum()
    model.zero_grad()
    loss.backward(retain_graph=twice)
    if twice:
        loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def assert_equal(models, *, twice=False):
    plain, compiled = models
    for labeled in (1, 2, 1):  # other numbers of labeled images, and back
        expected, gradients = loss_and_gradients(plain, labeled, twice=twice)
        found, others = loss_and_gradients(compiled, labeled, twice=twice)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        for one, other in zip(others, gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_traced_parts_compute_the_same():
    diffusion = DiffusionConfig(token_width=16, token_stride=4, residual="none")
    models = pair(diffusion=diffusion)
    compile_parts(models[1], backend="aot_eager", twice=True)
    assert list(models[1].state_dict()) == list(models[0].state_dict())
    assert_equal(models, twice=True)
    # a copy, as for an averaged model, is plain again
    assert copy.deepcopy(models[1]).encoder._compiled_call_impl is None


@pytest.mark.slow
def test_compiled_parts_compute_the_same():
    models = pair(tasks=("cover", "relief"))
    compile_parts(models[1])
    assert_equal(models)
