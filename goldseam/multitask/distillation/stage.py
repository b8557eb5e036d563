"""The distil stage: from a trained model of any number of steps to one that needs a single one."""

from collections.abc import Mapping
from pathlib import Path

from goldseam.artifacts import digest_folder, stage_key
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig, closest
from goldseam.models.checkpoint import CheckpointConfig, load_checkpoint
from goldseam.models.config import NetworkConfig
from goldseam.multitask.agreement import require_same_meaning
from goldseam.multitask.distillation.config import DistilConfig
from goldseam.multitask.distillation.objective import Distillation
from goldseam.multitask.distillation.samples import EveryImage
from goldseam.results import TrainingResult
from goldseam.trainer.devices import choose_device
from goldseam.trainer.learning import learn

# options of a denoiser that its weights do not depend on
NOT_WEIGHTS = {
    *("steps", "schedule", "beta_start", "beta_end", "sampler", "noise_scale", "relative_noise"),
    *("detach", "deep_supervision", "deep_supervision_end", "packed", "checkpoint_steps"),
}


def distil(config: DistilConfig, dataset: Dataset, teacher: Path, out: Path) -> TrainingResult:
    """Teach a student what a trained model predicts, beside what is labeled.

    Every image of the training split is used, whether it carries a label or not. Validation labels
    choose the student's weights, as in `train`. A run that was killed goes on from its last state
    when it is called again with the same `out`.

    Args:
        config: options.
        dataset: whose images are learned from.
        teacher: checkpoint folder; it stays as it is.
        out: folder to make; the student stands in `out/checkpoint`.

    Raises:
        InvalidConfig: the student should learn a task that the teacher does not predict or means
            differently, a task has no known label at all, or `network` is not the teacher's.
        InvalidDataset: the dataset has no task of that name.
        MissingInput: `teacher` holds no checkpoint.
    """
    theirs = CheckpointConfig.read(teacher)
    tasks = config.tasks or tuple(theirs.tasks)
    _require_same_tasks(tasks, theirs.tasks, dataset, teacher)
    key = stage_key("distil", config, dataset=dataset.info.digest, teacher=digest_folder(teacher))
    begins_as_teacher = config.student == "teacher"
    options = config
    if begins_as_teacher:
        network = theirs.model.network
        if config.network not in (NetworkConfig(), network):
            raise InvalidConfig(
                "distil.network is another network than the teacher's, and distil.student is "
                "'teacher'.",
                remedy="Leave distil.network out, or set distil.student: own.",
            )
        options = config.model_copy(update={"network": network})
    return learn(
        "distil",
        dataset,
        tasks,
        options,
        key=key,
        out=out,
        diffusion=config.diffusion,
        init=teacher if begins_as_teacher else None,
        depth="denoiser" if _same_denoiser(config, theirs, tasks) else "heads",
        objective_from=lambda loss: Distillation(
            loss, load_checkpoint(teacher, choose_device(config.loop.device)), config
        ),
        samples_from=EveryImage,
    )


def _same_denoiser(config: DistilConfig, theirs: CheckpointConfig, tasks: tuple[str, ...]) -> bool:
    """Whether the teacher's denoiser fits the student, however many steps either takes."""
    if config.diffusion is None or theirs.model.diffusion is None or tasks != tuple(theirs.tasks):
        return False
    ours = config.diffusion.model_dump(exclude=NOT_WEIGHTS)
    return ours == theirs.model.diffusion.model_dump(exclude=NOT_WEIGHTS)


def _require_same_tasks(
    tasks: tuple[str, ...], theirs: Mapping[str, Task], dataset: Dataset, teacher: Path
) -> None:
    ours = {name: dataset.info.task(name) for name in tasks}
    for name in ours:
        if name not in theirs:
            raise InvalidConfig(
                f"{teacher}: the teacher does not predict task '{name}'.",
                remedy=f"It predicts {', '.join(theirs)}; closest: {closest(name, theirs)}. "
                "Leave the others out of distil.tasks.",
            )
    # the student would learn two different things by one name
    require_same_meaning(theirs, ours, teacher)
