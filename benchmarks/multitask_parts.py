"""What do derived labels, a student, the denoiser, teachers and the number of labels bring?

Beside the rows of `benchmarks/multitask_rooms.py`, whose labels, order of images and first weights
they share: each part alone on top of plain multi-task training; the published configuration; a
model with denoiser and derived labels, and its student of one step; a quarter and four times as
many labels. All numbers are of the test split. Rooms are rendered, not photographed. Resumable:
finished runs stand below runs/benchmarks/rooms.
"""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

from multitask_rooms import (
    CONTROLS,
    DEFAULT,
    DENOISER,
    IMAGES,
    PLAIN,
    REGIMES,
    SEEDS,
    STEPS,
    Row,
    advantage,
    default,
    options,
    plan,
    rows_of,
)
from report import arguments, report
from rooms_training import TASKS, WORK, Labels, Ledger, Run, train_all

BUDGETS = (0.25, 4.0)
NO_NOISE = dict.fromkeys(TASKS, 0.0)
PUBLISHED: dict[str, Any] = {
    "steps": 2,
    "residual": "none",
    "head": "published",
    "token_pooling": "bilinear",
    "token_width": 32,
    "token_stride": 4,
    "blocks": 4,
}
FEATURE, REFINED = "feature diffusion", "derived labels and feature diffusion"
ONE_STEP = "derived labels and feature diffusion, distilled to one step"
LARGEST_LATENCY, SMALLEST_SHARE = 1.3, 0.8


def parts(labels: Labels, steps: int) -> list[Run]:
    """The rows of one seed and regime."""
    from goldseam.dataset.examples.rooms.labels import BOUNDARY_DERIVATIONS

    seed = labels.seed

    def plain(row: str, **changes: Any) -> Run:
        return Run(row, labels, options(seed, steps, **changes))

    def denoiser(row: str, **changes: Any) -> Run:
        return plain(row, diffusion={**DENOISER, **changes})

    made = options(seed, steps)
    student = {key: made[key] for key in ("network", "optimizer", "loss", "loop")}
    student |= {"student": "own", "label_weight": 1.0}
    listed = [rule.model_dump() for rule in BOUNDARY_DERIVATIONS]
    runs = [
        plain("derived labels alone", derive="declared"),
        plain("derived labels alone, boundaries too", derive="declared", derivations=listed),
        plain("student alone", student={"steps": steps}),
        plain("consistency alone", consistency={"weight": 0.5}, derivations=listed),
        plain("mean teacher alone", teacher={"weight": 0.5}),
        denoiser(FEATURE),
        denoiser("prediction diffusion", variant="prediction", relative_noise=True),
        denoiser("refinement without noise", noise_scale=NO_NOISE),
        denoiser("refinement without conditioning", condition="none"),
        plain("feature diffusion as published", diffusion=PUBLISHED),
        Run(
            REFINED,
            labels,
            options(seed, steps, derive="declared", diffusion=DENOISER),
            students={ONE_STEP: student},
        ),
    ]
    for share in BUDGETS:
        # a smaller share keeps some of the same images' labels; a larger one needs more images
        other = (
            dataclasses.replace(labels, share=share)
            if share < 1
            else dataclasses.replace(labels, images=round(labels.images * share))
        )
        runs += [
            Run(f"{row}, labels x {share:g}", other, made)
            for row, made in ((PLAIN, options(seed, steps)), (DEFAULT, default(seed, steps)))
        ]
    return runs


def mean(rows: list[Row], row: str, attribute: str) -> float:
    """Of an attribute over seeds and regimes."""
    return statistics.fmean(getattr(one, attribute) for one in rows if one.row == row)


def main(quick: bool, out: Path | None) -> None:
    """Train every row, or tiny ones."""
    seeds, images, steps = ((0,), 24, 4) if quick else (SEEDS, IMAGES, STEPS)
    runs = [
        run
        for seed in seeds
        for regime in REGIMES
        for labels in [Labels(regime, seed, images=images)]
        for run in (*plan(labels, steps), *parts(labels, steps))
    ]
    ledger = Ledger(WORK / ("ledger-quick" if quick else "ledger"))
    rows = rows_of(train_all(runs, ledger), images)
    for name in dict.fromkeys(row.row for row in rows if row.delta_m is not None):
        for regime in REGIMES:
            gain, low, high = advantage(rows, regime, CONTROLS[1], of=name)
            print(f"{name}, {regime}: {gain:+.2f} [{low:+.2f}, {high:+.2f}] over {CONTROLS[1]}")
    latency = mean(rows, ONE_STEP, "image_ms") / mean(rows, PLAIN, "image_ms")
    teacher, student = mean(rows, REFINED, "gain"), mean(rows, ONE_STEP, "gain")
    refinement = [advantage(rows, regime, PLAIN, of=FEATURE) for regime in REGIMES]
    report(
        claim="A one-step student of a model with derived labels and feature diffusion predicts in "
        "at most 1.3 times the plain model's time and keeps at least 80 % of its teacher's gain.",
        holds=latency <= LARGEST_LATENCY and student >= SMALLEST_SHARE * teacher > 0,
        figure=f"latency x {latency:.2f}, gain {student:+.1f} % of the teacher's {teacher:+.1f} %; "
        "feature diffusion alone over plain training: "
        + ", ".join(f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]" for gain, low, high in refinement),
        rows=rows,
        seeds=seeds,
        out=out,
    )


if __name__ == "__main__":
    main(*arguments(__doc__))
