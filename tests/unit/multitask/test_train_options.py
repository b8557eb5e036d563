"""Derived labels, teacher and consistency in the train stage: wired, resumable, refused in time."""

from pathlib import Path

import numpy as np
import pydantic
import pytest

from goldseam.dataset.derivation import DerivedTable
from goldseam.dataset.memory import TrainingTable
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import Derivation
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig, EncoderConfig, NetworkConfig
from goldseam.multitask import stage as stage_module
from goldseam.multitask.config import ConsistencyConfig, TeacherConfig, TrainConfig
from goldseam.multitask.objective import Combined
from goldseam.multitask.stage import derivations_of, relations_of, train
from goldseam.trainer import loop as loop_module
from goldseam.trainer.config import LoopConfig, LossConfig, OptimizerConfig
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import Supervised
from tests.unit.conftest import Killed
from tests.unit.dataset.scenes import EDGES, NORMALS, scene_info, scene_samples

TASKS = ("regions", "depth", "normals", "edges")
NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
STEPS, BATCH = 6, 8


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Dataset:
    """One label an image for training, all labels for validation."""
    known = {task: range(place, 16, 4) for place, task in enumerate(TASKS)}
    out = tmp_path_factory.mktemp("scenes") / "scenes"
    train_rooms = scene_samples(16, 16, known)
    splits = {"train": train_rooms, "validation": scene_samples(4, 16, first=100)}
    write_dataset(out, scene_info(), splits)
    return open_dataset(out)


def options(**more) -> TrainConfig:
    return TrainConfig(
        tasks=more.pop("tasks", TASKS),
        network=NETWORK,
        optimizer=OptimizerConfig(
            steps=STEPS, batch_size=BATCH, average=more.pop("average", 0.0), learning_rate=5e-3
        ),
        loop=LoopConfig(evaluate_every=3, checkpoint_every=2),
        derive=more.pop("derive", "none"),
        **more,
    )


EVERYTHING = {
    "derive": "declared",
    "average": 0.9,
    "teacher": TeacherConfig(weight=1.0, confidence=0.2, ramp=0.0),
    "consistency": ConsistencyConfig(weight=0.5, against="both", ramp=0.0),
}


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("diffusion", [None, DiffusionConfig(token_width=16, token_stride=4)])
def test_a_killed_run_with_everything_on_ends_with_the_same_weights(
    tmp_path, scenes, steps, diffusion
):
    config = options(**EVERYTHING, diffusion=diffusion)
    straight = train(config, scenes, tmp_path / "straight")
    names = {name for entry in straight.history for name in entry}
    assert {"loss.regions.teacher", "loss.edges.teacher", "loss.depth.teacher"} <= names
    assert any(name.endswith(".consistency") for name in names)
    steps.fatal = steps.begun + 4
    with pytest.raises(Killed):
        train(config, scenes, tmp_path / "killed")
    resumed = train(config, scenes, tmp_path / "killed")
    assert weights(tmp_path / "killed") == weights(tmp_path / "straight")
    assert resumed.digest == straight.digest


def test_each_option_changes_what_is_learned(tmp_path, scenes):
    found = {
        name: weights(train(options(average=0.9, **more), scenes, tmp_path / name).folder)
        for name, more in {
            "plain": {},
            "derive": {"derive": "declared"},
            "teacher": {"teacher": EVERYTHING["teacher"]},
            "consistency": {"consistency": EVERYTHING["consistency"]},
        }.items()
    }
    assert len(set(found.values())) == 4


def test_switched_off_is_plain_supervised_learning(scenes):
    loss = MultitaskLoss(scene_info().tasks, LossConfig(), {}, 0.0)
    assert type(stage_module._objective(options(), (), loss)) is Supervised
    on = options(average=0.9, teacher=TeacherConfig(weight=0.1))
    assert type(stage_module._objective(on, (), loss)) is Combined
    table = TrainingTable(scenes, "train", TASKS)
    assert stage_module._samples((), table) is table
    assert type(stage_module._samples((NORMALS,), table)) is DerivedTable


def test_derived_labels_are_seen_by_the_training(tmp_path, scenes, monkeypatch):
    seen = dict.fromkeys(TASKS, 0)
    step = loop_module._train_step

    def counting(state, objective, batch, **kwargs):
        for task, known_B in batch.known.items():
            seen[task] += int(known_B.sum())
            if task == "normals":
                finite_B = np.isfinite(batch.targets[task].numpy()).any(axis=(1, 2, 3))
                assert (finite_B <= known_B.numpy()).all()
        return step(state, objective, batch, **kwargs)

    monkeypatch.setattr(loop_module, "_train_step", counting)
    train(options(), scenes, tmp_path / "plain")
    plain = dict(seen)
    seen.update(dict.fromkeys(TASKS, 0))
    train(options(derive="declared"), scenes, tmp_path / "derived")
    assert sum(plain.values()) == STEPS * BATCH  # one label an image
    assert seen["normals"] > plain["normals"]
    assert seen["edges"] > plain["edges"]


def test_a_single_task_learns_from_labels_of_another(tmp_path, scenes):
    config = options(tasks=("normals",), derive="listed", derivations=(NORMALS,))
    result = train(config, scenes, tmp_path / "normals")
    assert result.validation["normals.mean"] is not None
    assert not [name for name in result.validation if not name.startswith("normals")]


def test_what_a_dataset_declares_is_used_unless_it_is_switched_off(scenes):
    config = TrainConfig(tasks=TASKS)
    assert derivations_of(config, scenes.info) == (NORMALS, EDGES)
    silent = scenes.info.model_copy(update={"derivations": ()})
    assert derivations_of(config, silent) == ()


def test_which_derivations_a_run_uses(scenes):
    other = NORMALS.model_copy(update={"field_of_view": 50.0})
    info = scenes.info
    assert derivations_of(options(derive="declared"), info) == (NORMALS, EDGES)
    added = options(derive="declared", derivations=(other,))
    assert derivations_of(added, info) == (other, EDGES)
    listed = options(derive="listed", derivations=(other,))
    assert derivations_of(listed, info) == (other,)
    fewer = options(derive="declared", tasks=("regions", "normals"))
    assert derivations_of(fewer, info) == (NORMALS,)
    none = options(derive="declared", tasks=("regions", "depth"))
    assert derivations_of(none, info) == ()
    related = options(consistency=ConsistencyConfig(weight=1.0), tasks=("regions", "edges"))
    assert relations_of(related, info) == (EDGES,)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"tasks": ("regions", "depth"), "derive": "listed", "derivations": (NORMALS,)},
            "lists none that has a target among regions, depth",
        ),
        (
            {"tasks": ("regions", "depth"), "consistency": ConsistencyConfig(weight=1.0)},
            "no derivation relates two",
        ),
        (
            {
                "derive": "listed",
                "derivations": (
                    Derivation(source="depth", target="normals", rule="normals_from_depth"),
                ),
            },
            "field of view",
        ),
        (
            {
                "derive": "listed",
                "derivations": (
                    Derivation(source="region", target="edges", rule="boundary_from_segmentation"),
                ),
            },
            "closest: regions",
        ),
        (
            {
                "consistency": ConsistencyConfig(weight=1.0),
                "loop": LoopConfig(augment={"crop": (8, 8)}),
            },
            "crop",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path, scenes, more, says):
    config = options().model_copy(update=more)
    with pytest.raises(InvalidConfig) as caught:
        train(config, scenes, tmp_path / "out")
    assert says in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_teacher_of_normals_that_no_mirror_can_check_is_refused_at_once(tmp_path, scenes):
    north = scenes.info.tasks["normals"].model_copy(update={"axes": "z up, x north, y west"})
    tasks = {**scenes.info.tasks, "normals": north}
    info = scenes.info.model_copy(update={"tasks": tasks, "derivations": ()})
    config = options(average=0.9, teacher=EVERYTHING["teacher"])
    with pytest.raises(InvalidConfig, match="mirrored image, and task 'normals'"):
        train(config, Dataset(scenes.path, info), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"teacher": TeacherConfig(weight=1.0)}, "optimizer.average"),
        ({"teacher": TeacherConfig(tasks=("walls",))}, "walls"),
        ({"derivations": (NORMALS,), "derive": "none"}, "not used"),
        ({"derive": "listed"}, "no derivations"),
    ],
)
def test_options_that_contradict_each_other_are_refused(more, says):
    with pytest.raises(pydantic.ValidationError, match=says):
        options(**more)
