"""A small model for each fold, trained on the others: nothing in it saw a label of its fold."""

from pathlib import Path

import torch

from goldseam.audit.predictions.job import Job
from goldseam.audit.predictions.pictures import rows_by_split
from goldseam.dataset.codecs import Array
from goldseam.models.multitask import MultitaskModel
from goldseam.trainer.learning import learn_rows


class TrainedModel:
    """The model of one fold."""

    def __init__(self, model: MultitaskModel) -> None:
        self._model = model
        self._device = next(model.parameters()).device

    @torch.no_grad()
    def predict(self, images_BCHW: torch.Tensor) -> dict[str, Array]:
        """See `Predictor`."""
        found = self._model.predict(images_BCHW.to(self._device))
        return {task: values.float().cpu().numpy() for task, values in found.items()}

    @torch.no_grad()
    def embed(self, images_BCHW: torch.Tensor) -> Array:
        """See `Embedder`."""
        pooled_BZ = self._model.shared_features(images_BCHW.to(self._device))[1]
        embedded: Array = pooled_BZ.float().cpu().numpy()
        return embedded


def train_fold(job: Job, fold: int, work: Path) -> TrainedModel:
    """Train the model of a fold; a killed call goes on from its last state in `work`."""
    state = work / f"fold-{fold}"
    model = learn_rows(
        f"fold {fold + 1} of {job.folds}",
        job.dataset,
        rows_by_split(job.labels, job.others(fold)),
        job.tasks,
        job.config.learning,
        state_folder=state,
        cache=work / "data",
        size=job.size,
    )
    return TrainedModel(model)
