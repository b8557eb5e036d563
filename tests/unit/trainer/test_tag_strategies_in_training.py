"""A label strategy in a whole training: chosen by its name, and its memory outlives a kill."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig
from goldseam.models.config import EncoderConfig, NetworkConfig
from goldseam.models.multitask import Output
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.stage import train
from goldseam.trainer import loop as loop_module
from goldseam.trainer.config import LoopConfig, LossConfig, OptimizerConfig
from goldseam.trainer.losses import MultitaskLoss, Place

TASKS = {"items": Task(kind=Kind.TAGS, categories=("p", "q", "r"))}  # a name of nn.ModuleDict's own
IDS = ("a", "b", "c", "d")


def loss_of(strategy, ids=()):
    return MultitaskLoss(TASKS, LossConfig(tags=strategy), {}, 0.0, ids)


def losses(loss, logits, state, known, place=None):
    output = Output(rows={}, initial={}, final={}, tags={"items": logits})
    return loss(output, {"items": state}, {"items": known}, 0.0, place)


def batch():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    state = torch.tensor([[1, 0, -1], [-1, -1, 1], [0, 0, 0], [-1, 1, 0]], dtype=torch.int8)
    return logits, state, torch.tensor([True, True, False, True])


def test_by_default_nothing_but_known_tags_counts():
    logits, state, known = batch()
    counted = known[:, None] & (state >= 0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[counted], state[counted].float()
    )
    for loss in (loss_of({"name": "ignore"}), MultitaskLoss(TASKS, LossConfig(), {}, 0.0)):
        assert torch.isclose(losses(loss, logits, state, known)["items"], expected, rtol=1e-6)
        assert not loss.memory.state_dict()


def test_a_policy_for_the_unsure_reaches_the_training(tmp_path):
    """Two datasets that differ in nothing but unsure entries, and the policies that see them."""
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (24, 16, 16, 3), np.uint8)
    state_NC = random.integers(-1, 2, (24, 3)).astype(np.int8)
    state_NC[:, 0] = np.arange(24) % 2
    doubted_NC = np.where((state_NC == -1) & (np.arange(24) < 16)[:, None], -2, state_NC)
    weights_of = {}
    for name, tags_NC in (("sure", state_NC), ("unsure", doubted_NC)):
        task = Task(kind=Kind.TAGS, categories=("p", "q", "r"), unsure=True)
        info = DatasetInfo(
            name="d", version="1", license="none", source="made", tasks={"findings": task}
        )
        samples = [
            Sample(
                image_id=f"i{n:02}",
                image=image,
                group=f"g{n}",
                labels={"findings": tags_C},
                sources={"findings": "human"},
            )
            for n, (image, tags_C) in enumerate(zip(images, tags_NC, strict=True))
        ]
        write_dataset(tmp_path / name, info, {"train": samples[:16], "validation": samples[16:]})
        for strategy, policy in (
            ("ignore", "ignore"),
            ("ignore", "zeros"),
            ("ignore", "smoothed_ones"),
            ("assume_negative", "ignore"),
            ("assume_negative", "zeros"),
        ):
            config = TrainConfig(
                tasks=("findings",),
                network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
                optimizer=OptimizerConfig(steps=2, batch_size=8),
                loop=LoopConfig(evaluate_every=2),
                loss=LossConfig(tags={"name": strategy, "uncertain": {"policy": policy}}),
            )
            out = tmp_path / f"{name}-{strategy}-{policy}"
            train(config, open_dataset(tmp_path / name), out)
            found = load_file(out / "checkpoint" / "model.safetensors")
            weights_of[name, strategy, policy] = {
                key: value.tolist() for key, value in found.items()
            }

    def weights(name, policy, strategy="ignore"):
        return weights_of[name, strategy, policy]

    assert weights("sure", "ignore") == weights("unsure", "ignore")
    assert weights("sure", "zeros") == weights("sure", "ignore")
    assert weights("unsure", "zeros") != weights("unsure", "ignore")
    assert weights("unsure", "smoothed_ones") != weights("unsure", "zeros")
    # where unknown is absent, unsure is still nothing, unless it is said to be absent as well
    negative = "assume_negative"
    assert weights("unsure", "ignore", negative) != weights("sure", "ignore", negative)
    assert weights("unsure", "zeros", negative) == weights("sure", "zeros", negative)


def test_a_batch_of_unknown_entries_counts_only_where_a_strategy_says_so():
    logits, state, known = batch()
    unknown = torch.full_like(state, -1)
    for strategy, counts in (({"name": "ignore"}, False), ({"name": "assume_negative"}, True)):
        loss = loss_of(strategy)
        output = Output(rows={}, initial={}, final={}, tags={"items": logits})
        present, _, _ = loss._present(output, {"items": unknown}, {"items": known})
        assert present == ({"items"} if counts else set())
    found = losses(loss, logits, unknown, known)["items"]
    assert torch.isclose(found, torch.nn.functional.softplus(logits[known]).mean())
    # an image without any tag label is not one without any tag
    present, _, _ = loss._present(output, {"items": unknown}, {"items": known & False})
    assert present == set()


def test_epochs_and_images_reach_the_strategy():
    logits, state, known = batch()
    strategy = {"name": "large_loss", "mode": "permanent", "rate": 0.1, "epochs": 2}
    loss = loss_of(strategy, IDS)
    for step, corrected in ((0, 0), (5, 1), (6, 2)):  # 9 entries x 0.1, rounded up
        losses(loss, logits, state, known, Place(step, 10, ["d", "a", "b", "c"]))
        assert loss.memory[0].overwritten_NC.sum() == corrected
    unknown = torch.where(state < 0, logits, -torch.inf).flatten()
    rows = [3, 0, 1, 2]
    for at in unknown.topk(2).indices.tolist():
        assert loss.memory[0].overwritten_NC[rows[at // 3], at % 3]
    with pytest.raises(InvalidConfig, match="which images"):
        losses(loss_of(strategy), logits, state, known, Place(6, 10, list(IDS)))


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "large_loss", "mode": "permanent", "rate": 0.2, "epochs": 4},
        {"name": "entropy", "negatives": 0.9, "warmup": 1, "epochs": 4, "beta": 1.0},
        {"name": "class_selective", "likeliest": 1, "epochs": 4, "prior_above": 0.45},
    ],
)
def test_a_killed_run_ends_with_the_same_weights(tmp_path, disc_data, monkeypatch, strategy):
    def config(tags):
        return TrainConfig(
            tasks=("tags",),
            network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
            diffusion=None,
            optimizer=OptimizerConfig(steps=12, batch_size=6),
            loop=LoopConfig(evaluate_every=12, checkpoint_every=4),
            loss=LossConfig(tags=tags),
        )

    def weights(name):
        return (tmp_path / name / "checkpoint" / "model.safetensors").read_bytes()

    train(config(strategy), disc_data, tmp_path / "straight")
    step, calls = loop_module._train_step, []

    def dying(*args, **kwargs):
        calls.append(1)
        if len(calls) == 11:
            raise Killed
        return step(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "_train_step", dying)
        with pytest.raises(Killed):
            train(config(strategy), disc_data, tmp_path / "killed")
    saved = list(tmp_path.rglob("memory.safetensors"))
    assert [path.parent.name for path in saved] == ["step-00000008"]
    train(config(strategy), disc_data, tmp_path / "killed")
    assert weights("killed") == weights("straight")
    train(config({"name": "ignore"}), disc_data, tmp_path / "ignore")
    assert weights("ignore") != weights("straight")
