"""Balances reach the weights that their sources define, and leave absent tasks alone."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from goldseam.dataset.schema import Kind, Task
from goldseam.trainer.balancing import build_balance
from goldseam.trainer.balancing.gradients import LastSharedLayer, gradient_cosines
from goldseam.trainer.balancing.uncertainty import LIMIT
from goldseam.trainer.config import LossConfig, OptimizerConfig
from goldseam.trainer.optimizer import build_optimizer, set_rate

TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b")),
    "depth": Task(kind=Kind.REGRESSION, unit="m"),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
}


def balance_of(name, **options):
    return build_balance(LossConfig(balance=name, **options), TASKS)


def optimizer_of(balance, rate=0.025):
    return build_optimizer(nn.Linear(2, 2), OptimizerConfig(), balance=balance, balance_rate=rate)


def test_uncertainty_finds_the_scale_that_its_likelihood_says():
    balance = balance_of("uncertainty", balance_rate=0.05)
    optimizer = optimizer_of(balance, 0.05)
    losses = {"cover": torch.tensor(0.4), "depth": torch.tensor(2.0), "normals": torch.tensor(0.1)}
    for _ in range(1500):
        optimizer.zero_grad()
        balance(losses).backward()
        optimizer.step()
        balance.settle()
    # exp(-s) L + c s is least at exp(s) = L / c: c is 1/2 for categories and 1 for a Laplace error
    weights = balance.weights()
    assert weights["cover"] == pytest.approx(0.5 / 0.4, rel=1e-3)
    assert weights["depth"] == pytest.approx(1 / 2.0, rel=1e-3)
    assert weights["normals"] == pytest.approx(1 / 0.1, rel=1e-3)


def test_uncertainty_adds_the_losses_of_a_task_and_scales_by_the_given_weight():
    balance = balance_of("uncertainty", weights={"depth": 3.0})
    balance.log_scale["depth"].data.fill_(math.log(2))
    found = balance({"depth": torch.tensor(2.0), "depth.initial": torch.tensor(1.0)})
    assert found.item() == pytest.approx(3 * 3.0 / 2 + math.log(2))


@pytest.mark.parametrize("name", ["uncertainty", "gradient_norm"])
def test_absent_tasks_keep_their_weight(name):
    balance, model = balance_of(name), Shared()
    optimizer = optimizer_of(balance)
    both = ["cover", "depth", "normals"]
    for step in range(6):
        present = both if step % 2 else ["cover", "depth"]
        before = balance.weights()
        optimizer.zero_grad()
        balance(model.losses(present), model.layer).backward()
        optimizer.step()
        balance.settle()
        after = balance.weights()
        changed = {task for task in TASKS if after[task] != before[task]}
        assert changed == set(present)
        if name == "gradient_norm":
            assert sum(after.values()) == pytest.approx(len(TASKS), rel=1e-5)


def test_a_variance_stays_within_its_limits():
    balance = balance_of("uncertainty")
    balance.log_scale["depth"].data.fill_(-100.0)
    balance.settle()
    assert balance.weights()["depth"] == pytest.approx(math.exp(LIMIT), rel=1e-5)


class Shared(nn.Module):
    """One shared layer under three tasks whose gradients differ a thousandfold."""

    SCALES = {"cover": 1.0, "depth": 100.0, "normals": 0.1}

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Linear(4, 3, bias=False)
        self.x = torch.randn(8, 4)

    def losses(self, tasks):
        return {
            task: self.SCALES[task] * (self.shared(self.x)[:, place] - 1).abs().mean()
            for place, task in enumerate(self.SCALES)
            if task in tasks
        }

    def layer(self):
        return self.shared.weight


def norms(model, weights):
    found = {}
    for task, loss in model.losses(list(TASKS)).items():
        (gradient,) = torch.autograd.grad(weights[task] * loss, model.shared.weight)
        found[task] = gradient.norm().item()
    return found


def test_gradient_norms_become_equal_where_tasks_train_alike():
    balance, model = balance_of("gradient_norm", gradient_norm_alpha=0.0), Shared()
    optimizer = optimizer_of(balance, 0.01)
    before = norms(model, balance.weights())
    assert max(before.values()) / min(before.values()) > 100
    for _ in range(2000):
        optimizer.zero_grad()
        balance(model.losses(list(TASKS)), model.layer).backward()
        balance_only(optimizer)
        balance.settle()
    after = norms(model, balance.weights())
    assert max(after.values()) / min(after.values()) < 2


def balance_only(optimizer):
    """A step that leaves the network as it is."""
    for group in optimizer.param_groups:
        if "rate" not in group:
            for parameter in group["params"]:
                parameter.grad = None
    set_rate(optimizer, 0.0)
    optimizer.step()


def test_a_task_that_lags_behind_is_given_more():
    balance, model = balance_of("gradient_norm", gradient_norm_alpha=2.0), Shared()
    balance.first.copy_(torch.tensor([1.0, 1.0, 1.0]))
    losses = model.losses(["cover", "depth"])
    # both pull with the same force, and only one has fallen
    pair = {"cover": losses["cover"], "depth": losses["cover"] * 1.0}
    balance.first[0] = losses["cover"].item() * 10
    balance.first[1] = losses["cover"].item()
    optimizer = optimizer_of(balance)
    balance(pair, model.layer).backward()
    optimizer.step()
    balance.settle()
    weights = balance.weights()
    assert weights["depth"] > 1 > weights["cover"]


def test_a_first_loss_is_the_first_one_that_was_seen():
    balance, model = balance_of("gradient_norm"), Shared()
    first = model.losses(["cover", "depth"])
    balance(first, model.layer)
    assert balance.first[0] == first["cover"]
    assert balance.first[2].isnan()  # nothing of it was seen
    balance({task: loss * 7 for task, loss in model.losses(list(TASKS)).items()}, model.layer)
    assert balance.first[0] == first["cover"]
    assert not balance.first[2].isnan()


def test_a_loss_of_zero_is_no_first_loss():
    """Balanced saliency of an image without a salient pixel is one; all else would stand still."""
    balance, model = balance_of("gradient_norm"), Shared()
    losses = model.losses(["cover", "depth", "normals"])
    balance(losses | {"depth": losses["depth"] * 0.0}, model.layer)
    assert balance.first.isnan().tolist() == [False, True, False]
    slopes = [balance.weight[task].grad.isfinite().item() for task in TASKS]
    assert all(slopes)
    balance(losses, model.layer)
    assert balance.first[1] == losses["depth"]


def test_cosines_by_hand():
    layer = nn.Parameter(torch.tensor([1.0, 1.0]))
    losses = {
        "a": layer[0] * 3,
        "b": layer[0] + layer[1],
        "b.initial": layer[0] * 0.0 + layer[1] * 0.0,
        "c": torch.tensor(1.0, requires_grad=True) * 2,
    }
    found = gradient_cosines(losses, layer)
    assert found["cosine.a.b"] == pytest.approx(1 / math.sqrt(2))
    assert found["cosine.a.c"] is None  # it does not reach the layer: unknown, not 0
    assert set(found) == {"cosine.a.b", "cosine.a.c", "cosine.b.c"}


def test_the_last_shared_layer_is_the_one_that_runs_last():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Conv2d(3, 3, 1)  # declared first, run last
            self.first = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.last(self.first(x))

    decoder = Decoder()
    model = SimpleNamespace(
        decoder=decoder,
        training=True,
        eval=lambda: None,
        train=lambda _mode: None,
        shared_features=lambda images: (decoder(images), None),
    )
    assert LastSharedLayer(model)(torch.zeros(2, 3, 4, 4)) is decoder.last.weight
