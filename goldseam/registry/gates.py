"""The gates before promotion: a pure function from metrics to decisions with their reasons."""

from collections.abc import Mapping, Sequence

from goldseam.errors import InvalidConfig, closest
from goldseam.registry.config import Gate
from goldseam.results import Estimate, EvaluationResult, GateDecision

CHAMPION = "champion"
# 0.70 - 0.01 is a hair below 0.69 in binary: a value on the line passes
TOLERANCE = 1e-9
# categories that a reason names
SHOWN = 3


def decide(
    gates: Sequence[Gate], evaluation: EvaluationResult, model: str = "pipeline"
) -> tuple[GateDecision, ...]:
    """Hold a model's metrics against every gate.

    A metric that is undefined on the split fails its gate: what nobody could measure is not shown
    to be good. A comparison with a champion passes while there is none.

    A gate on every category passes if each of them passes. In a comparison, a category that is
    undefined for both models has not become worse, and one that only the other lacks neither; but
    one that only this model lacks fails, and so does a gate that nothing can be compared for.

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
    _require_metric(gate, metrics, model)
    other = gate.not_worse_than
    theirs: Mapping[str, Estimate] = {}
    if other == CHAMPION and other not in evaluation.models:
        return GateDecision(gate.sentence, True, "there is no champion yet")
    if other is not None:
        theirs = evaluation.models[_evaluated(other, evaluation)].metrics
    if gate.by_category:
        passed, reason = _decide_categories(gate, metrics, theirs)
    elif metrics[gate.metric].value is None:
        passed, reason = False, f"{gate.metric} is undefined on this split"
    elif other is not None and _value(theirs, gate.metric) is None:
        passed, reason = False, f"{gate.metric} of {other} is undefined on this split"
    else:
        room, reason = _room(gate, metrics[gate.metric], theirs.get(gate.metric))
        passed = room >= -TOLERANCE
    return GateDecision(gate.sentence, passed, reason)


def _require_metric(gate: Gate, metrics: Mapping[str, Estimate], model: str) -> None:
    known = set(metrics)
    if gate.by_category:
        parts = [name.split(".", 2) for name in metrics]
        known = {f"{part[0]}.{part[1]}.*" for part in parts if len(part) > 2}
    if gate.metric not in known:
        raise InvalidConfig(
            f"gate '{gate.sentence}': the evaluation of '{model}' has no metric '{gate.metric}'.",
            remedy=f"Mend promote.gates in the recipe. Closest: {closest(gate.metric, known)}.",
        )


def _evaluated(model: str, evaluation: EvaluationResult) -> str:
    if model not in evaluation.models:
        raise InvalidConfig(
            f"a gate names the model '{model}', which was not evaluated.",
            remedy=f"Closest: {closest(model, evaluation.models)}; or add it to the evaluation.",
        )
    return model


def _decide_categories(
    gate: Gate, metrics: Mapping[str, Estimate], theirs: Mapping[str, Estimate]
) -> tuple[bool, str]:
    """Whether the condition holds for every category, and what is nearest to failing it."""
    prefix = gate.metric.removesuffix("*")
    judged: dict[str, tuple[float, str]] = {}
    lost: list[str] = []
    both = fresh = 0
    for name in dict.fromkeys((*metrics, *theirs)):
        if not name.startswith(prefix):
            continue
        category, other = name.removeprefix(prefix), theirs.get(name)
        compared = gate.not_worse_than is None or _value(theirs, name) is not None
        if _value(metrics, name) is not None and compared:
            judged[category] = _room(gate, metrics[name], other)
        elif compared:
            lost.append(category)
        elif _value(metrics, name) is None:
            both += 1
        else:
            fresh += 1
    failing = sum(room < -TOLERANCE for room, _ in judged.values()) + len(lost)
    total = len(judged) + len(lost)
    fails = "fails" if failing == 1 else "fail"
    counted = f"{failing} of {total} categories {fails}"
    said = [counted if failing else f"all {total} categories pass"]
    if judged:
        worst = min(judged, key=lambda category: judged[category][0])
        said.append(f"worst: {worst}, {judged[worst][1]}")
    if not total:
        said = ["no category can be judged on this split"]
    if lost:
        rest = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        said.append(f"undefined on this split: {', '.join(lost[:SHOWN])}{rest}")
    if both:
        said.append(f"{both} undefined for both")
    if fresh:
        said.append(f"{fresh} undefined for {gate.not_worse_than} alone")
    return total > 0 and not failing, "; ".join(said)


def _value(metrics: Mapping[str, Estimate], name: str) -> float | None:
    return metrics[name].value if name in metrics else None


def _room(gate: Gate, ours: Estimate, theirs: Estimate | None) -> tuple[float, str]:
    """How far a value is from failing the condition, below 0 where it fails; and the numbers."""
    assert ours.value is not None
    if gate.at_least is not None:
        room = ours.value - gate.at_least
        return room, f"{number(ours)} {'≥' if room >= -TOLERANCE else '<'} {gate.at_least:g}"
    if gate.at_most is not None:
        room = gate.at_most - ours.value
        return room, f"{number(ours)} {'≤' if room >= -TOLERANCE else '>'} {gate.at_most:g}"
    assert theirs is not None
    assert theirs.value is not None
    gain = (ours.value - theirs.value) * (1.0 if ours.better == "higher" else -1.0)
    if gain == 0:
        return gate.margin, f"{number(ours)}, equal to {gate.not_worse_than}"
    word = "better" if gain > 0 else "worse"
    against = f"{number(ours)} against {number(theirs)} of {gate.not_worse_than}"
    return gain + gate.margin, f"{against}: {abs(gain):.4g} {word}, margin {gate.margin:g}"


def number(estimate: Estimate) -> str:
    """A value with its unit."""
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:.4g} {estimate.unit}".rstrip()
