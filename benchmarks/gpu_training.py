"""How fast does a GPU train the published configuration, and does it learn what a CPU learns?

The five tasks of PASCAL-Context at 512 x 512 with random labels of the random-label protocol; the
pictures and labels are random numbers, so nothing here says how good a model becomes. Each way is
the training loop of the library itself, in one process, one after the other. Needs CUDA; `--quick`
without it runs the same script at toy size on the CPU, and says nothing of speed.
"""

import contextlib
import dataclasses
import itertools
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from report import arguments, report
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from goldseam.dataset.batch import Batch
from goldseam.dataset.schema import Kind, Task
from goldseam.models.config import (
    DiffusionConfig,
    EncoderConfig,
    ModelConfig,
    NetworkConfig,
    deep_supervision_at,
)
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.models.published import published_config
from goldseam.trainer.balancing import build_balance
from goldseam.trainer.config import LoopConfig, LossConfig, OptimizerConfig
from goldseam.trainer.loop import fit
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import StepContext, Supervised

TASKS = {
    "segmentation": Task(kind=Kind.SEGMENTATION, categories=tuple(f"c{i}" for i in range(21))),
    "human_parts": Task(kind=Kind.SEGMENTATION, categories=tuple(f"p{i}" for i in range(7))),
    "saliency": Task(kind=Kind.SALIENCY),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "boundary": Task(kind=Kind.BOUNDARY),
}
# the published losses; of boundaries 19 to 1, divided by 20
LOSS = LossConfig(
    weights={
        "segmentation": 1,
        "human_parts": 2,
        "saliency": 5,
        "normals": 10,
        "boundary": 2.5,
    },
    boundary_positive=19,
    saliency="balanced",
    normals="l1",
    weighting="image",
)
SIZE, IMAGES, STEPS, WARM_UP = 512, 6, 60, 20
WINDOW = 5  # steps over which a rate is measured
AGREEMENT_STEPS = 50
SMALL = ModelConfig(
    network=NetworkConfig(encoder=EncoderConfig(width=16, levels=3), decoder_width=16),
    diffusion=DiffusionConfig(token_width=32, token_stride=4, residual="none"),
)


@dataclasses.dataclass(frozen=True)
class Way:
    """How a step is computed; TF32 concerns what is left in 32 bits."""

    name: str
    loop: dict[str, object]
    tf32: bool = False


WAYS = (
    Way("fp32", {"precision": "fp32", "channels_last": False}),
    Way("fp32 with TF32", {"precision": "fp32", "channels_last": False}, tf32=True),
    Way("bf16", {"precision": "bf16", "channels_last": False}, tf32=True),
    Way("bf16, channels_last", {"precision": "bf16"}, tf32=True),
    Way("bf16, channels_last, compile", {"precision": "bf16", "compile": True}, tf32=True),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One way with one seed.

    Attributes:
        images_per_second: median over windows of steps, after a warm-up.
        peak_memory_gib: most that PyTorch held.
        utilization: mean share of the time in which the GPU was busy, as `nvidia-smi` says; None
            where it does not say.
        teraflops: floating-point operations of forward and backward pass a second.
        speedup: rate over that of fp32 with the same seed.
    """

    seed: int
    way: str
    images_per_second: float
    peak_memory_gib: float
    utilization: float | None
    teraflops: float
    speedup: float


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A small model trained on the CPU and on the GPU, in 32 bits without TF32.

    Attributes:
        loss_difference: largest relative difference of the loss at any step.
        prediction_difference: largest difference of a segmentation probability afterwards.
    """

    seed: int
    steps: int
    first_loss: float
    last_loss: float
    loss_difference: float
    prediction_difference: float


class Numbers:
    """A recorder that keeps what the loop says."""

    wants_pictures = False

    def __init__(self) -> None:
        self.of_step: dict[int, dict[str, float | None]] = {}

    def numbers(self, step: int, values: Mapping[str, float | None]) -> None:
        """Keep them by step."""
        self.of_step.setdefault(step, {}).update(values)

    def pictures(self, step: int, pictures: Mapping[str, object]) -> None:
        """Nothing draws any here."""
        del step, pictures

    def series(self, name: str) -> dict[int, float]:
        """Step → the number of that name."""
        return {
            step: value
            for step, values in self.of_step.items()
            if (value := values.get(name)) is not None
        }


def random_batch(seed: int, images: int, size: int) -> Batch:
    """Random pictures, each with one to four of the five labels."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, size, size)

    def drawn(categories: int) -> torch.Tensor:
        return torch.randint(0, categories, shape, generator=generator)

    counts = torch.randint(1, len(TASKS), (images,), generator=generator)
    order = torch.stack([torch.randperm(len(TASKS), generator=generator) for _ in range(images)])
    known_NT = order < counts[:, None]
    targets = {
        "segmentation": drawn(21),
        "human_parts": drawn(7),
        "saliency": drawn(2),
        "normals": normalize(torch.randn(images, 3, size, size, generator=generator), dim=1),
        "boundary": drawn(2),
    }
    return Batch(
        image_ids=[str(number) for number in range(images)],
        groups=[""] * images,
        images_BCHW=torch.rand(images, 3, size, size, generator=generator),
        targets=targets,
        boxes={},
        captions={},
        known={task: known_NT[:, place] for place, task in enumerate(TASKS)},
    )


def supervised(model: MultitaskModel) -> Supervised:
    diffusion = model.config.diffusion
    assert diffusion is not None
    loss = MultitaskLoss(TASKS, LOSS, {}, lambda share: deep_supervision_at(diffusion, share))
    return Supervised(loss)


def train(
    config: ModelConfig,
    seed: int,
    device: torch.device,
    batches: list[Batch],
    *,
    steps: int,
    loop: Mapping[str, object],
    learning_rate: float,
) -> tuple[MultitaskModel, Numbers]:
    """The library's loop on given batches, which it sees again and again."""
    torch.manual_seed(seed)
    model = MultitaskModel(config, TASKS, Preprocessing()).to(device)
    numbers = Numbers()
    with tempfile.TemporaryDirectory() as folder:
        fit(
            f"{device.type} {dict(loop)}",
            model,
            objective=supervised(model),
            balance=build_balance(LOSS, TASKS),
            batches_from=lambda step: itertools.islice(itertools.cycle(batches), step, None),
            validate=None,
            optimization=OptimizerConfig(
                name="adam",
                steps=steps,
                batch_size=len(batches[0]),
                learning_rate=learning_rate,
                weight_decay=1e-6,
                schedule="poly",
            ),
            loop=LoopConfig(seed=seed, evaluate_every=steps, checkpoint_every=steps, **loop),
            state_folder=Path(folder) / "state",
            recorder=numbers,
        )
    return model, numbers


def operations(config: ModelConfig, batch: Batch, device: torch.device) -> float:
    """Floating-point operations of a step, forward and backward."""
    model = MultitaskModel(config, TASKS, Preprocessing()).to(device)
    with FlopCounterMode(display=False) as counter:
        losses = supervised(model)(model, batch, StepContext(0, 1))
        torch.stack(list(losses.values())).sum().backward()
    return float(counter.get_total_flops())


@contextlib.contextmanager
def busy(device: torch.device) -> Iterator[list[float]]:
    """Samples of the GPU's utilization, twice a second while the block runs."""
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not over.wait(0.5):
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                found = subprocess.run(command, capture_output=True, text=True, check=True)
                samples.append(float(found.stdout.split()[0]) / 100)

    watcher = threading.Thread(target=sample, daemon=True)
    if device.type == "cuda":
        watcher.start()
    yield samples
    over.set()
    if watcher.is_alive():
        watcher.join()


def measure(
    config: ModelConfig, seed: int, device: torch.device, images: int, size: int, steps: int
) -> list[Row]:
    batch = random_batch(seed, images, size).to(device)
    flops = operations(config, batch, device)
    rows: list[Row] = []
    for way in WAYS if device.type == "cuda" else WAYS[:1] + WAYS[2:4]:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = way.tf32
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        with busy(device) as samples:
            loop = {"log_every": min(WINDOW, steps), **way.loop}
            _, numbers = train(
                config, seed, device, [batch], steps=steps, loop=loop, learning_rate=2e-5
            )
        rates = numbers.series("images_per_second")
        rate = statistics.median(value for step, value in rates.items() if step > steps // 3)
        memory = max(numbers.series("memory_mib").values()) / 1024
        # the first third is warming up and compiling
        used = samples[len(samples) // 3 :]
        rows.append(
            Row(
                seed=seed,
                way=way.name,
                images_per_second=rate,
                peak_memory_gib=memory,
                utilization=statistics.fmean(used) if used else None,
                teraflops=flops * rate / images / 1e12,
                speedup=rate / rows[0].images_per_second if rows else 1.0,
            )
        )
    torch.compiler.reset()
    return rows


def agree(seed: int, device: torch.device, steps: int) -> Agreement:
    """The same training on the CPU and on `device`."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    batches = [random_batch(100 * seed + number, 4, 32) for number in range(8)]
    loop = {"precision": "fp32", "log_every": 1}
    places = (torch.device("cpu"), device)
    (one, ours), (other, theirs) = (
        train(SMALL, seed, place, batches, steps=steps, loop=loop, learning_rate=1e-3)
        for place in places
    )
    mine, their = ours.series("loss"), theirs.series("loss")
    images = batches[0].images_BCHW
    first = one.predict(images)["segmentation"]
    second = other.predict(images.to(device))["segmentation"].cpu()
    return Agreement(
        seed=seed,
        steps=steps,
        first_loss=mine[1],
        last_loss=mine[steps],
        loss_difference=max(abs(mine[s] - their[s]) / abs(mine[s]) for s in mine),
        prediction_difference=float((first - second).abs().max()),
    )


def main(quick: bool, out: Path | None) -> None:
    """Measure on CUDA and write the result; without it, only try the script."""
    there = torch.cuda.is_available()
    if not there and not quick:
        print("gpu_training needs a GPU that PyTorch sees; nothing was measured.")
        return
    device = torch.device("cuda" if there else "cpu")
    config = published_config() if there else SMALL
    images, size, steps = (IMAGES, SIZE, STEPS) if there else (2, 32, 6)
    seeds = range(1 if quick else 3)
    rows = [row for s in seeds for row in measure(config, s, device, images, size, steps)]
    agreements = [agree(s, device, AGREEMENT_STEPS if there else 5) for s in seeds]
    medians = {
        way: statistics.median(row.images_per_second for row in rows if row.way == way)
        for way in dict.fromkeys(row.way for row in rows)
    }
    memory = {row.way: row.peak_memory_gib for row in rows}
    lasting = min(row.speedup for row in rows if row.way == "bf16, channels_last")
    loss = max(agreement.loss_difference for agreement in agreements)
    said = ", ".join(f"{way} {rate:.1f} ({memory[way]:.1f} GiB)" for way, rate in medians.items())
    if not there:
        print(f"the script works at toy size on the CPU, which says nothing of speed: {said}")
        return
    report(
        claim="With bfloat16 and channels_last the published five-task configuration trains at "
        "512 x 512 at least twice as fast as in 32 bits, and a 50-step run of a small model has "
        "the same losses on CPU and GPU within 1 %.",
        holds=lasting >= 2 and loss < 0.01,
        figure=f"images a second: {said}; losses on CPU and GPU differ by at most {loss:.1e}",
        rows=[*rows, *agreements],
        seeds=list(seeds),
        out=out,
    )


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
