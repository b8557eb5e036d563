"""Which task's first guess helps which other, does that repeat, and which task loses by company?

One multi-task model with a denoiser a seed, and a model of each single task on the very same
labels. Rooms are rendered, not photographed; each training image carries the label of one task.
"""

import dataclasses
from pathlib import Path
from typing import Any

from multitask_rooms import DENOISER
from report import arguments, report
from rooms_models import Job, Scale, make_models, one_label, rooms
from rooms_training import TASKS, WORK


@dataclasses.dataclass(frozen=True)
class Row:
    """One effect, in one seed.

    Attributes:
        kind: `condition` (a guess seen against withheld), or `transfer` (together against alone).
        task: that is scored.
        other: whose guess; empty for a transfer.
        seed: of labels, weights and order.
        metric: the score.
        unit: of the difference; empty for a ratio.
        gain: of the task, positive whichever direction of the score is better.
        low: lower end of the 95 % interval; whole rooms are drawn.
        high: upper end.
        verdict: `better`, `worse` or `unclear`.
    """

    kind: str
    task: str
    other: str
    seed: int
    metric: str
    unit: str
    gain: float | None
    low: float | None
    high: float | None
    verdict: str


def measure(seed: int, folder: Path, model: Path, alone: dict[str, Path], quick: bool) -> list[Row]:
    """All effects of one model on the test split."""
    from goldseam.artifacts import digest_folder
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.affinity import AffinityConfig, affinity

    config = AffinityConfig(split="test", resamples=50 if quick else 1000)
    out = WORK / "affinity" / f"{digest_folder(model)[7:23]}-{config.resamples}"
    result = affinity(config, open_dataset(folder, verify=False), model, out, single=alone)
    rows = [_row("condition", e, e.condition, seed) for e in result.effects]
    return rows + [_row("transfer", transfer, "", seed) for transfer in result.transfers]


def _row(kind: str, effect: Any, other: str, seed: int) -> Row:
    difference = effect.difference
    sign = -1.0 if difference.better == "lower" else 1.0
    ends = [None if end is None else sign * end for end in (difference.low, difference.high)]
    low, high = ends if sign > 0 else ends[::-1]
    return Row(
        kind=kind,
        task=effect.task,
        other=other,
        seed=seed,
        metric=effect.metric,
        unit=difference.unit,
        gain=None if difference.value is None else sign * difference.value,
        low=low,
        high=high,
        verdict=difference.verdict,
    )


def main(quick: bool, out: Path | None) -> None:
    """Train what is missing, measure all effects, and see which repeat over seeds."""
    scale = Scale.of(quick)
    folders = {seed: rooms(scale, one_label(scale, seed)) for seed in scale.seeds}
    jobs = {
        (seed, name): Job(folder, _config(scale, seed, name))
        for seed, folder in folders.items()
        for name in ("together", *TASKS)
    }
    models = dict(zip(jobs, make_models(list(jobs.values())), strict=True))
    rows = [
        row
        for seed, folder in folders.items()
        for row in measure(
            seed,
            folder,
            models[seed, "together"],
            {task: models[seed, task] for task in TASKS},
            quick,
        )
    ]
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        verdicts.setdefault((row.kind, row.task, row.other), set()).add(row.verdict)
    helps = [way for way, found in verdicts.items() if found == {"better"}]
    harms = [way for way, found in verdicts.items() if found == {"worse"}]
    torn = [way for way, found in verdicts.items() if {"better", "worse"} <= found]
    figure = (
        f"clear in every seed: {_named(helps)} help, {_named(harms)} harm; "
        f"contradicted between seeds: {_named(torn)}"
    )
    report(
        claim="What affinity calls clear repeats on rendered rooms: no effect that is clearly a "
        "gain with one seed is clearly a loss with another, and at least one repeats in all.",
        holds=not torn and bool(helps or harms),
        figure=figure,
        rows=rows,
        seeds=list(scale.seeds),
        out=out,
    )


def _config(scale: Scale, seed: int, name: str) -> dict[str, Any]:
    if name == "together":
        return scale.config(seed, diffusion=DENOISER)
    return scale.config(seed, tasks=[name])


def _named(ways: list[tuple[str, str, str]]) -> str:
    shown = [
        f"{other} for {task}" if kind == "condition" else f"company for {task}"
        for kind, task, other in ways
    ]
    return ", ".join(shown) or "none"


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
