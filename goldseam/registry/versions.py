"""Model versions: each registered exactly once, and an alias that moves by compare-and-swap."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from goldseam.artifacts import digest_of
from goldseam.errors import InvalidConfig
from goldseam.registry.gates import CHAMPION
from goldseam.registry.recording import MODEL_FOLDER
from goldseam.results import EvaluationResult, GateDecision
from goldseam.tracking import Tracking, public_uri

KEY_TAG = "goldseam.promotion_key"
LOGGED_TAG = "goldseam.logged"
GATES_TAG = "goldseam.gates"
REASONS_TAG = "goldseam.gate_reasons"
PROMOTED_TAG = "goldseam.promoted"
MODEL_TAG = "goldseam.model_digest"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What may become a model version.

    Attributes:
        model_name: the registered model.
        model_digest: of the checkpoint folder.
        dataset_digest: what it was trained and evaluated on.
        recipe_digest: of the resolved recipe.
        lineage: more names of where it comes from (git commit, runs, images).
    """

    model_name: str
    model_digest: str
    dataset_digest: str
    recipe_digest: str
    lineage: Mapping[str, str]

    @property
    def key(self) -> str:
        """Equal keys are the same version: the model, from the same recipe and data."""
        return digest_of(
            {
                "model_name": self.model_name,
                "model": self.model_digest,
                "dataset": self.dataset_digest,
                "recipe": self.recipe_digest,
            }
        )

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run and of the version."""
        tags = {f"goldseam.{name}": value for name, value in self.lineage.items()}
        if "git_commit" in self.lineage:
            tags["mlflow.source.git.commit"] = self.lineage["git_commit"]
        return tags | {
            KEY_TAG: self.key,
            MODEL_TAG: self.model_digest,
            "goldseam.dataset_digest": self.dataset_digest,
            "goldseam.recipe_digest": self.recipe_digest,
        }


def begin_run(tracking: Tracking, candidate: Candidate, experiment: str) -> tuple[str, bool]:
    """The run of a candidate: the one around us, the one begun before, or a new one.

    Returns:
        Its id, and whether it is ours to end (a run named by `MLFLOW_RUN_ID` is not).

    Raises:
        InvalidConfig: `MLFLOW_RUN_ID` names a run that is not at this address.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client
    if joined := os.environ.get("MLFLOW_RUN_ID"):
        try:
            client.get_run(joined)
        except MlflowException as error:
            raise InvalidConfig(
                f"MLFLOW_RUN_ID is '{joined}', but {public_uri(tracking.uri)} has no such run.",
                remedy="Leave promote.tracking_uri out, so that MLFLOW_TRACKING_URI counts, "
                "or unset MLFLOW_RUN_ID.",
            ) from error
        return joined, False
    experiment_id = tracking.experiment(experiment)
    found = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{candidate.key}'")
    if found:
        return str(found[-1].info.run_id), True
    tags = {KEY_TAG: candidate.key, "mlflow.source.name": "goldseam"}
    name = f"{candidate.model_name}-{candidate.model_digest.removeprefix('sha256:')[:8]}"
    run = client.create_run(experiment_id, tags=tags, run_name=name)
    return str(run.info.run_id), True


def find_version(tracking: Tracking, candidate: Candidate) -> Any | None:
    """The model version that was registered from this candidate, or None."""
    found = tracking.client.search_model_versions(
        f"name = '{candidate.model_name}' and tags.`{KEY_TAG}` = '{candidate.key}'"
    )
    return min(found, key=lambda version: int(version.version), default=None)


def register(tracking: Tracking, candidate: Candidate, run_id: str) -> tuple[Any, bool]:
    """Register the model folder of a run as a version, unless somebody did so before.

    On a server, where no lock of ours reaches, two processes may register at once: then the lower
    number stays and the other takes its own back.

    Returns:
        The version, and whether this call made it.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client
    if (found := find_version(tracking, candidate)) is not None:
        return found, False
    try:
        client.create_registered_model(candidate.model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        candidate.model_name,
        source=f"runs:/{run_id}/{MODEL_FOLDER}",
        run_id=run_id,
        tags=candidate.tags,
    )
    first = find_version(tracking, candidate)
    if first is not None and int(first.version) < int(made.version):
        client.delete_model_version(candidate.model_name, str(made.version))
        return first, False
    return made, True


def alias_version(tracking: Tracking, model_name: str, alias: str) -> Any | None:
    """The version that an alias points at, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return tracking.client.get_model_version_by_alias(model_name, alias)
    except MlflowException as error:
        # no such model; no such alias, for which SQL stores and servers have different codes
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def move_alias(
    tracking: Tracking, model_name: str, alias: str, version: str, expected: str | None
) -> bool:
    """Point the alias at `version` if it still points at `expected` (None: nowhere).

    Under the lock of a SQLite registry nobody comes between look and move. A server has no such
    operation; there the window between the two requests remains.

    Returns:
        False when somebody else moved it; then nothing is changed.
    """
    current = alias_version(tracking, model_name, alias)
    if (None if current is None else str(current.version)) != expected:
        return False
    tracking.client.set_registered_model_alias(model_name, alias, version)
    tracking.client.set_model_version_tag(model_name, version, PROMOTED_TAG, "true")
    return True


def may_replace(
    current: Any | None, version: Any, evaluation: EvaluationResult, *, compared: bool
) -> GateDecision | None:
    """Whether the champion of now is the one that the evaluation knew; None when it is.

    Training takes hours, and another run may be promoted meanwhile. This is the compare of the
    compare-and-swap, over that whole time.

    Args:
        current: the version that carries the alias now.
        version: the version that wants it.
        evaluation: its metrics; its `champion`, if any, is the one that the gates compared with.
        compared: whether a gate compares with the champion.
    """
    name = "champion unchanged since the evaluation"
    known = evaluation.models.get(CHAMPION)
    if current is None:
        if known is None:
            return None
        return GateDecision(name, False, "the champion was withdrawn meanwhile; evaluate again")
    if str(current.version) == str(version.version):
        return None
    if known is not None:
        if current.tags.get(MODEL_TAG) == known.model_digest:
            return None
        reason = f"version {current.version} became champion meanwhile; evaluate again"
        return GateDecision(name, False, reason)
    if compared:
        reason = f"version {current.version} is champion, but was not evaluated; evaluate again"
        return GateDecision(name, False, reason)
    if version.tags.get(PROMOTED_TAG) == "true":
        reason = f"version {version.version} was champion before version {current.version} was"
        return GateDecision(name, False, f"{reason}; the same run again does not take it back")
    return None
