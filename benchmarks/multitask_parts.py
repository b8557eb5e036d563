"""What do derived labels, a student, the denoiser, teachers and the number of labels bring?

Each part alone on top of plain multi-task training, and the published configuration; a model with
derived labels and denoiser, and its student of one pass; a quarter and four times as many labels.
Rows of equal seed and regime share labels, order of images and first weights. They are held against
plain training of as many steps, and of twice as many, which costs less than a denoiser.
Labels, network, learning rate and loss weights are those of `benchmarks/multitask_rooms.py`. All
numbers are of the test split. Rooms are rendered, not photographed. Resumable: finished runs stand
below runs/benchmarks/rooms.
"""

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger import Ledger
from multitask_rooms import (
    DEFAULT,
    DENOISER,
    IMAGES,
    PLAIN,
    REGIMES,
    default,
    gain,
    options,
)
from report import arguments, interval, report
from rooms_training import TASKS, WORK, Labels, Run, Score, train_all

SEEDS = (0, 1, 2)
STEPS = 600
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
LONGER, FEATURE = "multi-task, twice as long", "feature diffusion"
REFINED, STUDENT = "derived labels and feature diffusion", "the same, distilled to one step"
LARGEST_LATENCY, SMALLEST_SHARE = 1.3, 0.8


@dataclasses.dataclass(frozen=True)
class Row:
    """One model of one seed.

    Attributes:
        row: name.
        regime: of the labels.
        seed: of labels, weights and order.
        share: of the labels, relative to all other rows.
        test: task → score.
        initial: the same before the denoiser; empty without one.
        gain: mean relative gain over plain multi-task training of the same labels and as many
            steps, percent.
        gain_over_longer: the same over twice as many steps; None for other shares.
        step_ms: of a training step, beside other runs on the same machine.
        image_ms: to predict one image, all tasks.
        parameters: of the model.
    """

    row: str
    regime: str
    seed: int
    share: float
    test: dict[str, float]
    initial: dict[str, float]
    gain: float
    gain_over_longer: float | None
    step_ms: float
    image_ms: float
    parameters: int


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
    boundaries = [rule.model_dump() for rule in BOUNDARY_DERIVATIONS]
    runs = [
        plain(PLAIN),
        Run(LONGER, labels, options(seed, 2 * steps)),
        plain("derived labels alone", derive="declared"),
        plain("derived labels alone, boundaries too", derive="declared", derivations=boundaries),
        plain("student alone", student={"steps": steps}),
        plain("consistency alone", consistency={"weight": 0.5}, derivations=boundaries),
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
            students={STUDENT: student},
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
            Run(PLAIN, other, options(seed, steps)),
            Run(DEFAULT, other, default(seed, steps)),
        ]
    return runs


def rows_of(scores: Sequence[Score], images: int) -> list[Row]:
    """Rows with their gains; `images` are those of share 1."""

    def place(score: Score) -> tuple[str, int, float]:
        labels = score.labels
        return labels["regime"], labels["seed"], labels["share"] * labels["images"] / images

    plain = {place(score): score.headline() for score in scores if score.row == PLAIN}
    longer = {place(score): score.headline() for score in scores if score.row == LONGER}
    rows = []
    for score in scores:
        here = place(score)
        found = score.headline()
        rows.append(
            Row(
                row=score.row,
                regime=here[0],
                seed=here[1],
                share=here[2],
                test=found,
                initial=score.headline("initial"),
                gain=gain(found, plain[here]),
                gain_over_longer=gain(found, longer[here]) if here in longer else None,
                step_ms=score.step_ms,
                image_ms=score.image_ms,
                parameters=score.parameters,
            )
        )
    return rows


def spoken(rows: Sequence[Row], row: str, regime: str, share: float = 1.0) -> str:
    """Mean gain of a row with its interval over seeds, in words."""
    gains = [r.gain for r in rows if (r.row, r.regime, r.share) == (row, regime, share)]
    mean, low, high = interval(gains)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def main(quick: bool, out: Path | None) -> None:
    """Train every row, or tiny ones."""
    seeds, images, steps = ((0,), 24, 4) if quick else (SEEDS, IMAGES, STEPS)
    runs = [
        run
        for seed in seeds
        for regime in REGIMES
        for run in parts(Labels(regime, seed, images=images), steps)
    ]
    ledger = Ledger(WORK / ("ledger-quick" if quick else "ledger"), Score)
    rows = rows_of(train_all(runs, ledger), images)
    for name, share in dict.fromkeys((row.row, row.share) for row in rows):
        for regime in REGIMES:
            print(f"{name}, labels x {share:g}, {regime}: {spoken(rows, name, regime, share)}")

    def mean(row: str, attribute: str) -> float:
        return statistics.fmean(getattr(one, attribute) for one in rows if one.row == row)

    latency = mean(STUDENT, "image_ms") / statistics.fmean(
        row.image_ms for row in rows if row.row == PLAIN and row.share == 1
    )
    teacher, student = mean(REFINED, "gain"), mean(STUDENT, "gain")
    report(
        claim="A one-step student of a model with derived labels and feature diffusion predicts in "
        "at most 1.3 times the plain model's time and keeps at least 80 % of its teacher's gain.",
        holds=latency <= LARGEST_LATENCY and student >= SMALLEST_SHARE * teacher > 0,
        figure=f"latency x {latency:.2f}, gain {student:+.1f} % of the teacher's {teacher:+.1f} %; "
        "feature diffusion alone over plain training of as many steps: "
        + ", ".join(spoken(rows, FEATURE, regime) for regime in REGIMES),
        rows=rows,
        seeds=seeds,
        out=out,
    )


if __name__ == "__main__":
    main(*arguments(__doc__))
