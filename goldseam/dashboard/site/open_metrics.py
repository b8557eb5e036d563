"""The latest numbers of every dataset and model as OpenMetrics text, for Prometheus.

https://prometheus.io/docs/specs/om/open_metrics_spec/. Only gauges without timestamps are written,
so the text is valid in Prometheus' older format as well. An unknown value has no sample: it is
never written as 0.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

from goldseam.dashboard.site.findings import is_consistency, open_findings
from goldseam.dashboard.site.history import AuditEntry, History
from goldseam.dashboard.site.models import ModelVersion, model_versions
from goldseam.dashboard.site.runs import GateEvent, Run, gate_events, runs_of
from goldseam.dashboard.site.versions import Version, known_share, versions_of
from goldseam.results import Estimate, Strength

METRICS_FILE = "metrics.txt"
STRENGTHS: tuple[Strength, ...] = ("weak", "moderate", "strong")
Sample = tuple[dict[str, str], float]


@dataclasses.dataclass(frozen=True)
class Family:
    """One gauge; `unit` is the end of its name, as OpenMetrics wants it."""

    name: str
    help: str
    unit: str = ""


COVERAGE = Family(
    "goldseam_label_coverage_ratio",
    "Share of images on which somebody looked; category is empty for a whole task.",
    "ratio",
)
NOISE = Family(
    "goldseam_noise_rate_ratio", "Estimated noise of a task; category is empty for all.", "ratio"
)
NOISE_LOW = Family(
    "goldseam_noise_rate_low_ratio", "Lower end of the interval of the noise rate.", "ratio"
)
NOISE_HIGH = Family(
    "goldseam_noise_rate_high_ratio", "Upper end of the interval of the noise rate.", "ratio"
)
DISPLACEMENT = Family(
    "goldseam_noise_displacement_pixels",
    "Estimated shift or growth of the labels of a task.",
    "pixels",
)
ERRORS = Family("goldseam_label_error_ratio", "Estimated share of wrong labels of a task.", "ratio")
CONTRADICTIONS = Family(
    "goldseam_label_contradiction_ratio",
    "Estimated share of labels of a task that contradict another label of their image.",
    "ratio",
)
FINDINGS = Family("goldseam_open_findings", "Suspicious labels of the latest audit.")
MISSINGNESS = Family(
    "goldseam_missingness_findings", "Dependences of being labeled on something, by strength."
)
LEAKS = Family("goldseam_leaking_groups", "Groups of alike images that cross splits.")
IMAGES = Family("goldseam_dataset_images", "Images of the latest audited version.")
VERSIONS = Family("goldseam_dataset_versions", "Versions of the dataset that were audited.")
AUDITED = Family("goldseam_audit_timestamp_seconds", "When the latest audit was made.", "seconds")
GATE = Family("goldseam_gate_passed", "1 when the gate was open the last time it decided, else 0.")
RUNS = Family("goldseam_runs", "Runs that were seen, by how they ended.")
MODEL = Family(
    "goldseam_model_metric",
    "Metric of the latest model version and of those with an alias, in the metric's unit.",
)
MODEL_LOW = Family("goldseam_model_metric_low", "Lower end of the metric's 95 % interval.")
MODEL_HIGH = Family("goldseam_model_metric_high", "Upper end of the metric's 95 % interval.")
FAMILIES = (
    COVERAGE, NOISE, NOISE_LOW, NOISE_HIGH, DISPLACEMENT, ERRORS, CONTRADICTIONS, FINDINGS,
    MISSINGNESS, LEAKS, IMAGES, VERSIONS, AUDITED, GATE, RUNS, MODEL, MODEL_LOW, MODEL_HIGH,
)  # fmt: skip


def open_metrics(history: History) -> str:
    """The text of `metrics.txt`; equal histories give equal text."""
    runs = runs_of(history)
    samples: dict[str, list[Sample]] = {family.name: [] for family in FAMILIES}

    def put(family: Family, labels: dict[str, str], value: float | None) -> None:
        if value is not None:
            samples[family.name].append((labels, value))

    for name, versions in versions_of(history).items():
        for family, labels, value in _dataset(versions):
            put(family, {"dataset": name, **labels}, value)
    for event in _last(gate_events(history, runs)):
        labels = {"dataset": event.dataset or "", "gate": event.gate}
        put(GATE, labels, float(event.passed))
    for (dataset, status), number in sorted(_ended(runs).items()):
        put(RUNS, {"dataset": dataset, "status": status}, number)
    for version in _current(model_versions(history, runs)):
        for family, labels, value in _model(version):
            put(family, labels, value)
    lines = [line for family in FAMILIES for line in _family(family, samples[family.name])]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _dataset(
    versions: tuple[Version, ...],
) -> Iterator[tuple[Family, dict[str, str], float | None]]:
    latest = versions[-1].entry
    for row in latest.coverage:
        place = {"split": row.split, "task": row.task, "category": row.category or ""}
        yield COVERAGE, place, known_share([row])
    yield from _noise(latest)
    for error in latest.errors:
        if not error.error_rate.unit:
            place = {"task": error.task, "category": error.category or "", "method": error.method}
            family = CONTRADICTIONS if is_consistency(error.method) else ERRORS
            yield family, place, error.error_rate.value
    earlier = [version.entry for version in versions[:-1]]
    for (task, issue), number in open_findings(latest, earlier).items():
        yield FINDINGS, {"task": task, "issue": issue}, number
    if latest.tested:
        strengths = Counter(test.strength for test in latest.missingness)
        for strength in STRENGTHS:
            yield MISSINGNESS, {"strength": strength}, strengths[strength]
    if latest.duplicates is not None:
        yield LEAKS, {}, latest.duplicates.leaks
    for split, images in latest.rows.items():
        yield IMAGES, {"split": split}, images
    yield VERSIONS, {}, len(versions)
    yield AUDITED, {}, latest.made


def _noise(audit: AuditEntry) -> Iterator[tuple[Family, dict[str, str], float | None]]:
    for one in audit.noise:
        place = {
            "task": one.task,
            "category": one.category or "",
            "kind": one.kind,
            "method": one.method,
        }
        if one.rate.unit == "px":
            yield DISPLACEMENT, place, one.rate.value
        elif not one.rate.unit and one.rate.value is not None:
            yield NOISE, place, one.rate.value
            yield NOISE_LOW, place, one.rate.low
            yield NOISE_HIGH, place, one.rate.high


def _last(events: tuple[GateEvent, ...]) -> list[GateEvent]:
    """The latest decision of each gate on each dataset; where no dataset is known, of none."""
    last: dict[tuple[str, str], GateEvent] = {}
    for event in events:  # the newest first
        if event.dataset is not None:
            last.setdefault((event.dataset, event.gate), event)
    return [last[key] for key in sorted(last)]


def _ended(runs: tuple[Run, ...]) -> Mapping[tuple[str, str], int]:
    return Counter((run.dataset or "", run.status) for run in runs)


def _current(versions: tuple[ModelVersion, ...]) -> Iterator[ModelVersion]:
    seen = set()
    for version in versions:
        place = (version.registry, version.model)
        if place not in seen or version.aliases:
            yield version
        seen.add(place)


def _model(version: ModelVersion) -> Iterator[tuple[Family, dict[str, str], float | None]]:
    for metric, estimate in version.metrics.items():
        labels = {
            "model": version.model,
            "version": version.version,
            "registry": version.registry,
            "alias": ",".join(version.aliases),
            "metric": metric,
        }
        yield from _estimate(labels, estimate)


def _estimate(
    labels: dict[str, str], estimate: Estimate
) -> Iterator[tuple[Family, dict[str, str], float | None]]:
    if estimate.value is not None:
        yield MODEL, labels, estimate.value
        yield MODEL_LOW, labels, estimate.low
        yield MODEL_HIGH, labels, estimate.high


def _family(family: Family, samples: list[Sample]) -> Iterator[str]:
    """Lines of one family; none where it has no sample. Of equal labels the first counts."""
    if not samples:
        return
    yield f"# TYPE {family.name} gauge"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escaped(family.help)}"
    written = set()
    for labels, value in samples:
        text = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
        if text not in written:
            written.add(text)
            number = repr(float(value)) if value != int(value) else str(int(value))
            yield f"{family.name}{{{text}}} {number}" if text else f"{family.name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
