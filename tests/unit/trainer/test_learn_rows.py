"""Training on chosen rows of several splits: those rows, the last weights, and nothing else."""

import numpy as np
import pytest
import torch

from goldseam.dataset.loading import JoinedTable, TrainingTable
from goldseam.errors import InvalidConfig
from goldseam.models.config import EncoderConfig, NetworkConfig
from goldseam.trainer.config import LearningConfig, LoopConfig, OptimizerConfig
from goldseam.trainer.learning import learn_rows
from goldseam.trainer.preparation import measure_preprocessing

TASKS = ("cover", "relief", "tags")


def config(steps: int = 4) -> LearningConfig:
    return LearningConfig(
        network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
        optimizer=OptimizerConfig(steps=steps, batch_size=4),
        loop=LoopConfig(evaluate_every=2, checkpoint_every=2),
    )


def test_tables_are_joined_in_order(disc_data):
    parts = [
        TrainingTable(disc_data, "train", TASKS, rows=[1, 3]),
        TrainingTable(disc_data, "test", TASKS, rows=[0, 5, 7]),
    ]
    joined = JoinedTable(parts)
    assert len(joined) == 5
    expected = [part[position].image_id for part in parts for position in range(len(part))]
    assert [joined[position].image_id for position in range(5)] == expected
    for task in TASKS:
        known = [joined[position].labels[task] is not None for position in range(5)]
        assert joined.known[task].tolist() == known
    seen = {row for step in range(5) for row in joined.order(4, balance=True).batch(step)}
    assert seen == set(range(5))


def test_a_joined_table_changes_its_samples(disc_data):
    part = TrainingTable(disc_data, "test", TASKS)
    joined = JoinedTable([part], lambda record, tasks: (record.image_id, list(tasks)))
    assert joined[2] == (part[2].image_id, list(TASKS))


def test_statistics_come_from_the_rows_alone(disc_data):
    specs = {name: disc_data.info.tasks[name] for name in TASKS}
    rows = {"train": np.array([2, 5]), "test": np.array([1])}
    found = measure_preprocessing(disc_data, specs, rows)
    chosen = [r for s, r_M in rows.items() for r in disc_data.records(s, None, r_M.tolist())]
    pixels = np.stack([record.image_HWC for record in chosen]) / 255.0
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-5)
    values = [r.labels["relief"] for r in chosen if r.labels["relief"] is not None]
    center, spread = found.values["relief"]
    assert center == pytest.approx(np.mean(values), abs=1e-5)
    assert spread == pytest.approx(np.std(values), abs=1e-5)


def test_the_last_weights_are_kept(disc_data, tmp_path):
    rows = {"train": np.arange(0, 48, 2), "validation": np.arange(4), "test": np.array([], int)}
    short, longer = (
        learn_rows(
            "rows", disc_data, rows, TASKS, config(steps), state_folder=tmp_path / str(steps)
        )
        for steps in (2, 4)
    )
    again = learn_rows("rows", disc_data, rows, TASKS, config(), state_folder=tmp_path / "again")
    same = [torch.equal(a, b) for a, b in zip(longer.parameters(), again.parameters(), strict=True)]
    assert all(same)
    moved = [torch.equal(a, b) for a, b in zip(short.parameters(), again.parameters(), strict=True)]
    assert not any(moved)
    assert not again.training


def test_rows_without_a_label_of_a_task_are_refused(disc_data, tmp_path):
    known_N = disc_data.known("train")["relief"]
    rows = {"train": np.flatnonzero(~known_N)}
    with pytest.raises(InvalidConfig, match="task 'relief' has no known label"):
        learn_rows("rows", disc_data, rows, TASKS, config(), state_folder=tmp_path / "state")
    with pytest.raises(InvalidConfig, match="has no known label"):
        learn_rows("rows", disc_data, {}, TASKS, config(), state_folder=tmp_path / "state")
