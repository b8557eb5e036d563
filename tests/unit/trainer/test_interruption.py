"""SIGTERM at any moment: the step is finished, the state saved, and the run goes on as it was."""

import os
import signal

import pytest

from goldseam.errors import Interrupted
from goldseam.models.config import DiffusionConfig, EncoderConfig, NetworkConfig
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.stage import train
from goldseam.trainer import learning as learning_module
from goldseam.trainer import loop as loop_module
from goldseam.trainer.config import LoopConfig, LossConfig, OptimizerConfig
from goldseam.trainer.interruption import Asked, interruptible

TASKS = ("cover", "edge", "relief", "tags")


def config(**more) -> TrainConfig:
    return TrainConfig(
        tasks=TASKS,
        network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
        diffusion=DiffusionConfig(token_width=16, token_stride=4),
        optimizer=OptimizerConfig(steps=10, batch_size=8, average=0.5),
        loop=LoopConfig(evaluate_every=4, checkpoint_every=100, log_gradients=True),
        **more,
    )


def untimed(history):
    timed = ("images_per_second", "memory_mib")
    return [{k: v for k, v in entry.items() if k not in timed} for entry in history]


def terminated_in(monkeypatch, module, name, call):
    """SIGTERM at the beginning of the n-th call of a function."""
    function = getattr(module, name)
    calls = 0

    def interrupting(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, interrupting)


@pytest.mark.parametrize("balance", ["uncertainty", "gradient_norm"])
@pytest.mark.parametrize(
    "moment",
    [
        (loop_module, "_train_step", 3, 3),  # in the middle of the third step, which is finished
        (learning_module, "_validate", 1, 4),  # in a validation, which begins again
        (learning_module, "_validate", 3, 10),  # in the last one
    ],
)
def test_a_terminated_run_ends_with_the_same_weights(
    tmp_path, disc_data, monkeypatch, moment, balance
):
    module, name, call, step = moment
    options = config(loss=LossConfig(balance=balance))
    straight = train(options, disc_data, tmp_path / "straight")
    with monkeypatch.context() as patched:
        terminated_in(patched, module, name, call)
        with pytest.raises(Interrupted, match=rf"after step {step} of 10 is saved") as raised:
            train(options, disc_data, tmp_path / "ended")
    assert raised.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not (tmp_path / "ended").exists()
    steps = []
    inner = loop_module._train_step

    def counted(state, *args, **kwargs):
        steps.append(state.progress.step)
        return inner(state, *args, **kwargs)

    monkeypatch.setattr(loop_module, "_train_step", counted)
    resumed = train(options, disc_data, tmp_path / "ended")
    assert steps == list(range(step, 10))  # nothing is done twice
    assert resumed.digest == straight.digest
    assert untimed(resumed.history) == untimed(straight.history)
    if balance == "gradient_norm":
        assert any(name.startswith("cosine.") for name in resumed.history[0])
        weights = [v for k, v in resumed.history[-1].items() if k.startswith("weight.")]
        assert sum(weights) == pytest.approx(len(TASKS), rel=1e-5)
        assert max(weights) > 1.01


def test_a_block_that_may_be_left_is_left_at_once():
    reached = []
    with interruptible() as interruption:
        with pytest.raises(Asked), interruption.at_once():  # noqa: PT012
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("after the signal")
        assert interruption.asked
        with pytest.raises(Asked), interruption.at_once():
            reached.append("in a block that began after it")
        os.kill(os.getpid(), signal.SIGTERM)  # outside such a block it is only noted
    assert not reached
