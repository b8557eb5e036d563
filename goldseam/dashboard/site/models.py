"""Model versions as the site shows them: from promotions, and from an MLflow registry."""

import dataclasses
from collections.abc import Mapping

from goldseam.dashboard.site.history import History
from goldseam.dashboard.site.runs import Run
from goldseam.results import Estimate, GateDecision

PIPELINE = "pipeline"


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """One registered version.

    Attributes:
        aliases: that point at it: by the registry when it was read, else by the last promotion.
        gates: decisions; empty where only a registry without reasons is known.
        refused: whether a gate kept it from its alias; None where nobody says.
        reasons: of the gates, as the registry keeps them; empty with `gates`.
        metrics: of whole tasks.
        lineage: name → value: digests, commits, revisions.
        run: identity of the run that registered it, where its records were seen.
    """

    registry: str
    model: str
    version: str
    made: float
    aliases: tuple[str, ...]
    gates: tuple[GateDecision, ...]
    refused: bool | None
    reasons: str
    metrics: Mapping[str, Estimate]
    split: str | None
    dataset_digest: str | None
    lineage: Mapping[str, str]
    run: str | None

    @property
    def order(self) -> tuple[str, str, int, float]:
        """By model, then the newest first."""
        number = int(self.version) if self.version.isdigit() else 0
        return self.model, self.registry, -number, -self.made


def model_versions(history: History, runs: tuple[Run, ...]) -> tuple[ModelVersion, ...]:
    """Every version that was seen, by model, the newest first."""
    found = _promoted(history, runs)
    by_registry = {entry.registry for entry in history.versions.values()}
    for key, one in list(found.items()):
        # a registry that was read says itself where its aliases point
        if one.registry in by_registry:
            found[key] = dataclasses.replace(one, aliases=())
    for entry in history.versions.values():
        key = (entry.registry, entry.model, entry.version)
        tags = dict(entry.tags)
        gates = tags.pop("gates", None)
        reasons = tags.pop("gate_reasons", "")
        known = found.get(key)
        lineage = {name: value for name, value in sorted(tags.items()) if name in LINEAGE}
        if known is None:
            known = ModelVersion(
                registry=entry.registry,
                model=entry.model,
                version=entry.version,
                made=entry.created,
                aliases=(),
                gates=(),
                refused=None if gates is None else gates == "failed",
                reasons=reasons,
                metrics=entry.metrics,
                split=None,
                dataset_digest=tags.get("dataset_digest"),
                lineage={},
                run=None,
            )
        found[key] = dataclasses.replace(
            known,
            made=entry.created,
            aliases=entry.aliases,
            metrics=known.metrics or entry.metrics,
            dataset_digest=known.dataset_digest or tags.get("dataset_digest"),
            lineage=lineage | dict(known.lineage),
        )
    return tuple(sorted(found.values(), key=lambda version: version.order))


LINEAGE = {
    "dataset_digest": "dataset",
    "model_digest": "model",
    "recipe_digest": "recipe",
    "git_commit": "git commit",
    "dvc_revision": "DVC revision",
    "image_digest": "image",
    "kfp_run": "Kubeflow run",
}


def _promoted(history: History, runs: tuple[Run, ...]) -> dict[tuple[str, str, str], ModelVersion]:
    """Versions that promotions tell of; the last that moved an alias has it."""
    by_digest = {run.entry.digest("promote"): run for run in reversed(runs)}
    holder: dict[tuple[str, str, str], tuple[float, str]] = {}
    for entry in history.promotions.values():
        if entry.promoted and entry.version is not None:
            place = (entry.registry, entry.model, entry.alias)
            holder[place] = max(holder.get(place, (0.0, "")), (entry.made, entry.version))
    found: dict[tuple[str, str, str], ModelVersion] = {}
    ordered = sorted(history.promotions.items(), key=lambda item: item[1].made)
    for digest, entry in ordered:
        if entry.version is None:
            continue
        run = by_digest.get(digest)
        evaluation = run.evaluation if run is not None else None
        scores = evaluation.models.get(PIPELINE) if evaluation else None
        dataset = evaluation.dataset_digest if evaluation else run.dataset_digest if run else None
        place = (entry.registry, entry.model, entry.alias)
        has_alias = holder.get(place, (0.0, ""))[1] == entry.version
        lineage = {"dataset_digest": dataset, "model_digest": scores and scores.model_digest}
        found[entry.registry, entry.model, entry.version] = ModelVersion(
            registry=entry.registry,
            model=entry.model,
            version=entry.version,
            made=entry.made,
            aliases=(entry.alias,) if has_alias else (),
            gates=entry.gates,
            refused=not all(gate.passed for gate in entry.gates),
            reasons="",
            metrics=scores.metrics if scores else {},
            split=evaluation.split if evaluation else None,
            dataset_digest=dataset,
            lineage={name: value for name, value in lineage.items() if value},
            run=None if run is None else run.key,
        )
    return found
