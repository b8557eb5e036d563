"""Cross-fitting: each image is predicted by a model that saw no label of its group.

Groups of all splits are dealt to folds, since labels of the test split can be wrong as well. Models
take a fixed number of steps; nothing that was held out chooses among them.
"""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from goldseam.artifacts import RESULT_FILE, digest_folder, stage_key
from goldseam.audit.label_side import read_label_side
from goldseam.audit.predictions.config import HUB, PredictionsConfig
from goldseam.audit.predictions.embeddings import embed_images, write_embeddings
from goldseam.audit.predictions.job import Job, Predictor, base_rates, prepare
from goldseam.audit.predictions.layout import PredictionNotes
from goldseam.audit.predictions.opening import open_predictions
from goldseam.audit.predictions.pairing import labeled_predictions
from goldseam.audit.predictions.pictures import image_batches
from goldseam.audit.predictions.scores import Scores, score_maps, score_tags
from goldseam.audit.predictions.writing import write_file
from goldseam.dataset.codecs import Array
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig
from goldseam.progress import progress
from goldseam.results import CrossfitResult
from goldseam.storage.atomic import resumable_folder

Features = Literal["train", "checkpoint", "hub"]


def crossfit(
    config: PredictionsConfig, dataset: Dataset, out: Path, *, checkpoint: Path | None = None
) -> CrossfitResult:
    """Predict every stored image out of fold; `open_predictions(out, …)` reads what comes out.

    A run that was killed goes on with the fold that it was in.

    Args:
        config: the options.
        dataset: an open dataset.
        out: folder to make.
        checkpoint: folder of a frozen network, for `features: checkpoint` or `auto`.

    Raises:
        NothingToPredict: no task can be predicted; says why.
        InvalidConfig: a checkpoint is asked for and none is given.
        InvalidDataset: there is no such task, or a label or picture cannot be decoded.
        MissingInput: there is no such checkpoint or backbone.
    """
    features = _features(config, checkpoint)
    inputs = {"dataset": dataset.info.digest}
    if features == "checkpoint" and checkpoint is not None:
        inputs["checkpoint"] = digest_folder(checkpoint)
    key = stage_key(CrossfitResult.stage, config, **inputs)
    if (done := CrossfitResult.completed(out, key)) is not None:
        return done
    job = prepare(config, dataset, read_label_side(dataset))
    with resumable_folder(out, key) as folder:
        # a kill between the result and the renaming leaves both here: nothing is left to do
        if not (folder / RESULT_FILE).is_file():
            seen = _seen(job, features, checkpoint)
            PredictionNotes(
                out_of_fold=not seen,
                made_by=f"goldseam crossfit, {features}, {job.folds} folds",
                stretched=job.size is not None,
            ).write(folder)
            work = folder / "work"
            work.mkdir(exist_ok=True)
            _predict_folds(job, _source(job, features, checkpoint, folder, work), folder, work)
            scores = _scores(job, folder)
            shutil.rmtree(work)
            CrossfitResult(
                key=key,
                digest=digest_folder(folder),
                dataset_digest=dataset.info.digest,
                features=features,
                folds=job.folds,
                images=int((job.fold_N >= 0).sum()),
                tasks=job.tasks,
                skipped=job.skipped,
                seen=seen,
                scores=scores,
            ).write(folder)
    return CrossfitResult.read(out)


def _features(config: PredictionsConfig, checkpoint: Path | None) -> Features:
    if config.features.startswith(HUB):
        return "hub"
    if config.features == "checkpoint" and checkpoint is None:
        raise InvalidConfig(
            "features 'checkpoint' was asked for, and no checkpoint is given.",
            remedy="Name one with --checkpoint, or use features: train.",
        )
    return "train" if config.features == "train" or checkpoint is None else "checkpoint"


def _seen(job: Job, features: Features, checkpoint: Path | None) -> tuple[str, ...]:
    """Tasks whose labels of this dataset the frozen network was trained on."""
    from goldseam.models.checkpoint import CheckpointConfig

    if features != "checkpoint" or checkpoint is None:
        return ()
    trained = CheckpointConfig.read(checkpoint)
    if trained.dataset_digest != job.dataset.info.digest:
        return ()
    return tuple(name for name in job.tasks if name in trained.tasks)


def _source(
    job: Job, features: Features, checkpoint: Path | None, folder: Path, work: Path
) -> Callable[[int], Predictor]:
    """What makes the model of a fold; embeddings are written on the way."""
    if features == "train":
        from goldseam.audit.predictions.training import train_fold

        def trained(fold: int) -> Predictor:
            model = train_fold(job, fold, work)
            if fold == 0:
                write_embeddings(job, embed_images(job, model), folder)
            return model

        return trained
    from goldseam.audit.predictions.frozen import (
        FrozenNetwork,
        cache_features,
        cached_vectors,
        fit_fold,
        load_network,
    )

    @functools.cache
    def network() -> FrozenNetwork:
        loaded = load_network(job.config.features, checkpoint, job.config.device)
        cache_features(job, loaded, work / "features")
        write_embeddings(job, cached_vectors(job, work / "features"), folder)
        return loaded

    return lambda fold: fit_fold(job, fold, network(), work / "features")


def _predict_folds(job: Job, source: Callable[[int], Predictor], folder: Path, work: Path) -> None:
    """Write `fold-<k>.parquet` for each fold that has none yet."""
    for fold in range(job.folds):
        name = f"fold-{fold}.parquet"
        if not (folder / name).is_file():
            _write_fold(job, fold, source(fold), work / name)
            (work / name).replace(folder / name)
        shutil.rmtree(work / f"fold-{fold}", ignore_errors=True)


def _write_fold(job: Job, fold: int, predictor: Predictor, path: Path) -> None:
    rates = {
        task: base_rates(job, task, fold)
        for task, spec in job.specs.items()
        if spec.kind is Kind.TAGS
    }
    inside_N = job.fold_N == fold
    with (
        write_file(path, job.dataset.info, job.tasks) as writer,
        progress(f"predict fold {fold + 1} of {job.folds}", int(inside_N.sum())) as step,
    ):
        for position_B, batch in image_batches(
            job.dataset, job.labels, inside_N, (), batch_size=job.config.batch_size, size=job.size
        ):
            found = predictor.predict(batch.images_BCHW)
            _require_finite(found, fold)
            for task, rate in rates.items():
                found[task][:, list(rate)] = list(rate.values())
            for index, position in enumerate(position_B.tolist()):
                row = {task: values[index] for task, values in found.items()}
                writer.add(job.labels.image_ids[position].as_py(), row)
            step(len(batch))


def _require_finite(found: dict[str, Array], fold: int) -> None:
    for task, values in found.items():
        if not np.isfinite(values).all():
            raise InvalidConfig(
                f"the model of fold {fold} predicts a value of task '{task}' that is not finite.",
                remedy="It diverged: lower predictions.optimizer.learning_rate.",
            )


def _scores(job: Job, folder: Path) -> Scores:
    """Every task, on the known labels of all splits."""
    predictions = open_predictions(folder, job.dataset.info)
    scores: Scores = {}
    for task, spec in job.specs.items():
        if spec.kind is Kind.TAGS:
            probability_NC = predictions.probabilities(job.labels, task)
            scores |= score_tags(job.labels, task, probability_NC)
        else:
            pairs = labeled_predictions(job.dataset, job.labels, predictions, task)
            scores |= score_maps(job.labels, task, pairs)
    return scores
