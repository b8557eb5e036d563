"""A second model that learns from the first: the same as two stages by hand, and as safe."""

import numpy as np
import pytest

from goldseam.dataset.memory import TrainingTable
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.models.config import EncoderConfig, NetworkConfig
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.distillation import DistilConfig, distil
from goldseam.multitask.distillation.config import StudentConfig
from goldseam.multitask.distillation.samples import EveryImage
from goldseam.multitask.stage import train
from goldseam.trainer.config import LoopConfig, OptimizerConfig
from tests.unit.conftest import Killed
from tests.unit.dataset.scenes import NORMALS, scene_info, scene_samples

TASKS = ("regions", "depth", "normals", "edges")
NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
STEPS, STUDENT_STEPS = 4, 6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Dataset:
    """Twenty training images: one label each on sixteen, none on four."""
    known = {task: range(place, 16, 4) for place, task in enumerate(TASKS)}
    out = tmp_path_factory.mktemp("scenes") / "scenes"
    splits = {
        "train": scene_samples(20, 16, known),
        "validation": scene_samples(4, 16, first=100),
    }
    write_dataset(out, scene_info(), splits)
    return open_dataset(out)


def options(**more) -> TrainConfig:
    return TrainConfig(
        tasks=TASKS,
        network=NETWORK,
        optimizer=OptimizerConfig(steps=STEPS, batch_size=8, learning_rate=5e-3),
        loop=LoopConfig(evaluate_every=2, checkpoint_every=2),
        **{"derive": "none", **more},
    )


def weights(folder) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


def test_it_is_what_train_and_distil_make(tmp_path, scenes):
    student = StudentConfig(steps=STUDENT_STEPS)
    both = train(options(student=student), scenes, tmp_path / "both")
    train(options(), scenes, tmp_path / "first")
    by_hand = DistilConfig(
        student="own",
        network=NETWORK,
        optimizer=OptimizerConfig(steps=STUDENT_STEPS, batch_size=8, learning_rate=5e-3),
        loop=LoopConfig(evaluate_every=2, checkpoint_every=2),
        label_weight=1.0,
    )
    distil(by_hand, scenes, tmp_path / "first" / "checkpoint", tmp_path / "second")
    assert weights(tmp_path / "both") == weights(tmp_path / "second")
    assert weights(tmp_path / "both") != weights(tmp_path / "first")
    assert both.steps == STUDENT_STEPS
    assert "loss.depth.teacher" in both.history[-1]


@pytest.mark.parametrize("died_at", [3, STEPS + 4])
def test_a_killed_run_goes_on_with_the_model_it_was_at(tmp_path, scenes, steps, died_at):
    config = options(student=StudentConfig(steps=STUDENT_STEPS), derive="declared")
    train(config, scenes, tmp_path / "straight")
    steps.fatal = steps.begun + died_at
    with pytest.raises(Killed):
        train(config, scenes, tmp_path / "killed")
    before = steps.begun
    train(config, scenes, tmp_path / "killed")
    # states stand every second step: at most one step is done again, and no model
    assert steps.begun - before <= STEPS + STUDENT_STEPS - died_at + 2
    assert weights(tmp_path / "killed") == weights(tmp_path / "straight")
    assert {path.name for path in tmp_path.iterdir()} == {"straight", "killed"}


def test_other_options_replace_a_teacher_that_was_left(tmp_path, scenes, steps):
    student = StudentConfig(steps=STUDENT_STEPS)
    steps.fatal = STEPS + 2
    with pytest.raises(Killed):
        train(options(student=student), scenes, tmp_path / "out")
    derived = options(student=student, derive="declared")
    train(derived, scenes, tmp_path / "out")
    train(derived, scenes, tmp_path / "straight")
    assert weights(tmp_path / "out") == weights(tmp_path / "straight")


def test_a_model_of_somebody_is_no_leftover(tmp_path, scenes):
    kept = train(options(), scenes, tmp_path / "out.teacher")
    train(options(student=StudentConfig(steps=2)), scenes, tmp_path / "out")
    assert train(options(), scenes, tmp_path / "out.teacher").digest == kept.digest
    assert (tmp_path / "out.teacher" / "checkpoint").is_dir()


def test_a_finished_run_trains_neither_model_again(tmp_path, scenes, steps):
    config = options(student=StudentConfig(steps=2))
    first = train(config, scenes, tmp_path / "out")
    before = steps.begun
    assert train(config, scenes, tmp_path / "out").digest == first.digest
    assert steps.begun == before


def test_the_student_sees_every_image_and_derived_labels(scenes):
    table = TrainingTable(scenes, "train", TASKS)
    plain, derived = EveryImage(table), EveryImage(table, [NORMALS])
    assert len(table) == 16
    assert len(plain) == len(derived) == 20
    assert plain.known["normals"].sum() == 4
    own_N, depth_N = plain.known["normals"], plain.known["depth"]
    assert (derived.known["normals"] == own_N | depth_N).all()
    place = int(np.flatnonzero(depth_N)[0])
    assert plain[place].labels["normals"] is None
    assert np.isfinite(derived[place].labels["normals"]).any()


def test_derived_labels_of_a_source_that_is_not_trained_keep_every_image(scenes):
    table = TrainingTable(scenes, "train", ("normals",))
    assert len(EveryImage(table, [NORMALS])) == 20
