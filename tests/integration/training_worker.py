"""One of several processes: its share of a batch, and the gradients that they agree on.

Started by `torchrun` in `test_training_processes.py`; it exits with 0 when the gradients, losses
and balances equal those of one process that sees the whole batch.
"""

import dataclasses
import sys

import torch

from goldseam.dataset.batch import Batch
from goldseam.dataset.schema import Kind, Task
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.trainer import distributed
from goldseam.trainer.balancing import build_balance
from goldseam.trainer.balancing.gradients import LastSharedLayer, gradient_cosines
from goldseam.trainer.config import LossConfig
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import StepContext, Supervised

SIZE, IMAGES = 16, 8
TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b", "c")),
    "depth": Task(kind=Kind.REGRESSION, unit="m"),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "edge": Task(kind=Kind.BOUNDARY),
    "salient": Task(kind=Kind.SALIENCY),
    "tags": Task(kind=Kind.TAGS, categories=("p", "q")),
}
# the first four images are the first process's: it lacks depth and tags; nobody has normals of all
KNOWN = {
    "cover": [1, 0, 1, 0, 1, 1, 1, 0],
    "depth": [0, 0, 0, 0, 1, 0, 1, 0],
    "normals": [1, 1, 1, 1, 0, 0, 0, 0],
    "edge": [0, 1, 0, 0, 0, 0, 0, 1],
    "salient": [0, 0, 0, 0, 0, 0, 0, 0],
    "tags": [0, 0, 0, 0, 0, 1, 1, 0],
}
OPTIONS = (
    LossConfig(dice=1.0, weights={"depth": 2.0}),
    LossConfig(weighting="image", normals="l1", saliency="balanced", balance="uncertainty"),
    LossConfig(balance="gradient_norm"),
)


def whole_batch() -> Batch:
    """Eight images, of which each carries some labels; the labels differ in their sizes."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    depth = random(IMAGES, SIZE, SIZE)
    depth[4, : SIZE // 2] = torch.nan
    cover = torch.randint(0, 3, (IMAGES, SIZE, SIZE), generator=generator)
    cover[5, :, :10] = 255
    normals = torch.nn.functional.normalize(random(IMAGES, 3, SIZE, SIZE), dim=1)
    return Batch(
        image_ids=[str(number) for number in range(IMAGES)],
        groups=[""] * IMAGES,
        images_BCHW=torch.rand(IMAGES, 3, SIZE, SIZE, generator=generator),
        targets={
            "cover": cover,
            "depth": depth,
            "normals": normals,
            "edge": torch.randint(0, 2, (IMAGES, SIZE, SIZE), generator=generator),
            "salient": torch.randint(0, 2, (IMAGES, SIZE, SIZE), generator=generator),
            "tags": torch.randint(-1, 2, (IMAGES, 2), generator=generator).to(torch.int8),
        },
        boxes={},
        captions={},
        known={task: torch.tensor(flags).bool() for task, flags in KNOWN.items()},
    )


def share(batch: Batch, rank: int, processes: int) -> Batch:
    """The images of one process."""
    mine = slice(rank * IMAGES // processes, (rank + 1) * IMAGES // processes)
    return dataclasses.replace(
        batch,
        images_BCHW=batch.images_BCHW[mine],
        targets={task: target[mine] for task, target in batch.targets.items()},
        known={task: known[mine] for task, known in batch.known.items()},
    )


def step(batch: Batch, config: LossConfig) -> dict[str, torch.Tensor | None]:
    """Everything that a step makes of a batch, on new weights."""
    torch.manual_seed(0)
    model = MultitaskModel(
        ModelConfig(
            network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
            diffusion=DiffusionConfig(token_width=16, token_stride=4, residual="none"),
        ),
        TASKS,
        Preprocessing(),
    )
    loss = MultitaskLoss(TASKS, config, {"depth": (0.0, 2.0)}, 0.5)
    balance = build_balance(config, TASKS)
    layer = LastSharedLayer(model)
    losses = Supervised(loss)(model, batch, StepContext(0, 10))
    value = balance(losses, lambda: layer(batch.images_BCHW))
    cosines = gradient_cosines(losses, layer(batch.images_BCHW))
    value.backward()
    distributed.average_gradients([*model.parameters(), *balance.parameters()])
    found: dict[str, torch.Tensor | None] = {"value": value.detach()}
    found |= {f"loss {name}": part.detach() for name, part in losses.items()}
    found |= {name: None if c is None else torch.tensor(c) for name, c in cosines.items()}
    for part in (model, balance):
        found |= {name: parameter.grad for name, parameter in part.named_parameters()}
    return found


def main() -> int:
    """Compare; the number of differences is the exit code."""
    batch = whole_batch()
    expected = [step(batch, config) for config in OPTIONS]
    faults = 0
    with distributed.joined(torch.device("cpu")):
        rank, processes = distributed.rank(), distributed.world_size()
        assert processes > 1
        for config, whole in zip(OPTIONS, expected, strict=True):
            found = step(share(batch, rank, processes), config)
            assert found.keys() == whole.keys(), found.keys() ^ whole.keys()
            for name, value in whole.items():
                other = found[name]
                if (value is None) != (other is None):
                    print(f"{rank} {config.balance} {name}: {value} {other}", flush=True)  # noqa: T201
                    faults += 1
                elif value is not None and other is not None:
                    scale = value.abs().max().clamp(min=1e-4)
                    difference = float((other - value).abs().max() / scale)
                    if not difference < 1e-4:
                        print(f"{rank} {config.balance} {name}: {difference}", flush=True)  # noqa: T201
                        faults += 1
    return min(faults, 100)


if __name__ == "__main__":
    sys.exit(main())
