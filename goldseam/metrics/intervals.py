"""Bootstrap intervals of a metric, and of the difference of two models on the same images.

Images of one group (scene, patient, map block) resemble each other, so whole groups are drawn.
"""

import numpy as np

from goldseam.metrics.sums import Floats, InvalidMetricInput, Metric
from goldseam.results import Estimate


def bootstrap(metric: Metric, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Every score of a metric with its percentile 95 % interval.

    Args:
        metric: with the samples of one split.
        resamples: how many times the groups are drawn, with replacement.
        seed: of the draws; the same seed and groups give the same draws for every metric.

    Returns:
        Estimate by key. The interval is None with fewer than two groups, and where the score is
        defined in fewer than half of the draws (of the others the interval is made).
    """
    return _estimates(metric, metric.compute_many(_draws(len(metric.groups), resamples, seed)))


def paired_difference(
    metric_a: Metric, metric_b: Metric, resamples: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """`a` minus `b` for every score of both, with the interval of the difference.

    Both are scored on the same draws of groups, so that what is hard for both cancels out.

    Raises:
        InvalidMetricInput: the two have seen different groups.
    """
    if metric_a.groups != metric_b.groups:
        different = sorted(set(metric_a.groups) ^ set(metric_b.groups))
        raise InvalidMetricInput(
            f"the two metrics differ in their groups; only one has {', '.join(different[:5])}.",
            remedy="Score both models on the same images.",
        )
    weights_RG = _draws(len(metric_a.groups), resamples, seed)
    values_a, values_b = metric_a.compute_many(weights_RG), metric_b.compute_many(weights_RG)
    differences = {key: values_a[key] - values_b[key] for key in values_a if key in values_b}
    return _estimates(metric_a, differences)


def _draws(groups: int, resamples: int, seed: int) -> Floats:
    """How often each group counts: first once each, then `resamples` draws; `R G`."""
    once_1G = np.ones((1, groups))
    if groups < 2:
        return once_1G
    drawn_RG = np.random.default_rng(seed).multinomial(
        groups, np.full(groups, 1 / groups), resamples
    )
    return np.concatenate([once_1G, drawn_RG.astype(np.float64)])


def _estimates(metric: Metric, values: dict[str, Floats]) -> dict[str, Estimate]:
    estimates = {}
    for key, value_R in values.items():
        unit, better = metric.describe(key)
        value = None if np.isnan(value_R[0]) else float(value_R[0])
        defined_R = value_R[1:][~np.isnan(value_R[1:])]
        low = high = None
        if value is not None and defined_R.size and 2 * defined_R.size >= value_R.size - 1:
            low, high = (float(end) for end in np.percentile(defined_R, (2.5, 97.5)))
        estimates[key] = Estimate(value=value, low=low, high=high, unit=unit, better=better)
    return estimates
