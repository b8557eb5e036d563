"""Multi-task training from partial labels, with or without diffusion.

Source: Ye & Xu, DiffusionMTL, CVPR 2024. A task's loss is taken on the images that carry it; what
the other images predict serves as condition only.
"""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from goldseam.artifacts import digest_folder, stage_key
from goldseam.dataset.derivation import (
    THROUGH_CAMERA,
    DerivedTable,
    merge_derivations,
    require_derivations,
)
from goldseam.dataset.memory import SampleTable, TrainingTable
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import DatasetInfo, Derivation
from goldseam.errors import InvalidConfig
from goldseam.models.checkpoint import load_checkpoint
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.consistency import RELATIONS, Consistency
from goldseam.multitask.distillation.config import StudentConfig
from goldseam.multitask.distillation.objective import Distillation
from goldseam.multitask.distillation.samples import EveryImage
from goldseam.multitask.objective import Combined
from goldseam.multitask.photometry import Photometry
from goldseam.multitask.teacher import MeanTeacher, require_teachable
from goldseam.multitask.terms import Term
from goldseam.results import TrainingResult
from goldseam.storage.atomic import partial_folder
from goldseam.trainer.devices import choose_device
from goldseam.trainer.distributed import is_main, joined, wait_for_all
from goldseam.trainer.learning import learn
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import Objective, Supervised


def train(
    config: TrainConfig, dataset: Dataset, out: Path, *, init: Path | None = None
) -> TrainingResult:
    """Train one model for `config.tasks`.

    Args:
        config: options.
        dataset: whose training split carries each task on some images.
        out: folder to make; the model stands in `out/checkpoint`.
        init: checkpoint of `pretrain`; None starts from scratch.

    Raises:
        InvalidDataset: the dataset has no such task.
        InvalidConfig: a task's kind cannot be trained, nothing of it is known, a derivation does
            not fit the tasks, or the teacher cannot check one of them.
    """
    if config.teacher.weight:
        taught = config.teacher.tasks or config.tasks
        require_teachable({name: dataset.info.task(name) for name in taught})
    derived = derivations_of(config, dataset.info) if config.derive != "none" else ()
    related = relations_of(config, dataset.info) if config.consistency.weight else ()
    inputs = {"dataset": dataset.info.digest}
    if init is not None:
        inputs["init"] = digest_folder(init)
    learn_model = functools.partial(
        learn,
        dataset=dataset,
        tasks=config.tasks,
        diffusion=config.diffusion,
        init=init,
        depth=config.transfer,
    )
    alone = config.model_copy(update={"student": StudentConfig()})
    learn_alone = functools.partial(
        learn_model,
        config=alone,
        key=stage_key("train", alone, **inputs),
        objective_from=functools.partial(_objective, config, related),
        samples_from=functools.partial(_samples, derived),
    )
    if not config.student.steps:
        return learn_alone("train", out=out)
    learn_student = functools.partial(
        learn_model,
        config=_lasting(config, config.student.steps),
        key=stage_key("train", config, **inputs),
        samples_from=lambda table: EveryImage(table, derived),
    )
    return _taught(config, out, learn_alone, learn_student)


def _taught(
    config: TrainConfig,
    out: Path,
    learn_alone: "functools.partial[TrainingResult]",
    learn_student: "functools.partial[TrainingResult]",
) -> TrainingResult:
    """Train a teacher, then its student, which is the result."""
    device = choose_device(config.loop.device)
    with joined(device):
        if (done := TrainingResult.completed(out, learn_student.keywords["key"])) is not None:
            return done
        # part of the unfinished work: a run that was killed finds it, other options replace it
        work = partial_folder(out)
        teacher = work.with_name(work.name + ".teacher")
        _remove_other(teacher, learn_alone.keywords["key"])
        learn_alone("teacher", out=teacher)
        result = learn_student(
            "train",
            out=out,
            objective_from=lambda loss: Distillation(
                loss, load_checkpoint(teacher / "checkpoint", device), config.student
            ),
        )
        if is_main():
            shutil.rmtree(teacher)
        return result


def _remove_other(teacher: Path, key: str) -> None:
    """Remove a teacher that was made from other inputs or options."""
    if is_main() and teacher.is_dir() and TrainingResult.read(teacher).key != key:
        shutil.rmtree(teacher)
    wait_for_all()


def _lasting(config: TrainConfig, steps: int) -> TrainConfig:
    optimizer = config.optimizer.model_copy(update={"steps": steps})
    return config.model_copy(update={"optimizer": optimizer})


def derivations_of(config: TrainConfig, info: DatasetInfo) -> tuple[Derivation, ...]:
    """The derivations that give labels to the tasks of a run; a dataset may declare none.

    Raises:
        InvalidConfig: those that the options list have no target here, or one does not fit the
            tasks.
    """
    rules = tuple(rule for rule in _listed(config, info) if rule.target in config.tasks)
    require_derivations(rules, info.tasks)
    if config.derivations and not rules:
        raise InvalidConfig(
            f"'derivations' lists none that has a target among {', '.join(config.tasks)}.",
            remedy="List one that has, or leave 'derivations' out.",
        )
    return rules


def relations_of(config: TrainConfig, info: DatasetInfo) -> tuple[Derivation, ...]:
    """The derivations by which predictions of a run's tasks are held against each other.

    Raises:
        InvalidConfig: there are none, one does not fit the tasks, or one goes through the camera of
            images that are cut to windows.
    """
    rules = tuple(
        rule
        for rule in _listed(config, info)
        if rule.rule in RELATIONS and {rule.source, rule.target} <= set(config.tasks)
    )
    require_derivations(rules, info.tasks)
    if not rules:
        raise InvalidConfig(
            f"consistency is asked for, and no derivation relates two of "
            f"{', '.join(config.tasks)}.",
            remedy=f"List one of {', '.join(RELATIONS)} under 'derivations', or set "
            "consistency.weight: 0.",
        )
    # labels are derived before a window is cut; predictions are made of the window
    augment = config.loop.augment
    if any(augment.crop) and any(rule.rule in THROUGH_CAMERA for rule in rules):
        raise InvalidConfig(
            "consistency between depth and normals needs the camera of whole images, and "
            "loop.augment.crop cuts windows out of them.",
            remedy="Set loop.augment.crop: [0, 0] and scale: [1, 1], or consistency.weight: 0.",
        )
    return rules


def _listed(config: TrainConfig, info: DatasetInfo) -> tuple[Derivation, ...]:
    declared = () if config.derive == "listed" else info.derivations
    return merge_derivations(declared, config.derivations)


def _samples(derived: Sequence[Derivation], table: TrainingTable) -> SampleTable:
    return DerivedTable.over(table, derived) if derived else table


def _objective(
    config: TrainConfig, related: Sequence[Derivation], loss: MultitaskLoss
) -> Objective:
    terms: list[Term] = []
    photometry = None
    if config.teacher.weight:
        terms.append(MeanTeacher(config.teacher, loss.tasks, loss.values))
        photometry = Photometry(config.teacher.strong, config.loop.seed)
    if config.consistency.weight:
        terms.append(Consistency(config.consistency, related, loss.tasks))
    return Combined(loss, terms, photometry) if terms else Supervised(loss)
