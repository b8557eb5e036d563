"""What one cross-fitting works on, and what each source of predictions must offer.

Legend: N images of the dataset in the order of `LabelSide`, B images of a batch, C categories,
H and W pixels.
"""

import dataclasses
from typing import TYPE_CHECKING, Protocol

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.audit.predictions.config import PredictionsConfig
from goldseam.audit.predictions.faults import NothingToPredict
from goldseam.audit.predictions.folds import group_folds
from goldseam.audit.predictions.pictures import stored_pictures, working_size
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Kind, Task

if TYPE_CHECKING:
    import torch


class Predictor(Protocol):
    """A model of one fold, which saw no label of that fold."""

    def predict(self, images_BCHW: "torch.Tensor") -> dict[str, Array]:
        """Task → float32 predictions: tags `B C`, segmentation `B C H W`, other maps `B H W`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One cross-fitting.

    Attributes:
        dataset: an open dataset.
        labels: its label side.
        config: the options.
        tasks: to predict.
        skipped: task, or `task.category` → why it is not predicted, or only by its base rate.
        fold_N: fold of each image; -1 for images without a stored picture.
        size: (height, width) that networks see; None for the images' own.
    """

    dataset: Dataset
    labels: LabelSide
    config: PredictionsConfig
    tasks: tuple[str, ...]
    skipped: dict[str, str]
    fold_N: Array
    size: tuple[int, int] | None

    @property
    def specs(self) -> dict[str, Task]:
        """The tasks to predict."""
        return {name: self.dataset.info.tasks[name] for name in self.tasks}

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return int(self.fold_N.max()) + 1

    def others(self, fold: int) -> Array:
        """Bool N: the images that may teach the model of a fold."""
        others_N: Array = (self.fold_N >= 0) & (self.fold_N != fold)
        return others_N


def prepare(config: PredictionsConfig, dataset: Dataset, labels: LabelSide) -> Job:
    """Deal the folds, and say which tasks can be predicted.

    Raises:
        InvalidDataset: the configuration names a task that the dataset does not have.
        NothingToPredict: says why.
    """
    info = dataset.info
    for name in config.tasks:
        info.task(name)
    wanted = config.tasks or tuple(info.tasks)
    stored_N = stored_pictures(dataset)
    skipped = {name: why for name in wanted if (why := _unfit(info.tasks[name]))}
    fitting = tuple(name for name in wanted if name not in skipped)
    fold_N = group_folds(labels, fitting, config.folds, config.seed, stored_N)
    for name in fitting:
        labeled = np.unique(fold_N[(fold_N >= 0) & _any_known(labels, name)])
        if not len(labeled):
            skipped[name] = "no image with a stored picture carries a label of it"
        elif len(labeled) == 1:
            skipped[name] = "all of its labels stand in one group, so no other could teach a model"
    tasks = tuple(name for name in fitting if name not in skipped)
    if not tasks:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped.items())
        raise NothingToPredict(
            f"no task of dataset '{info.name}' can be predicted out of fold ({reasons}).",
            remedy="Label images of several groups and store their pictures, or give predictions "
            "with --predictions.",
        )
    job = Job(
        dataset=dataset,
        labels=labels,
        config=config,
        tasks=tasks,
        skipped=skipped,
        fold_N=fold_N,
        size=working_size(labels, stored_N, config.image_px),
    )
    return dataclasses.replace(job, skipped=skipped | _thin_categories(job))


def _unfit(task: Task) -> str:
    from goldseam.models.multitask import DENSE

    if task.kind in (*DENSE, Kind.TAGS):
        return ""
    return f"a {task.kind} task cannot be predicted by the models of the audit"


def _any_known(labels: LabelSide, task: str) -> Array:
    known_N: Array = labels.known[task]
    if task in labels.states:
        known_N = (labels.states[task] != UNKNOWN).any(axis=1)
    return known_N


def _thin_categories(job: Job) -> dict[str, str]:
    """Categories that some fold cannot learn, since the others know one state of them at most."""
    return {
        f"{task}.{job.specs[task].categories[category]}": (
            "in some fold the other folds know it as present only, as absent only or not at all; "
            "there its base rate is predicted"
        )
        for task in job.tasks
        if job.specs[task].kind is Kind.TAGS
        for category in sorted(
            {c for fold in range(job.folds) for c in base_rates(job, task, fold)}
        )
    }


def base_rates(job: Job, task: str, fold: int) -> dict[int, float]:
    """Category → rate, for the categories of which the other folds do not know both states.

    The rate is (present + 1/2) / (known + 1), the posterior mean under the prior of Jeffreys: 1/2
    where nothing is known.
    """
    state_MC = job.labels.states[task][job.others(fold)]
    present_C, absent_C = (state_MC == PRESENT).sum(axis=0), (state_MC == ABSENT).sum(axis=0)
    rate_C = (present_C + 0.5) / (present_C + absent_C + 1)
    thin = np.flatnonzero((present_C == 0) | (absent_C == 0))
    return {int(category): float(rate_C[category]) for category in thin}
