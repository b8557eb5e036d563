"""What does each denoising step cost and bring, and what of it does a one-step student keep?

Rows of equal seed share labels, order of images and first weights. Controls that a sceptic asks
for: the plain multi-task model trained for as many steps as teacher and student together, and a
student of the plain model, which shows what distillation brings by itself. Latencies are ratios,
measured in turn in one process. Rooms are rendered, not photographed.
"""

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

from multitask_rooms import DENOISER
from report import arguments, report
from rooms_models import (
    Job,
    Scale,
    headline,
    make_models,
    one_label,
    rooms,
    scores_on_test,
)
from rooms_training import LOWER_IS_BETTER, SIZE

STEPS = (1, 2, 3, 4)
TEACHER = "2 steps"
PLAIN, LONGER, STUDENT, SELF = "plain", "plain, twice as long", "student", "student of plain"
BATCH = 16
LARGEST_LATENCY, SMALLEST_SHARE = 1.3, 0.8


@dataclasses.dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: what was trained.
        seed: of labels, weights and order.
        parameters: of the network.
        test: task → score.
        delta_m: mean relative gain over the plain model of the same seed.
        image_ms: to predict one image of all tasks, in a batch of 16.
        latency: the same relative to the plain model.
    """

    model: str
    seed: int
    parameters: int
    test: dict[str, float | None]
    delta_m: float | None
    image_ms: float
    latency: float


def make_all(scale: Scale, seed: int, folder: Path) -> dict[str, Job]:
    """Everything but the students, which need their teachers first."""
    longer = scale.config(seed)
    longer["optimizer"]["steps"] *= 2
    jobs = {PLAIN: Job(folder, scale.config(seed)), LONGER: Job(folder, longer)}
    for steps in STEPS:
        name = f"{steps} step{'s' if steps > 1 else ''}"
        jobs[name] = Job(folder, scale.config(seed, diffusion={**DENOISER, "steps": steps}))
    return jobs


def student_config(scale: Scale, seed: int) -> dict[str, Any]:
    """A student begins at its teacher's weights, with half the rate."""
    config = scale.config(seed)
    del config["network"], config["derive"]  # the network is its teacher's
    config["optimizer"]["learning_rate"] /= 2
    return config


def latencies(models: dict[str, Path], rounds: int) -> dict[str, float]:
    """Median milliseconds an image, all models in turn, on one thread."""
    import torch

    from goldseam.models.checkpoint import load_checkpoint

    torch.set_num_threads(1)
    networks = {name: load_checkpoint(folder) for name, folder in models.items()}
    for network in networks.values():
        network.to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds + 1):  # the first round warms up and is dropped
        for name, network in networks.items():
            began = time.perf_counter()
            network.predict(images)
            times[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(some[1:]) / BATCH for name, some in times.items()}


def parameters(checkpoint: Path) -> int:
    from goldseam.models.checkpoint import load_checkpoint

    return sum(parameter.numel() for parameter in load_checkpoint(checkpoint).parameters())


def main(quick: bool, out: Path | None) -> None:
    """Train all rows of all seeds, score them, and time them side by side."""
    from goldseam.metrics import delta_m

    scale = Scale.of(quick)
    folders = {seed: rooms(scale, one_label(scale, seed)) for seed in scale.seeds}
    jobs = {
        (seed, name): job
        for seed, folder in folders.items()
        for name, job in make_all(scale, seed, folder).items()
    }
    models = dict(zip(jobs, make_models(list(jobs.values())), strict=True))
    students = {
        (seed, name): Job(folder, student_config(scale, seed), teacher=models[seed, teacher])
        for seed, folder in folders.items()
        for name, teacher in ((STUDENT, TEACHER), (SELF, PLAIN))
    }
    models |= dict(zip(students, make_models(list(students.values())), strict=True))

    lower = LOWER_IS_BETTER
    rows = []
    for seed, folder in folders.items():
        own = {name: model for (s, name), model in models.items() if s == seed}
        times = latencies(own, rounds=5 if quick else 30)
        tests = {name: headline(scores_on_test(model, folder)) for name, model in own.items()}
        for name, model in own.items():
            row = Row(
                model=name,
                seed=seed,
                parameters=parameters(model),
                test=tests[name],
                delta_m=delta_m(tests[name], tests[PLAIN], lower).mean,
                image_ms=round(times[name], 4),
                latency=round(times[name] / times[PLAIN], 3),
            )
            rows.append(row)
    _report(rows, scale, out)


def _report(rows: list[Row], scale: Scale, out: Path | None) -> None:
    def mean_gain(name: str) -> float | None:
        gains = [row.delta_m for row in rows if row.model == name]
        known = [gain for gain in gains if gain is not None]
        return statistics.mean(known) if len(known) == len(gains) else None

    latency = statistics.median(row.latency for row in rows if row.model == STUDENT)
    gain, kept = mean_gain(TEACHER), mean_gain(STUDENT)
    # without a gain there is nothing of which a share could be kept
    share = None if gain is None or kept is None or gain <= 0 else kept / gain
    parts = [
        f"{name} {_points(mean_gain(name))} at "
        f"{statistics.median(row.latency for row in rows if row.model == name):.2f}x"
        for name in dict.fromkeys(row.model for row in rows)
    ]
    report(
        claim="A student that needs one step takes at most 1.3 times the plain multi-task model's "
        "time and keeps at least 80 % of the gain of its teacher of two steps, on rendered rooms.",
        holds=latency <= LARGEST_LATENCY and share is not None and share >= SMALLEST_SHARE,
        figure=f"mean relative gain over plain, points, and latency: {'; '.join(parts)}; share of "
        f"the gain kept: {'undefined, the teacher has none' if share is None else f'{share:.0%}'}",
        rows=rows,
        seeds=list(scale.seeds),
        out=out,
    )


def _points(gain: float | None) -> str:
    return "undefined" if gain is None else f"{100 * gain:+.1f}"


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
