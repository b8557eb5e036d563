"""Which label to buy next: does uncertainty, scarcity or both beat buying at random?

A model is trained on the labels at hand; every policy then buys as many labels, and a model is
trained anew on old and bought labels together. Two beginnings: `even`, where every task has equally
many labels, and `uneven`, where some tasks have few. Rooms are rendered, not photographed, so that
every label can be had. Shapes: N images, T tasks.
"""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
from report import arguments, report
from rooms_models import Job, Scale, headline, make_models, one_label, rooms, scores_on_test
from rooms_training import LOWER_IS_BETTER, TASKS

Bools = npt.NDArray[np.bool_]

BEGINNINGS = {"even": (1.0, 1.0, 1.0, 1.0), "uneven": (1.0, 0.5, 0.25, 0.125)}
BOUGHT = 0.5  # labels bought for each image of the training split
SIGNAL = "mirror"  # the one uncertainty that every task of a plain model has


@dataclasses.dataclass(frozen=True)
class Row:
    """One retrained model.

    Attributes:
        beginning: `even` or `uneven`.
        policy: how labels were bought.
        seed: of labels, weights and order.
        labels_before: known labels before buying.
        bought: labels bought of each task.
        delta_m: mean relative gain over the model before buying; None where a task has no score.
        test: task → score of the retrained model.
    """

    beginning: str
    policy: str
    seed: int
    labels_before: int
    bought: dict[str, int]
    delta_m: float | None
    test: dict[str, float | None]


def begin(scale: Scale, beginning: str, seed: int) -> Bools:
    """The labels at hand: a share of each task's in a one-label mask."""
    known_NT = one_label(scale, seed)
    random = np.random.default_rng([seed, 7])
    for column, share in enumerate(BEGINNINGS[beginning]):
        labeled = np.flatnonzero(known_NT[:, column])
        keep = max(2, round(share * len(labeled)))
        known_NT[random.permutation(labeled)[keep:], column] = False
    return known_NT


def buy(scale: Scale, known_NT: Bools, model: Path, seed: int) -> dict[str, Bools]:
    """Policy → the labels at hand with those bought."""
    from goldseam.dataset.loading import evaluation_batches
    from goldseam.dataset.reading import open_dataset
    from goldseam.models.checkpoint import load_checkpoint
    from goldseam.multitask.acquisition import POLICIES, select_labels
    from goldseam.multitask.uncertainty import image_uncertainty

    data = open_dataset(rooms(scale), verify=False)
    # images alone are read: no label of an image says how unsure the model is of it
    _, unsure_NT = image_uncertainty(
        load_checkpoint(model), evaluation_batches(data, "train", [], 32), TASKS, signal=SIGNAL
    )
    count = round(BOUGHT * scale.images)
    after = {}
    for policy in POLICIES:
        ranking = select_labels(known_NT, unsure_NT, policy=policy, count=count, seed=seed)
        after[policy] = known_NT | ranking.chosen((scale.images, len(TASKS)))
    return after


def main(quick: bool, out: Path | None) -> None:
    """Train, buy, train again; compare with buying at random."""
    from goldseam.metrics import delta_m

    scale = Scale.of(quick)
    starts = {(b, seed): begin(scale, b, seed) for b in BEGINNINGS for seed in scale.seeds}
    places = {start: rooms(scale, known_NT) for start, known_NT in starts.items()}
    first = [Job(place, scale.config(seed)) for (_, seed), place in places.items()]
    models = dict(zip(starts, make_models(first), strict=True))
    masks = {
        (*start, policy): after_NT
        for start, known_NT in starts.items()
        for policy, after_NT in buy(scale, known_NT, models[start], start[1]).items()
    }
    later_places = {key: rooms(scale, after_NT) for key, after_NT in masks.items()}
    later = [Job(place, scale.config(key[1])) for key, place in later_places.items()]
    retrained = dict(zip(masks, make_models(later), strict=True))

    lower = LOWER_IS_BETTER
    before = {s: headline(scores_on_test(models[s], places[s])) for s in starts}
    rows = []
    for (beginning, seed, policy), after_NT in masks.items():
        key = (beginning, seed, policy)
        test = headline(scores_on_test(retrained[key], later_places[key]))
        known_NT = starts[beginning, seed]
        bought_T = (after_NT & ~known_NT).sum(axis=0)
        rows.append(
            Row(
                beginning=beginning,
                policy=policy,
                seed=seed,
                labels_before=int(known_NT.sum()),
                bought=dict(zip(TASKS, bought_T.tolist(), strict=True)),
                delta_m=delta_m(test, before[beginning, seed], lower).mean,
                test=test,
            )
        )
    _report(rows, before, lower, scale, out)


def _report(
    rows: list[Row],
    before: dict[tuple[str, int], dict[str, float | None]],
    lower: list[str],
    scale: Scale,
    out: Path | None,
) -> None:
    from goldseam.metrics import paired_delta

    parts, verdicts = [], []
    for beginning in BEGINNINGS:
        references = [before[beginning, seed] for seed in scale.seeds]

        def scores(policy: str, beginning: str = beginning) -> list[dict[str, float | None]]:
            return [r.test for r in rows if (r.beginning, r.policy) == (beginning, policy)]

        for policy in ("scarcity", "uncertainty", "scarcity_uncertainty"):
            gain = paired_delta(scores(policy), references, lower, baseline=scores("random")).mean
            ends = "" if gain.low is None else f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
            value = "undefined" if gain.value is None else f"{100 * gain.value:+.1f}{ends}"
            parts.append(f"{beginning} {policy} {value}")
            if policy == "scarcity_uncertainty":
                verdicts.append(gain.low is not None and gain.low > 0)
    report(
        claim="Buying labels by scarcity times uncertainty beats buying as many at random, from "
        "an even and from an uneven beginning (95 % interval of paired seeds above 0).",
        holds=bool(verdicts) and all(verdicts),
        figure=f"mean relative gain over random buying, points: {'; '.join(parts)}",
        rows=rows,
        seeds=list(scale.seeds),
        out=out,
    )


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
