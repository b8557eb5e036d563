"""What one entry costs: the formulas of the strategies, without any bookkeeping.

B images, C categories. `positive` is what a present entry costs, `negative` an absent one; a target
between 0 and 1 mixes them. Everything is in the precision of the logits: give float32 or better.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_BC: Tensor, target_BC: Tensor) -> Tensor:
    """-y log p - (1 - y) log(1 - p)."""
    return F.binary_cross_entropy_with_logits(logits_BC, target_BC, reduction="none")


def mixed(target_BC: Tensor, terms: tuple[Tensor, Tensor]) -> Tensor:
    """The cost under a target in [0, 1], from the `positive` and `negative` of another function."""
    positive_BC, negative_BC = terms
    return target_BC * positive_BC + (1 - target_BC) * negative_BC


def asymmetric(
    logits_BC: Tensor, gamma_positive: float, gamma_negative: float | Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """-(1 - p)^γ+ log p, and -q^γ- log(1 - q) with q = max(p - margin, 0).

    The powers are weights: no gradient passes through them.

    Args:
        logits_BC: unnormalized scores.
        gamma_positive: γ+.
        gamma_negative: γ-, one number or one for each entry.
        margin: see q.
    """
    absent_BC = torch.sigmoid(-logits_BC)
    positive_BC = -(absent_BC.detach() ** gamma_positive) * F.logsigmoid(logits_BC)
    weight_BC = (torch.sigmoid(logits_BC.detach()) - margin).clamp(min=0) ** gamma_negative
    # 1 - q is at least the margin; without one, its logarithm overflows where p is near 1
    log_BC = (absent_BC + margin).clamp(max=1).log() if margin else F.logsigmoid(-logits_BC)
    return positive_BC, -weight_BC * log_BC


def margin_focal(logits_BC: Tensor, gamma: float, margin: float = 0.0) -> Tensor:
    """-(1 - r)^γ log r with r = sigmoid(logit - margin); gradient passes through the power."""
    shifted_BC = logits_BC - margin
    # the power as an exponential: its gradient exists where 1 - r is 0, and for any γ
    return -(gamma * F.logsigmoid(-shifted_BC)).exp() * F.logsigmoid(shifted_BC)


def hill_negative(logits_BC: Tensor, offset: float) -> Tensor:
    """(λ - p) p² with λ = `offset`."""
    probability_BC = torch.sigmoid(logits_BC)
    return (offset - probability_BC) * probability_BC.square()


def entropy(logits_BC: Tensor) -> Tensor:
    """H(p) = -p log p - (1 - p) log(1 - p), in nats."""
    return -(
        torch.sigmoid(logits_BC) * F.logsigmoid(logits_BC)
        + torch.sigmoid(-logits_BC) * F.logsigmoid(-logits_BC)
    )
