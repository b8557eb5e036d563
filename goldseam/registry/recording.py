"""What an MLflow run says: recipe, metrics, files; within MLflow's limits, without secrets."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goldseam.artifacts import canonical_json
from goldseam.errors import MissingInput
from goldseam.export.servable import SERVING_FILES, write_serving_files
from goldseam.results import Estimate, EvaluationResult, TrainingResult
from goldseam.tracking import METRIC_BATCH, Tracking, public_uri, registry_keys

MODEL_FOLDER, CARD_FILE = "model", "model_card.md"
# what a registered model folder holds beside the checkpoint's own files
ADDED_FILES = (CARD_FILE, *SERVING_FILES)
CHECKPOINT_FOLDER = "checkpoint"
# MLflow's limits: characters of a parameter and a tag; parameters of one log_batch
PARAM_LENGTH, TAG_LENGTH, PARAM_BATCH = 6000, 5000, 100
SECRET = re.compile(r"(?i)passw|secret|credential|(^|_)token$|(api|access|private)_?key$")
HIDDEN = "***"


def without_secrets(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as plain JSON values, with secrets and passwords inside addresses hidden."""
    plain: dict[str, Any] = _hide(json.loads(canonical_json(dict(recipe))))
    return plain


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN if SECRET.search(key) and isinstance(item, str) else _hide(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return public_uri(value) if isinstance(value, str) else value


def parameters(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The recipe flattened to `section.key` → text; a list is one parameter, written as JSON."""

    def leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                yield from leaves(item, (*path, str(key)))
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield ".".join(path), _cut(text, PARAM_LENGTH)

    flat = dict(leaves(recipe, ()))
    names = registry_keys(flat)
    return {names[name]: text for name, text in flat.items()}


def metric_values(evaluation: EvaluationResult) -> dict[str, float]:
    """Every defined number of an evaluation under the name it has in the registry.

    The pipeline's metric `cover.miou` keeps its name, with `cover.miou.low` and `.high` for the
    interval; another model's is `scratch/cover.miou`; the paired difference to it is
    `minus_scratch/cover.miou`.
    """
    values: dict[str, float] = {}

    def add(prefix: str, metrics: Mapping[str, Estimate]) -> None:
        for name, estimate in metrics.items():
            for suffix, number in (
                ("", estimate.value),
                (".low", estimate.low),
                (".high", estimate.high),
            ):
                if number is not None:
                    values.setdefault(f"{prefix}{name}{suffix}", number)

    for model, scores in evaluation.models.items():
        add("" if model == "pipeline" else f"{model}/", scores.metrics)
    for other, differences in evaluation.differences.items():
        add(f"minus_{other}/", differences)
    names = registry_keys(values)
    return {names[name]: number for name, number in values.items()}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def record_numbers(
    tracking: Tracking,
    run_id: str,
    *,
    recipe: Mapping[str, Any],
    evaluation: EvaluationResult,
    tags: Mapping[str, str],
) -> None:
    """Log parameters, metrics and tags; a second time changes nothing."""
    from mlflow.entities import Metric, Param, RunTag

    client = tracking.client
    run = client.get_run(run_id)
    # parameters cannot change, and a joined run may hold some of the same name
    params = [Param(k, v) for k, v in parameters(recipe).items() if k not in run.data.params]
    # the run's own start as the time: repeated logging after a crash writes the same points
    time = run.info.start_time
    metrics = [Metric(name, value, time, 0) for name, value in metric_values(evaluation).items()]
    run_tags = [RunTag(key, _cut(value, TAG_LENGTH)) for key, value in tags.items()]
    client.log_batch(run_id, tags=run_tags)
    for start in range(0, len(params), PARAM_BATCH):
        client.log_batch(run_id, params=params[start : start + PARAM_BATCH])
    for start in range(0, len(metrics), METRIC_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRIC_BATCH])


def record_curves(tracking: Tracking, run_id: str, artifacts: Mapping[str, Path]) -> None:
    """Log the curve of every stage among the artifacts that learned: `curves/train/cover.miou`."""
    from mlflow.entities import Metric

    time = tracking.client.get_run(run_id).info.start_time
    points: list[Metric] = []
    for task, folder in artifacts.items():
        try:
            history = TrainingResult.read(folder).history
        except MissingInput:  # another stage's output, or a file
            continue
        known = dict.fromkeys(f"curves/{task}/{name}" for entry in history for name in entry)
        names = registry_keys(known)
        points += [
            Metric(names[f"curves/{task}/{name}"], value, time, int(entry["step"] or 0))
            for entry in history
            for name, value in entry.items()
            if name != "step" and value is not None
        ]
    for start in range(0, len(points), METRIC_BATCH):
        tracking.client.log_batch(run_id, metrics=points[start : start + METRIC_BATCH])


def record_dataset(tracking: Tracking, run_id: str, *, name: str, digest: str, uri: str) -> None:
    """Name the dataset as an input of the run, as MLflow's own pages show it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": public_uri(uri)})
    # MLflow keeps 36 characters of a digest; the whole one is a tag of the run
    short = digest.removeprefix("sha256:")[:36]
    dataset = Dataset(name=name, digest=short, source_type="local", source=source)
    context = InputTag("mlflow.data.context", "training")
    tracking.client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def record_files(
    tracking: Tracking,
    run_id: str,
    *,
    model: Path,
    card: str,
    recipe: Mapping[str, Any],
    evaluation: EvaluationResult,
    artifacts: Mapping[str, Path],
) -> None:
    """Log the model folder, the recipe, the evaluation, and what else is given.

    Beside the checkpoint's own files stand the model card and what MLflow needs to serve it.
    """
    import yaml

    client = tracking.client
    client.log_artifacts(run_id, str(model), MODEL_FOLDER)
    client.log_text(run_id, card, f"{MODEL_FOLDER}/{CARD_FILE}")
    with tempfile.TemporaryDirectory() as folder:
        write_serving_files(model, Path(folder), run_id=run_id)
        client.log_artifacts(run_id, folder, MODEL_FOLDER)
    text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=100)
    client.log_text(run_id, text, "recipe.yaml")
    with tempfile.TemporaryDirectory() as folder:
        evaluation.write(Path(folder))
        client.log_artifacts(run_id, folder, "evaluation")
    for name, path in artifacts.items():
        for part in sorted(path.iterdir()) if path.is_dir() else [path]:
            # the model is there already, and what it was made from and compared with only weighs
            if part.name != CHECKPOINT_FOLDER and part.exists():
                client.log_artifact(run_id, str(part), f"artifacts/{name}")
