"""Are wrong tags found faster and at least as well as by a careful loop of cleanlab's filter?

Images have features; 80 tags of a prevalence of 2 to 50 % depend on them by a line, a wave and
noise. Of every tag 40 % of the labels are known and about 2 % of those are flipped:

- uniform: each with the same probability;
- class-dependent: presences and absences at the false-negative and false-positive rates of one of
  three findings in text-mined chest X-ray labels (ChestX-ray14 against adjudicated expert labels:
  .54/.03, .58/.05, .49/.19), all multiplied by one factor so that 2 % are wrong overall;
- near the decision: the more probable, the nearer an image is to where the tag begins;
- class-dependent, unscaled: the real rates as they are, some 15 % wrong; not part of the claim.

Predictions are those of logistic regressions, cross-fitted in five folds on the flipped labels that
are known. The careful loop hands cleanlab each tag's known labels as a problem of two classes; F1
is compared at the number of entries that cleanlab flags, ours cut off by score.
"""

import dataclasses
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from report import arguments, report

from goldseam.audit.errors.tags import TagErrors, tag_errors

Array = npt.NDArray[Any]
KNOWN, FLIPPED = 0.4, 0.02
RATES = np.array([[0.54, 0.03], [0.58, 0.05], [0.49, 0.19]])
UNSCALED = "class-dependent, unscaled"
NOISES = ("uniform", "class-dependent", "near the decision", UNSCALED)
DEFAULT = "prune_by_noise_rate"
FILTERS = (DEFAULT, "prune_by_class", "both", "confident_learning", "low_normalized_margin",
           "low_self_confidence")  # fmt: skip
SIZES = (10_000, 100_000, 1_000_000)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of noise, one seed, one of cleanlab's filters.

    Attributes:
        injected: share of known labels that are wrong.
        estimated: ours, with the ends of its interval; `peer_estimated` from cleanlab's joint.
        rate_error: mean absolute error of a tag's estimated rate.
        seconds: median of the repeats; `time_ratio` is the peer's over ours.
        flags: entries that the peer flags, and of ours the same number.
        own_flags: entries that we flag by default, with `own_f1`.
        unknown_flags: entries that we flag although they are unknown.
    """

    noise: str
    seed: int
    peer_filter: str
    injected: float
    estimated: float
    low: float
    high: float
    peer_estimated: float
    rate_error: float
    peer_rate_error: float
    seconds: float
    peer_seconds: float
    time_ratio: float
    flags: int
    f1: float
    peer_f1: float
    precision: float
    peer_precision: float
    own_flags: int
    own_f1: float
    unknown_flags: int


@dataclasses.dataclass(frozen=True)
class Size:
    """Cost of one call on images x 80 labels, all in memory, in a process of its own.

    Attributes:
        peak_gib: of the whole process, with the arrays that it is called with.
        arrays_gib: of those arrays alone.
    """

    images: int
    seconds: float
    peak_gib: float
    arrays_gib: float
    flagged: int


@dataclasses.dataclass(frozen=True)
class Naive:
    """cleanlab's multi-label filter where unknown is handed over as absent."""

    noise: str
    seed: int
    flags: int
    flags_never_annotated: int


def images_with_tags(rng: np.random.Generator, images: int, tags: int) -> tuple[Array, Array]:
    """Features, and by how much each tag is beyond where it begins."""
    width = 64
    feature_ND = rng.normal(size=(images, width)).astype(np.float32)
    line_DC = rng.normal(size=(width, tags)) / np.sqrt(width) * rng.uniform(1.5, 6, tags)
    wave_DC = rng.normal(size=(width, tags)) / np.sqrt(width)
    margin_NC = feature_ND @ line_DC + np.sin(2 * feature_ND @ wave_DC)
    margin_NC += 0.5 * rng.normal(size=margin_NC.shape)
    prevalence_C = np.exp(rng.uniform(np.log(0.02), np.log(0.5), tags))
    begin_C = [np.quantile(margin_NC[:, tag], 1 - share) for tag, share in enumerate(prevalence_C)]
    return feature_ND, margin_NC - np.array(begin_C)


def flip_probability(rng: np.random.Generator, noise: str, margin_NC: Array) -> Array:
    truth_NC = margin_NC > 0
    if noise == "uniform":
        return np.full(margin_NC.shape, FLIPPED)
    if noise == "near the decision":
        near_NC = np.exp(-2 * np.abs(margin_NC) / margin_NC.std(axis=0))
        return FLIPPED * near_NC / near_NC.mean(axis=0)
    rate_C2 = RATES[rng.integers(0, len(RATES), margin_NC.shape[1])]
    flip_NC = np.where(truth_NC, rate_C2[:, 0], rate_C2[:, 1])
    return flip_NC if noise == UNSCALED else flip_NC * (FLIPPED / flip_NC.mean())


def cross_fitted(rng: np.random.Generator, feature_ND: Array, label_NC: Array) -> Array:
    from sklearn.linear_model import LogisticRegression

    fold_N = rng.integers(0, 5, len(feature_ND))
    probability_NC = np.zeros(label_NC.shape, np.float32)
    for fold in range(5):
        for tag in range(label_NC.shape[1]):
            fit_N = (fold_N != fold) & (label_NC[:, tag] >= 0)
            model = LogisticRegression(C=0.1, solver="newton-cholesky")
            model.fit(feature_ND[fit_N], label_NC[fit_N, tag])
            held = fold_N == fold
            probability_NC[held, tag] = model.predict_proba(feature_ND[held])[:, 1]
    return probability_NC


def careful_loop(label_NC: Array, probability_NC: Array, filter_by: str) -> Array:
    from cleanlab.filter import find_label_issues

    flagged_NC = np.zeros(label_NC.shape, bool)
    for tag in range(label_NC.shape[1]):
        known = np.flatnonzero(label_NC[:, tag] >= 0)
        present = probability_NC[known, tag]
        flagged_NC[known, tag] = find_label_issues(
            label_NC[known, tag].astype(np.int64),
            np.column_stack([1 - present, present]),
            filter_by=filter_by,
            n_jobs=1,
        )
    return flagged_NC


def peer_rates(label_NC: Array, probability_NC: Array) -> Array:
    """Share of wrong labels of each tag by cleanlab's joint."""
    from cleanlab.count import estimate_joint

    rates = []
    for tag in range(label_NC.shape[1]):
        known = label_NC[:, tag] >= 0
        present = probability_NC[known, tag]
        joint_22 = estimate_joint(
            label_NC[known, tag].astype(np.int64), np.column_stack([1 - present, present])
        )
        rates.append(1 - np.trace(joint_22))
    return np.array(rates)


def median_seconds(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def scores(wrong_NC: Array, row: Array, tag: Array) -> tuple[float, float]:
    """Precision and F1 of flagged entries."""
    hits = int(wrong_NC[row, tag].sum())
    return hits / max(1, len(row)), 2 * hits / (len(row) + int(wrong_NC.sum()))


def measure(noise: str, seed: int) -> tuple[list[Row], Naive]:
    rng = np.random.default_rng(seed)
    feature_ND, margin_NC = images_with_tags(rng, 20_000, 80)
    truth_NC = (margin_NC > 0).astype(np.int8)
    flip_NC = rng.random(truth_NC.shape) < flip_probability(rng, noise, margin_NC)
    label_NC = np.where(rng.random(truth_NC.shape) < KNOWN, truth_NC ^ flip_NC, -1).astype(np.int8)
    probability_NC = cross_fitted(rng, feature_ND, label_NC)
    known_NC = label_NC >= 0
    wrong_NC = known_NC & (label_NC != truth_NC)
    injected_C = wrong_NC.sum(axis=0) / known_NC.sum(axis=0)

    tag_errors(label_NC, probability_NC)  # warm up: imports and the table of bins
    seconds, found = median_seconds(lambda: tag_errors(label_NC, probability_NC), 9)
    rate_C = np.array([rate.value for rate in found.error_rates])
    peer_rate_C = peer_rates(label_NC, probability_NC)
    weight_C = known_NC.sum(axis=0) / known_NC.sum()
    own_f1 = scores(wrong_NC, found.row_M, found.category_M)[1]
    rows = []
    for filter_by in FILTERS:
        peer_seconds, flagged_NC = median_seconds(
            lambda chosen=filter_by: careful_loop(label_NC, probability_NC, chosen),
            3 if filter_by == DEFAULT else 1,
        )
        flags = int(flagged_NC.sum())
        same = tag_errors(label_NC, probability_NC, limit=flags, minimum_score=1e-12)
        precision, f1 = scores(wrong_NC, same.row_M, same.category_M)
        peer_precision, peer_f1 = scores(wrong_NC, *np.nonzero(flagged_NC))
        rows.append(
            Row(
                noise=noise,
                seed=seed,
                peer_filter=filter_by,
                injected=float(wrong_NC.sum() / known_NC.sum()),
                estimated=found.error_rate.value,
                low=found.error_rate.low,
                high=found.error_rate.high,
                peer_estimated=float(peer_rate_C @ weight_C),
                rate_error=float(np.abs(rate_C - injected_C).mean()),
                peer_rate_error=float(np.abs(peer_rate_C - injected_C).mean()),
                seconds=seconds,
                peer_seconds=peer_seconds,
                time_ratio=peer_seconds / seconds,
                flags=flags,
                f1=f1,
                peer_f1=peer_f1,
                precision=precision,
                peer_precision=peer_precision,
                own_flags=len(found),
                own_f1=own_f1,
                unknown_flags=unknown_flags(found, known_NC) + unknown_flags(same, known_NC),
            )
        )
    return rows, naive(noise, seed, label_NC, probability_NC)


def unknown_flags(found: TagErrors, known_NC: Array) -> int:
    return int((~known_NC[found.row_M, found.category_M]).sum())


def naive(noise: str, seed: int, label_NC: Array, probability_NC: Array) -> Naive:
    """What happens when nobody tells cleanlab which labels are unknown."""
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    present = [np.flatnonzero(row).tolist() for row in label_NC == 1]
    flagged_NC = find_multilabel_issues_per_class(present, probability_NC, n_jobs=1)
    never = int((flagged_NC & (label_NC < 0)).sum())
    return Naive(noise, seed, int(flagged_NC.sum()), never)


def cost(images: int) -> Size:
    """Called in a process of its own, so that its peak memory is that of one size."""
    rng = np.random.default_rng(0)
    label_NC = np.empty((images, 80), np.int8)
    probability_NC = np.empty((images, 80), np.float32)
    for start in range(0, images, 10_000):
        part = slice(start, start + 10_000)
        logit = rng.standard_normal((10_000, 80), np.float32) * 3 - 1.5
        probability_NC[part] = 1 / (1 + np.exp(-logit))
        given = rng.random(logit.shape, np.float32) < 0.02 + 0.96 * probability_NC[part]
        label_NC[part] = np.where(rng.random(logit.shape, np.float32) < KNOWN, given, -1)
    tag_errors(label_NC[:1000], probability_NC[:1000])
    start_time = time.perf_counter()
    found = tag_errors(label_NC, probability_NC)
    seconds = time.perf_counter() - start_time
    arrays = (label_NC.nbytes + probability_NC.nbytes) / 2**30
    return Size(images, seconds, peak_gib(), arrays, len(found))


def peak_gib() -> float:
    """Peak memory of this process; getrusage would count that of its parent as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise RuntimeError("this system does not tell a process its peak memory")


def main(quick: bool, out: Path | None) -> None:
    """Measure every noise and every size, and write the result."""
    warnings.simplefilter("ignore")  # cleanlab warns of tags with few labels
    seeds = range(1 if quick else 3)
    measured = [measure(noise, seed) for noise in NOISES for seed in seeds]
    rows = [row for part, _ in measured for row in part]
    naives = [each for _, each in measured]
    # a fresh process for each size: peak memory never falls again within one
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        sizes = pool.map(cost, SIZES[:2] if quick else SIZES, chunksize=1)
    claimed = [row for row in rows if row.peer_filter == DEFAULT and row.noise != UNSCALED]
    others = [row for row in rows if row.peer_filter != DEFAULT]
    behind = [row for row in others if row.f1 < row.peer_f1]
    parts = []
    for noise in NOISES:
        of = [row for row in rows if row.peer_filter == DEFAULT and row.noise == noise]
        means = {
            name: statistics.mean(getattr(row, name) for row in of)
            for name in ("f1", "peer_f1", "injected", "estimated", "peer_estimated")
        }
        rates = " against ".join(
            f"{100 * means[name]:.1f} %" for name in ("estimated", "peer_estimated")
        )
        parts.append(
            f"{noise}: F1 {means['f1']:.3f} against {means['peer_f1']:.3f}, rate "
            f"{100 * means['injected']:.1f} % estimated as {rates}"
        )
    ratio = min(row.time_ratio for row in claimed)
    deficit = max((row.peer_f1 - row.f1 for row in behind), default=0)
    never = statistics.mean(each.flags_never_annotated for each in naives)
    figure = (
        f"at least {ratio:.1f}x as fast where 2 % are wrong; {'; '.join(parts)}; against "
        f"cleanlab's other filters F1 is lower in {len(behind)} of {len(others)} runs, by at most "
        f"{deficit:.3f}; "
        f"{sizes[-1].images:,} x 80 in {sizes[-1].seconds:.1f} s and {sizes[-1].peak_gib:.2f} GiB; "
        f"handed unknown as absent, cleanlab's multi-label filter flags {round(never):,} entries "
        "that nobody annotated"
    )
    report(
        claim="Among known tags only, wrong ones are found at least 10 times as fast as by a loop "
        "of cleanlab's filter with its defaults, with an F1 at least equal at the same number of "
        "flags under every kind of noise, and no unknown entry is ever flagged.",
        holds=ratio >= 10
        and all(row.f1 >= row.peer_f1 for row in claimed)
        and not any(row.unknown_flags for row in rows),
        figure=figure,
        rows=[*rows, *naives, *sizes],
        seeds=list(seeds),
        out=out,
    )


if __name__ == "__main__":
    quick_run, out_file = arguments(__doc__ or "")
    main(quick=quick_run, out=out_file)
