"""Schedules and decay as they are defined; a balance has a rate of its own."""

import pytest
import torch
from torch import nn

from goldseam.trainer.balancing import build_balance
from goldseam.trainer.config import LossConfig, OptimizerConfig
from goldseam.trainer.optimizer import build_optimizer, rate_at, set_rate
from tests.conftest import disc_info


def test_poly_falls_step_by_step_and_does_not_warm_up():
    config = OptimizerConfig(schedule="poly", steps=100, learning_rate=2e-5, power=0.9, warmup=0.5)
    assert rate_at(0, config) == 2e-5
    assert rate_at(50, config) == pytest.approx(2e-5 * 0.5**0.9)
    assert 0 < rate_at(99, config) < rate_at(98, config)


def test_adam_decays_through_the_gradient_as_torch_does():
    config = OptimizerConfig(name="adam", weight_decay=0.1, learning_rate=1e-2)
    ours, theirs = (nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    mine = build_optimizer(ours, config)
    reference = torch.optim.Adam(theirs.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(5):
        for model, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_adamw_spares_biases_and_norms():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.1))
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert {n: decay[id(p)] for n, p in model.named_parameters()} == {
        "0.weight": 0.1,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }


def test_no_schedule_and_no_decay_touch_the_balance():
    balance = build_balance(LossConfig(balance="uncertainty"), disc_info().tasks)
    optimizer = build_optimizer(
        nn.Linear(2, 2), OptimizerConfig(weight_decay=0.5), balance=balance, balance_rate=0.03
    )
    set_rate(optimizer, 1e-9)
    (group,) = [group for group in optimizer.param_groups if "rate" in group]
    assert group["lr"] == 0.03
    assert group["weight_decay"] == 0
    assert len(group["params"]) == len(disc_info().tasks)
