"""A loss must not change, nor any gradient, whatever stands under a label that nobody gave."""

import pytest
import torch

from goldseam.models.multitask import Output
from goldseam.trainer.balancing import FixedBalance
from goldseam.trainer.config import LossConfig
from goldseam.trainer.losses import (
    MultitaskLoss,
    boundary_loss,
    regression_loss,
    segmentation_loss,
)
from tests.conftest import disc_info

K, C, H, W = 4, 3, 6, 5


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loss_and_gradient(function, logits):
    logits = logits.clone().requires_grad_()
    loss = function(logits)
    loss.backward()
    return loss.detach(), logits.grad


def test_ignored_pixels_count_for_nothing_to_the_bit():
    target = torch.randint(0, C, (K, H, W), generator=torch.Generator().manual_seed(1))
    target[:, :3] = 255
    logits = random(K, C, H, W)
    other = logits.clone()
    other[:, :, :3] = random(K, C, 3, W, seed=9)  # predictions under ignored pixels
    for dice in (0.0, 1.0):
        loss, gradient = loss_and_gradient(
            lambda x, d=dice: segmentation_loss(x, target, 255, dice=d), logits
        )
        changed, _ = loss_and_gradient(
            lambda x, d=dice: segmentation_loss(x, target, 255, dice=d), other
        )
        assert torch.equal(loss, changed)
        assert not gradient[:, :, :3].any()


def test_cross_entropy_equals_torch_on_the_counted_pixels():
    target = torch.randint(0, C, (K, H, W), generator=torch.Generator().manual_seed(1))
    target[0, 0] = 255
    logits = random(K, C, H, W)
    weights = torch.tensor([1.0, 2.0, 5.0])
    expected = torch.nn.functional.cross_entropy(logits, target, weights, ignore_index=255)
    assert torch.isclose(segmentation_loss(logits, target, 255, weights), expected)


def test_a_perfect_mask_has_no_dice_loss():
    target = torch.randint(0, C, (K, H, W), generator=torch.Generator().manual_seed(1))
    logits = 50.0 * torch.nn.functional.one_hot(target, C).movedim(3, 1)
    assert segmentation_loss(logits, target, 255, dice=1.0) < 1e-5


def test_nan_targets_never_reach_the_gradient():
    target = random(K, H, W)
    target[:2] = float("nan")
    loss, gradient = loss_and_gradient(
        lambda x: regression_loss(x, target, 0.0, 1.0), random(K, H, W, seed=2)
    )
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert not gradient[:2].any()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: segmentation_loss(x, torch.full((K, H, W), 255), 255, dice=1.0),
        lambda x: boundary_loss(x[:, 0], torch.full((K, H, W), 255), 255),
        lambda x: regression_loss(x[:, 0], torch.full((K, H, W), float("nan")), 0.0, 1.0),
    ],
)
def test_nothing_known_is_a_loss_of_exactly_zero(function):
    loss, gradient = loss_and_gradient(function, random(K, C, H, W))
    assert loss == 0
    assert not gradient.any()


def everything(seed_of_unknown: int):
    """A step's loss in which what stands under unknown labels is random."""
    tasks = {n: t for n, t in disc_info().tasks.items() if n in ("cover", "edge", "relief", "tags")}
    known = {
        "cover": torch.tensor([True, False, False]),
        "edge": torch.tensor([False, True, False]),
        "relief": torch.tensor([False, False, True]),
        "tags": torch.tensor([False, True, False]),
    }
    generator = torch.Generator().manual_seed(seed_of_unknown)
    garbage = {
        "cover": torch.randint(0, 3, (3, H, W), generator=generator),
        "edge": torch.randint(0, 2, (3, H, W), generator=generator),
        "relief": torch.randn(3, H, W, generator=generator),
        "tags": torch.randint(0, 2, (3, 3), generator=generator).to(torch.int8),
    }
    fixed = {
        "cover": torch.ones(3, H, W, dtype=torch.long),
        "edge": torch.ones(3, H, W, dtype=torch.long),
        "relief": torch.ones(3, H, W),
        "tags": torch.ones(3, 3, dtype=torch.int8),
    }
    targets = {}
    for task, value in fixed.items():
        targets[task] = garbage[task].clone()
        targets[task][known[task]] = value[known[task]]
    channels = {"cover": 3, "edge": 1, "relief": 1}
    leaves = {t: random(1, c, H, W, seed=3).requires_grad_() for t, c in channels.items()}
    tags = random(3, 3, seed=4).requires_grad_()
    output = Output(
        rows={t: known[t].nonzero()[:, 0] for t in channels},
        initial=dict(leaves),
        final={t: 2 * x for t, x in leaves.items()},
        tags={"tags": tags},
    )
    losses = MultitaskLoss(tasks, LossConfig(dice=1.0), {"relief": (0.5, 2.0)}, 0.5)(
        output, targets, known
    )
    loss = FixedBalance(LossConfig())(losses)
    loss.backward()
    return loss.detach(), [x.grad for x in (*leaves.values(), tags)]


def test_content_under_unknown_labels_changes_neither_loss_nor_gradient():
    loss, gradients = everything(10)
    other, other_gradients = everything(11)
    assert torch.equal(loss, other)
    for gradient, other_gradient in zip(gradients, other_gradients, strict=True):
        assert torch.equal(gradient, other_gradient)


def test_weights_scale_a_task():
    tasks = {"tags": disc_info().tasks["tags"]}
    output = Output(rows={}, initial={}, final={}, tags={"tags": random(2, 3)})
    targets = {"tags": torch.ones(2, 3, dtype=torch.int8)}
    known = {"tags": torch.ones(2).bool()}

    def value(weight):
        losses = MultitaskLoss(tasks, LossConfig(), {}, 0.0)(output, targets, known)
        return FixedBalance(LossConfig(weights={"tags": weight}))(losses)

    assert torch.isclose(value(3.0), 3 * value(1.0))
