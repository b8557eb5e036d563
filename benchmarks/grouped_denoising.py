"""Is denoising all labeled images of a task at once as good as one (image, task) pair at a time?

The released code of DiffusionMTL runs its denoiser on one image and one task, in a Python loop.
Here all labeled images of a task go together, and with `packed` also the tasks, through what they
share. Encoder, initial predictions and condition are the same in all three ways, so they are timed
apart: the denoising of a training step is its forward and backward pass. With a GPU the widths are
the published ones; a CPU takes a narrower network of the same structure on smaller images.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from report import arguments, report
from torch import Tensor

from goldseam.dataset.schema import Kind, Task
from goldseam.models.config import EncoderConfig, ModelConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.models.published import published_config

TASKS = {
    "segmentation": Task(kind=Kind.SEGMENTATION, categories=tuple(f"c{n}" for n in range(21))),
    "parts": Task(kind=Kind.SEGMENTATION, categories=tuple(f"p{n}" for n in range(7))),
    "saliency": Task(kind=Kind.SALIENCY),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "edge": Task(kind=Kind.BOUNDARY),
}
BATCHES = (6, 16)
REGIMES = ("one-label", "random-label")
CPU_WIDTH, CPU_SIZE, GPU_SIZE = 32, 128, 512
TARGET_RATIO = 5.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One way of denoising on one batch.

    Attributes:
        pairs: labeled (image, task) pairs of the batch.
        way: `grouped` by task, or `packed` as well.
        milliseconds: of the denoising of a step, forward and backward; median over the repeats.
        ratio: the per-pair loop's time over this one's, median over the repeats, side by side.
        step_ratio: the same for the whole step, encoder and initial predictions included.
        output_difference: largest, over the largest output.
        gradient_difference: largest of any parameter, over that parameter's largest gradient.
    """

    regime: str
    images: int
    pairs: int
    seed: int
    way: str
    milliseconds: float
    per_pair_milliseconds: float
    ratio: float
    step_ratio: float
    output_difference: float
    gradient_difference: float


@dataclasses.dataclass
class TableNoise:
    """Noise that belongs to (image, task, draw), so that every way adds the same."""

    tables: dict[tuple[str, int], Tensor]
    first: int | None = None

    def __call__(self, task: str, draw: int, rows_K: Tensor | None, shape: torch.Size) -> Tensor:
        """The rows of a table, or its one row."""
        del shape  # the tables have it
        table = self.tables[task, draw]
        if self.first is not None:
            return table[self.first : self.first + 1]
        return table if rows_K is None else table[rows_K]


def build(seed: int, device: torch.device) -> MultitaskModel:
    config = published_config("feature")
    if device.type == "cpu":
        assert config.diffusion is not None
        encoder = EncoderConfig(width=8, levels=4)
        config = ModelConfig(
            network=config.network.model_copy(
                update={"encoder": encoder, "decoder_width": CPU_WIDTH}
            ),
            diffusion=config.diffusion.model_copy(update={"token_width": CPU_WIDTH}),
        )
    torch.manual_seed(seed)
    return MultitaskModel(config, TASKS, Preprocessing()).to(device).train()


def label_mask(regime: str, images: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Which image carries which label: exactly one task, or 1 to T - 1 of them."""
    known_NT = np.zeros((images, len(TASKS)), bool)
    order = rng.permutation(images)
    for place, image in enumerate(order):
        count = 1 if regime == "one-label" else int(rng.integers(1, len(TASKS)))
        first = place % len(TASKS)
        chosen = [first] if count == 1 else rng.permutation(len(TASKS))[:count]
        known_NT[image, chosen] = True
    return {task: torch.from_numpy(known_NT[:, place]) for place, task in enumerate(TASKS)}


class Step:
    """The parts of a training step of one batch, in each way of denoising."""

    def __init__(self, model: MultitaskModel, regime: str, images: int, seed: int) -> None:
        rng = np.random.default_rng((seed, images, REGIMES.index(regime)))
        device = model.mean_3.device
        generator = torch.Generator().manual_seed(seed)
        size = CPU_SIZE if device.type == "cpu" else GPU_SIZE
        self.model = model
        self.known = label_mask(regime, images, rng)
        self.images = torch.rand(images, 3, size, size, generator=generator).to(device)
        positions = -(-size // model.config.network.decoder_stride)
        shape = (images, model.config.network.decoder_width, positions, positions)
        self.tables = {
            (task, draw): torch.randn(shape, generator=generator).to(device)
            for task in TASKS
            for draw in range(2)
        }

    @property
    def pairs(self) -> int:
        """Labeled (image, task) pairs."""
        return int(sum(known.sum() for known in self.known.values()))

    def prepared(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Features, positions and condition tokens of each task's images; the same in all ways."""
        starts, _ = self.model._start(self.images, self.known)  # noqa: SLF001 - timed apart
        queries = self.model._queries(starts, {}, ())  # noqa: SLF001
        assert queries is not None
        features = {task: start.features_KDhw for task, start in starts.items()}
        features = {task: x for task, x in features.items() if len(x)}
        positions = {task: starts[task].rows_K for task in features}
        rows = {
            task: torch.arange(len(features[task]), device=self.images.device)
            if rows_K is None
            else rows_K
            for task, rows_K in positions.items()
        }
        return features, rows, queries

    def together(
        self, features: dict[str, Tensor], rows: dict[str, Tensor], queries: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """One call of the denoiser: what the library does."""
        noise = TableNoise(self.tables)
        refined = self.model.denoiser(features, rows, queries, noise=noise)
        return {task: self.model.final_heads[task](x) for task, x in refined.items()}

    def per_pair(
        self, features: dict[str, Tensor], rows: dict[str, Tensor], queries: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """One call for each image and task: what the released code does."""
        found: dict[str, Tensor] = {}
        for task, feature_KDhw in features.items():
            outputs = []
            for place, row in enumerate(rows[task].tolist()):
                one = slice(place, place + 1)
                refined = self.model.denoiser(
                    {task: feature_KDhw[one]},
                    {task: rows[task][one]},
                    {task: queries[task][one]},
                    noise=TableNoise(self.tables, row),
                )
                outputs.append(self.model.final_heads[task](refined[task]))
            found[task] = torch.cat(outputs)
        return found


Way = Callable[[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]]


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def run(step: Step, way: Way) -> tuple[float, float, dict[str, Tensor], dict[str, Tensor]]:
    """(seconds of the denoising, of the whole step, outputs, gradients)."""
    device = step.images.device
    step.model.zero_grad()
    began = clock(device)
    features, rows, queries = step.prepared()
    # the denoising's own graph: its backward pass ends where the shared part begins
    cut = [
        {task: x.detach().requires_grad_() for task, x in d.items()} for d in (features, queries)
    ]
    start = clock(device)
    outputs = way(cut[0], rows, cut[1])
    torch.stack([x.square().mean() for x in outputs.values()]).sum().backward()
    denoised = clock(device)
    pairs = [
        (x, d[task].grad)
        for whole, d in ((features, cut[0]), (queries, cut[1]))
        for task, x in whole.items()
        if task in d and d[task].grad is not None
    ]
    torch.autograd.backward([x for x, _ in pairs], [slope for _, slope in pairs])
    ended = clock(device)
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in step.model.named_parameters()
        if parameter.grad is not None
    }
    detached = {task: x.detach() for task, x in outputs.items()}
    return denoised - start, ended - began, detached, gradients


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest of any tensor, in units of the largest value expected in it."""
    worst = 0.0
    for name, tensor in expected.items():
        scale = tensor.abs().max().clamp(min=1e-12)
        worst = max(worst, float(((found[name] - tensor).abs().max() / scale).cpu()))
    return worst


def measure(model: MultitaskModel, regime: str, images: int, seed: int, repeats: int) -> list[Row]:
    step = Step(model, regime, images, seed)
    seconds: dict[str, list[tuple[float, float]]] = {}
    results = {}
    for _ in range(repeats + 1):  # the first round warms up and is dropped
        for name in ("per pair", "grouped", "packed"):
            model.denoiser.config = model.denoiser.config.model_copy(
                update={"packed": name == "packed"}
            )
            way = step.per_pair if name == "per pair" else step.together
            denoising, whole, *results[name] = run(step, way)
            seconds.setdefault(name, []).append((denoising, whole))
    loop = seconds["per pair"][1:]
    rows = []
    for name in ("grouped", "packed"):
        ours = seconds[name][1:]
        rows.append(
            Row(
                regime=regime,
                images=images,
                pairs=step.pairs,
                seed=seed,
                way=name,
                milliseconds=1e3 * statistics.median(part for part, _ in ours),
                per_pair_milliseconds=1e3 * statistics.median(part for part, _ in loop),
                ratio=statistics.median(a[0] / b[0] for a, b in zip(loop, ours, strict=True)),
                step_ratio=statistics.median(a[1] / b[1] for a, b in zip(loop, ours, strict=True)),
                output_difference=largest_difference(results[name][0], results["per pair"][0]),
                gradient_difference=largest_difference(results[name][1], results["per pair"][1]),
            )
        )
    return rows


def main(quick: bool, out: Path | None) -> None:
    """Measure both regimes and both batch sizes, and write the result."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seeds = range(3)
    # fp32 without TF32: the ways are compared to the last digits
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rows = [
        row
        for seed in seeds
        for regime in REGIMES
        for images in (BATCHES[:1] if quick else BATCHES)
        for row in measure(build(seed, device), regime, images, seed, repeats=2 if quick else 4)
    ]
    best = {
        (regime, images): max(
            statistics.median(row.ratio for row in rows if match(row, regime, images, way))
            for way in ("grouped", "packed")
        )
        for regime in REGIMES
        for images in sorted({row.images for row in rows})
    }
    outputs = max(row.output_difference for row in rows)
    gradients = max(row.gradient_difference for row in rows)
    width = 512 if device.type == "cuda" else CPU_WIDTH
    said = ", ".join(
        f"{ratio:.1f}x with {images} {regime} images" for (regime, images), ratio in best.items()
    )
    report(
        claim="Denoising all labeled images together is at least 5 times as fast as one (image, "
        "task) pair at a time, on every batch measured, with the same outputs and gradients.",
        holds=min(best.values()) >= TARGET_RATIO and outputs < 1e-4 and gradients < 1e-3,
        figure=f"denoising of a step at width {width} on a {device.type.upper()}, the better of "
        f"grouped and packed: {said}; outputs differ by at most {outputs:.0e}, gradients by "
        f"{gradients:.0e} of their largest value",
        rows=rows,
        seeds=list(seeds),
        out=out,
    )


def match(row: Row, regime: str, images: int, way: str) -> bool:
    return (row.regime, row.images, row.way) == (regime, images, way)


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
