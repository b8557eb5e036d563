"""Training goes on after a kill as if nothing had happened; validation chooses weights."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from goldseam.dataset.reading import open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig, OutputExists
from goldseam.models.checkpoint import load_checkpoint
from goldseam.models.config import DiffusionConfig, EncoderConfig, NetworkConfig
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.stage import train
from goldseam.pretraining.config import PretrainConfig
from goldseam.pretraining.stage import pretrain
from goldseam.trainer import learning as learning_module
from goldseam.trainer import loop as loop_module
from goldseam.trainer.config import LoopConfig, LossConfig, OptimizerConfig
from goldseam.trainer.measuring import Diverged
from tests.conftest import disc_info, discs
from tests.unit.conftest import Killed

NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
DIFFUSION = DiffusionConfig(token_width=16, token_stride=4)
TASKS = ("cover", "edge", "relief", "tags")


def config(steps: int = 12, **more) -> TrainConfig:
    return TrainConfig(
        tasks=TASKS,
        network=NETWORK,
        diffusion=more.pop("diffusion", DIFFUSION),
        optimizer=OptimizerConfig(steps=steps, batch_size=8, **more.pop("optimizer", {})),
        loop=LoopConfig(evaluate_every=5, checkpoint_every=3, **more.pop("loop", {})),
        **more,
    )


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


def untimed(result) -> list[dict[str, float | None]]:
    """The training curve without what no two runs measure alike."""
    timed = ("images_per_second", "memory_mib")
    return [{k: v for k, v in entry.items() if k not in timed} for entry in result.history]


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("killed_at", [1, 4, 8, 11])
def test_a_killed_run_ends_with_the_same_weights(tmp_path, disc_data, steps, killed_at, average):
    options = config(optimizer={"average": average})
    straight = train(options, disc_data, tmp_path / "straight")
    steps.fatal = steps.begun + killed_at
    with pytest.raises(Killed):
        train(options, disc_data, tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    before = steps.begun
    resumed = train(options, disc_data, tmp_path / "killed")
    assert steps.begun - before == options.optimizer.steps - 3 * (
        (killed_at - 1) // 3
    )  # it went on
    assert weights(tmp_path / "killed") == weights(tmp_path / "straight")
    assert resumed.digest == straight.digest
    assert untimed(resumed) == untimed(straight)
    assert not list(tmp_path.glob("*.partial"))


def test_a_kill_between_result_and_renaming_loses_nothing(tmp_path, disc_data, monkeypatch):
    straight = train(config(), disc_data, tmp_path / "straight")

    write = learning_module._write_result

    def dying(*args):
        write(*args)
        raise Killed

    monkeypatch.setattr(learning_module, "_write_result", dying)
    with pytest.raises(Killed):
        train(config(), disc_data, tmp_path / "killed")
    monkeypatch.undo()
    monkeypatch.setattr(loop_module, "_train_step", _raise)
    assert train(config(), disc_data, tmp_path / "killed").digest == straight.digest
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {"checkpoint", "result.json"}


def test_work_begun_with_other_options_is_not_gone_on_with(tmp_path, disc_data, monkeypatch):
    monkeypatch.setattr(loop_module, "_train_step", _raise)
    with pytest.raises(Killed):
        train(config(loop={"seed": 1}), disc_data, tmp_path / "out")
    monkeypatch.undo()
    fresh = train(config(), disc_data, tmp_path / "fresh")
    assert train(config(), disc_data, tmp_path / "out").digest == fresh.digest


def _raise(*args, **kwargs):
    raise Killed


def test_the_same_call_again_trains_nothing(tmp_path, disc_data, monkeypatch):
    first = train(config(), disc_data, tmp_path / "out")
    monkeypatch.setattr(loop_module, "_train_step", _raise)
    again = train(config(), disc_data, tmp_path / "out")
    assert again == first
    with pytest.raises(OutputExists, match="other inputs or options"):
        train(config(steps=13), disc_data, tmp_path / "out")


def test_seeds_differ_and_repeat(tmp_path, disc_data):
    digests = [
        train(config(loop={"seed": seed}), disc_data, tmp_path / str(n)).digest
        for n, seed in enumerate([0, 0, 1])
    ]
    assert weights(tmp_path / "0") == weights(tmp_path / "1") != weights(tmp_path / "2")
    assert digests[0] == digests[1] != digests[2]


def test_pretraining_learns_the_noisy_map_and_training_starts_from_it(tmp_path, disc_data):
    options = PretrainConfig(
        network=NETWORK,
        optimizer=OptimizerConfig(steps=120, batch_size=8, learning_rate=1e-2),
        loop=LoopConfig(evaluate_every=40),
    )
    pretrained = pretrain(options, disc_data, tmp_path / "pretrain")
    assert pretrained.validation["cover_map.miou"] > 0.7
    # the map has no bars: it cannot teach what it does not show
    assert pretrained.validation["cover.iou.bar"] < 0.05
    best = max(entry["selection"] for entry in pretrained.history)
    chosen = [e for e in pretrained.history if e["step"] == pretrained.best_step]
    assert chosen[0]["selection"] == best

    start = config(steps=1, transfer="heads", optimizer={"learning_rate": 1e-9})
    init = Path(pretrained.checkpoint)
    trained = train(start, disc_data, tmp_path / "train", init=init)
    assert trained.validation["cover.miou"] == pytest.approx(
        pretrained.validation["cover.miou"], abs=0.02
    )
    theirs, ours = load_checkpoint(init), load_checkpoint(Path(trained.checkpoint))
    assert theirs.preprocessing.mean == ours.preprocessing.mean


def test_clean_labels_teach_what_the_map_does_not_show(tmp_path, disc_data):
    options = config(steps=200, optimizer={"learning_rate": 1e-2}, loop={"select": ("cover.miou",)})
    trained = train(options, disc_data, tmp_path / "out")
    assert trained.validation["cover.iou.bar"] > 0.3
    assert trained.validation["relief.mae"] < 1.5


def test_the_initial_predictions_are_part_of_the_loss(tmp_path, disc_data):
    trained = train(config(steps=5), disc_data, tmp_path / "out")
    assert "loss.cover.initial" in trained.history[0]
    plain = train(config(steps=5, diffusion=None), disc_data, tmp_path / "plain")
    assert "loss.cover.initial" not in plain.history[0]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"loop": {"select": ("cover.iuo",)}}, r"the metric 'cover\.iuo'"),
        ({"loss": LossConfig(weights={"covr": 2.0})}, r"loss\.weights names 'covr'"),
        ({"loss": LossConfig(category_weights={"cvr": (1.0,)})}, "names 'cvr'"),
        (
            {"loss": LossConfig(category_weights={"cover": (1.0, 2.0)})},
            "category_weights.cover has 2 weights; the task has 3 categories",
        ),
    ],
)
def test_names_that_do_not_exist_are_refused_before_the_first_step(
    tmp_path, disc_data, monkeypatch, options, what
):
    monkeypatch.setattr(loop_module, "_train_step", _raise)
    with pytest.raises(InvalidConfig, match=what):
        train(config(**options), disc_data, tmp_path / "out")
    assert not list(tmp_path.iterdir())  # bad input leaves nothing to go on with


def test_a_run_whose_loss_is_no_number_ends_with_a_remedy(tmp_path, disc_data):
    wild = {"learning_rate": 1e30, "schedule": "constant", "gradient_clip": 1e30}
    with pytest.raises(Diverged, match=r"train: after step \d+, '.*' is no finite number") as error:
        train(config(optimizer=wild, loop={"log_every": 1}), disc_data, tmp_path / "out")
    assert "learning_rate" in error.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def unjudged(tmp_path_factory):
    """A dataset whose validation images carry no label."""
    out = tmp_path_factory.mktemp("data") / "unjudged"
    bare = [dataclasses.replace(s, labels={}, sources={}) for s in discs(2, 4, partial=False)]
    splits = {"train": discs(1, 12, partial=True), "validation": bare}
    write_dataset(out, disc_info(), splits)
    return open_dataset(out)


def test_where_no_label_can_judge_the_last_weights_are_kept(tmp_path, unjudged):
    trained = train(config(diffusion=None), unjudged, tmp_path / "out")
    assert [entry["selection"] for entry in trained.history] == [None, None, None]
    assert trained.best_step == trained.steps == 12


def test_frozen_transfer_keeps_the_encoder(tmp_path, disc_data):
    options = PretrainConfig(network=NETWORK, optimizer=OptimizerConfig(steps=2, batch_size=4))
    pretrained = pretrain(options, disc_data, tmp_path / "pretrain")
    init = Path(pretrained.checkpoint)
    frozen = config(steps=3, optimizer={"transferred_rate": 0.0, "weight_decay": 0.5})
    trained = train(frozen, disc_data, tmp_path / "train", init=init)
    before = load_checkpoint(init).encoder.state_dict()
    after = load_checkpoint(Path(trained.checkpoint)).encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_left_is_the_result_and_nothing_else(tmp_path, disc_data):
    train(config(steps=4), disc_data, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"checkpoint", "result.json"}
    body = json.loads((tmp_path / "out" / "result.json").read_text())
    assert body["stage"] == "training"
    assert body["steps"] == 4
