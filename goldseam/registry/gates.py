"""The gates before promotion: a pure function from metrics to decisions with their reasons."""

from collections.abc import Sequence

from goldseam.errors import InvalidConfig, closest
from goldseam.registry.config import Gate
from goldseam.results import Estimate, EvaluationResult, GateDecision

CHAMPION = "champion"
# 0.70 - 0.01 is a hair below 0.69 in binary: a value on the line passes
TOLERANCE = 1e-9


def decide(
    gates: Sequence[Gate], evaluation: EvaluationResult, model: str = "pipeline"
) -> tuple[GateDecision, ...]:
    """Hold a model's metrics against every gate.

    A metric that is undefined on the split fails its gate: what nobody could measure is not shown
    to be good. A comparison with a champion passes while there is none.

    Args:
        gates: the conditions.
        evaluation: the metrics of every model.
        model: name of the model that wants to pass.

    Returns:
        One decision a gate, in their order.

    Raises:
        InvalidConfig: a gate names a metric or a model that was not evaluated.
    """
    return tuple(_decide(gate, evaluation, model) for gate in gates)


def _decide(gate: Gate, evaluation: EvaluationResult, model: str) -> GateDecision:
    metrics = evaluation.models[_evaluated(model, evaluation)].metrics
    if gate.metric not in metrics:
        raise InvalidConfig(
            f"gate '{gate.sentence}': the evaluation of '{model}' has no metric '{gate.metric}'.",
            remedy=f"Mend promote.gates in the recipe. Closest: {closest(gate.metric, metrics)}.",
        )
    ours = metrics[gate.metric]
    if gate.not_worse_than is not None:
        passed, reason = _compare(gate, gate.not_worse_than, ours, evaluation)
    elif ours.value is None:
        passed, reason = False, f"{gate.metric} is undefined on this split"
    elif gate.at_least is not None:
        passed = ours.value >= gate.at_least - TOLERANCE
        reason = f"{number(ours)} {'≥' if passed else '<'} {gate.at_least:g}"
    else:
        assert gate.at_most is not None
        passed = ours.value <= gate.at_most + TOLERANCE
        reason = f"{number(ours)} {'≤' if passed else '>'} {gate.at_most:g}"
    return GateDecision(gate.sentence, passed, reason)


def _evaluated(model: str, evaluation: EvaluationResult) -> str:
    if model not in evaluation.models:
        raise InvalidConfig(
            f"a gate names the model '{model}', which was not evaluated.",
            remedy=f"Closest: {closest(model, evaluation.models)}; or add it to the evaluation.",
        )
    return model


def _compare(
    gate: Gate, other: str, ours: Estimate, evaluation: EvaluationResult
) -> tuple[bool, str]:
    """Whether `ours` is at most `margin` worse than the other model's value."""
    if other == CHAMPION and other not in evaluation.models:
        return True, "there is no champion yet"
    theirs = evaluation.models[_evaluated(other, evaluation)].metrics.get(gate.metric)
    if ours.value is None:
        return False, f"{gate.metric} is undefined on this split"
    if theirs is None or theirs.value is None:
        return False, f"{gate.metric} of {other} is undefined on this split"
    sign = 1.0 if ours.better == "higher" else -1.0
    gain = sign * (ours.value - theirs.value)
    passed = gain >= -gate.margin - TOLERANCE
    if gain == 0:
        return passed, f"{number(ours)}, equal to {other}"
    word = "better" if gain > 0 else "worse"
    reason = f"{number(ours)} against {number(theirs)} of {other}: {abs(gain):.4g} {word}"
    return passed, f"{reason}, margin {gate.margin:g}"


def number(estimate: Estimate) -> str:
    """A value with its unit."""
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:.4g} {estimate.unit}".rstrip()
