"""The promote stage: gates, a run that says everything, one model version, and the alias."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldseam.artifacts import digest_folder, digest_of, stage_key
from goldseam.errors import DigestMismatch, InvalidConfig, MissingInput
from goldseam.registry.config import PromoteConfig
from goldseam.registry.gates import CHAMPION, decide
from goldseam.registry.model_card import model_card, read_facts
from goldseam.registry.recording import (
    CARD_FILE,
    record_curves,
    record_dataset,
    record_files,
    record_numbers,
    without_secrets,
)
from goldseam.registry.tracking import open_tracking
from goldseam.registry.versions import (
    GATES_TAG,
    LOGGED_TAG,
    REASONS_TAG,
    Candidate,
    alias_version,
    begin_run,
    find_version,
    may_replace,
    move_alias,
    register,
)
from goldseam.results import EvaluationResult, GateDecision, PromotionResult
from goldseam.storage.atomic import atomic_folder, write_text
from goldseam.tracking import Tracking, public_uri

MODEL = "pipeline"
# formats that run code when they are read; a checkpoint of ours never holds one
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz")


def promote(
    config: PromoteConfig,
    evaluation: EvaluationResult,
    model: Path,
    out: Path,
    *,
    recipe: Mapping[str, Any],
    lineage: Mapping[str, str],
    artifacts: Mapping[str, Path] | None = None,
) -> PromotionResult:
    """Record the run, register the model, and make it champion if every gate lets it.

    A model that a gate refuses is registered too, with the tag `goldseam.gates=failed`, and the
    alias stays where it is. The same model from the same recipe and data is registered once,
    however often and from wherever this is called; what a killed call began is finished by the
    next.

    Args:
        config: registry, names and gates.
        evaluation: its model `pipeline` is the one to promote.
        model: that model's checkpoint folder.
        out: the output folder: `result.json` and `model_card.md`.
        recipe: the resolved recipe; secrets in it are hidden.
        lineage: where the model comes from, such as `git_commit`, `dvc_revision`, `kfp_run`.
        artifacts: files or folders that the run keeps too, by name. From results of stages among
            them (`ingest`, `audit`, `finetune`) the model card takes its facts, and from those
            that learned (`pretrain`, `train`, a baseline) the run its training curves.

    Raises:
        InvalidConfig: a gate names an unknown metric or model; the checkpoint holds a pickle.
        MissingInput: `model` is no checkpoint folder.
        DigestMismatch: `model` is not the model that was evaluated.
        RegistryFailed: MLflow refused or cannot be reached.
    """
    artifacts = artifacts or {}
    gates = decide(config.gates, evaluation, MODEL)
    _check_model(model, evaluation)
    recipe = without_secrets(recipe)
    candidate = _candidate(config, evaluation, recipe, lineage)
    key = stage_key(
        PromotionResult.stage, config, evaluation=evaluation.digest, candidate=candidate.key
    )
    done = PromotionResult.completed(out, key)
    with open_tracking(config) as tracking:
        # an output without its version in the registry (a deleted database) is made again
        if done is not None and find_version(tracking, candidate) is not None:
            return done
        facts = read_facts(candidate, model, artifacts)
        card = model_card(facts, evaluation, gates, alias=config.alias)
        run_id, version, registered = _record_and_register(
            tracking,
            config,
            candidate,
            evaluation,
            model=model,
            card=card,
            recipe=recipe,
            artifacts=artifacts,
        )
        gates = _settle_alias(tracking, config, version, evaluation, gates)
        promoted = _points_at(tracking, config, version)
        _note_gates(tracking, config, run_id, version, gates)
    result = PromotionResult(
        key=key,
        digest=digest_of({"candidate": candidate.key, "gates": gates, "promoted": promoted}),
        model_name=config.model_name,
        version=str(version.version),
        alias=config.alias,
        promoted=promoted,
        registered=registered,
        run_id=run_id,
        tracking_uri=public_uri(tracking.uri),
        gates=gates,
    )
    with atomic_folder(out, replace=done is not None) as folder:
        write_text(folder / CARD_FILE, card)
        result = result.write(folder)
    return result.at(out)


def _candidate(
    config: PromoteConfig,
    evaluation: EvaluationResult,
    recipe: Mapping[str, Any],
    lineage: Mapping[str, str],
) -> Candidate:
    return Candidate(
        model_name=config.model_name,
        model_digest=evaluation.models[MODEL].model_digest,
        dataset_digest=evaluation.dataset_digest,
        recipe_digest=digest_of(recipe),
        lineage=without_secrets(lineage),
    )


def _check_model(model: Path, evaluation: EvaluationResult) -> None:
    """Refuse what is no checkpoint, holds a pickle, or is not what was evaluated."""
    if not (model / "config.json").is_file() or not (model / "model.safetensors").is_file():
        raise MissingInput(
            model,
            "is no checkpoint (config.json and model.safetensors)",
            "Name the folder 'checkpoint' in the output of train or finetune.",
        )
    pickles = sorted(p.name for p in model.rglob("*") if p.suffix.lower() in PICKLES)
    if pickles:
        raise InvalidConfig(
            f"{model} holds {pickles[0]}, a format that can run code when it is read.",
            remedy="Register safetensors only: remove that file from the checkpoint.",
        )
    if MODEL not in evaluation.models:
        raise InvalidConfig(
            f"the evaluation has no model '{MODEL}', only {', '.join(evaluation.models)}.",
            remedy=f"Evaluate the model to promote under the name '{MODEL}'.",
        )
    expected, found = evaluation.models[MODEL].model_digest, digest_folder(model)
    if expected != found:
        raise DigestMismatch(
            model, expected, found, "This is not the model that was evaluated: evaluate it first."
        )


def _record_and_register(
    tracking: Tracking,
    config: PromoteConfig,
    candidate: Candidate,
    evaluation: EvaluationResult,
    *,
    model: Path,
    card: str,
    recipe: Mapping[str, Any],
    artifacts: Mapping[str, Path],
) -> tuple[str, Any, bool]:
    """The run, the version, and whether the version is new.

    Files come before the tag `goldseam.logged`, the tag before the version: a version never points
    at half a folder, and a killed call is repeated from the first step that is not known done.
    """
    client = tracking.client
    run_id, ours = begin_run(tracking, candidate, config.experiment)
    record_numbers(tracking, run_id, recipe=recipe, evaluation=evaluation, tags=candidate.tags)
    version = find_version(tracking, candidate)
    # a run that was joined from outside may belong to a version that an earlier run registered
    if version is None and client.get_run(run_id).data.tags.get(LOGGED_TAG) != candidate.key:
        record_dataset(
            tracking,
            run_id,
            name=candidate.lineage.get("dataset_name", "dataset"),
            digest=candidate.dataset_digest,
            uri=candidate.lineage.get("dataset_uri", ""),
        )
        record_curves(tracking, run_id, artifacts)
        record_files(
            tracking,
            run_id,
            model=model,
            card=card,
            recipe=recipe,
            evaluation=evaluation,
            artifacts=artifacts,
        )
        client.set_tag(run_id, LOGGED_TAG, candidate.key)
    version, registered = register(tracking, candidate, run_id)
    if ours:
        client.set_terminated(run_id, "FINISHED")
    return run_id, version, registered


def _settle_alias(
    tracking: Tracking,
    config: PromoteConfig,
    version: Any,
    evaluation: EvaluationResult,
    gates: tuple[GateDecision, ...],
) -> tuple[GateDecision, ...]:
    """Move the alias if all gates pass; a champion that changed meanwhile is one more gate."""
    if not all(gate.passed for gate in gates):
        return gates
    current = alias_version(tracking, config.model_name, config.alias)
    compared = any(gate.not_worse_than == CHAMPION for gate in config.gates)
    refusal = may_replace(current, version, evaluation, compared=compared)
    if refusal is not None:
        return (*gates, refusal)
    expected = None if current is None else str(current.version)
    moved = move_alias(tracking, config.model_name, config.alias, str(version.version), expected)
    if moved:
        return gates
    reason = "the alias was moved by somebody else at this very moment; run promote again"
    return (*gates, GateDecision("champion unchanged", False, reason))


def _points_at(tracking: Tracking, config: PromoteConfig, version: Any) -> bool:
    current = alias_version(tracking, config.model_name, config.alias)
    return current is not None and str(current.version) == str(version.version)


def _note_gates(
    tracking: Tracking,
    config: PromoteConfig,
    run_id: str,
    version: Any,
    gates: tuple[GateDecision, ...],
) -> None:
    """Say on run and version how the gates went, and why."""
    # an alias that somebody else took meanwhile is a reason, but no gate of the recipe
    passed = "passed" if all(gate.passed for gate in gates[: len(config.gates)]) else "failed"
    reasons = json.dumps([dataclasses.asdict(gate) for gate in gates])
    client = tracking.client
    for name, value in ((GATES_TAG, passed), (REASONS_TAG, reasons[:5000])):
        client.set_model_version_tag(config.model_name, str(version.version), name, value)
        client.set_tag(run_id, name, value)
