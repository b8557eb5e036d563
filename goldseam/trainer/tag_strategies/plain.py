"""Strategies without memory: what an unknown entry counts for follows from the batch alone.

B images, C categories.
"""

import torch
from torch import Tensor

from goldseam.trainer.tag_strategies.config import (
    AssumeNegative,
    Asymmetric,
    Hill,
    Ignore,
    SmoothedNegative,
    Splc,
    WeightedNegative,
)
from goldseam.trainer.tag_strategies.entries import (
    asymmetric,
    cross_entropy,
    hill_negative,
    margin_focal,
    mixed,
)
from goldseam.trainer.tag_strategies.states import TagContext, TagStates
from goldseam.trainer.tag_strategies.strategy import TagLoss


class IgnoreLoss(TagLoss):
    """See `config.Ignore`."""

    def __init__(self, options: Ignore) -> None:
        super().__init__(options)

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of known entries."""
        del context
        return cross_entropy(logits_BC, states.target_BC), states.known_BC


class NegativeLoss(TagLoss):
    """See `config.AssumeNegative`, `WeightedNegative` and `SmoothedNegative`."""

    def __init__(
        self,
        options: AssumeNegative | WeightedNegative | SmoothedNegative,
        categories: int,
    ) -> None:
        super().__init__(options)
        self.weight, self.smoothing, self.smooths_known = 1.0, 0.0, False
        if isinstance(options, WeightedNegative):
            published = 1 / max(categories - 1, 1)
            self.weight = published if options.weight is None else options.weight
        elif isinstance(options, SmoothedNegative):
            self.smoothing, self.smooths_known = options.smoothing, options.known

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of all entries of labeled images; the mean goes over their number."""
        del context
        target_BC = states.target_BC
        if self.smoothing:
            smooth_BC = target_BC + self.smoothing * (1 - 2 * target_BC)
            every = states.unknown_BC | self.smooths_known
            target_BC = torch.where(every, smooth_BC, target_BC)
        loss_BC = cross_entropy(logits_BC, target_BC)
        loss_BC = torch.where(states.unknown_BC, self.weight * loss_BC, loss_BC)
        return loss_BC, states.known_BC | states.unknown_BC


class AsymmetricLoss(TagLoss):
    """See `config.Asymmetric`."""

    def __init__(self, options: Asymmetric) -> None:
        super().__init__(options)
        self.options = options

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Asymmetric loss of known entries, and of unknown ones where they mean absent."""
        del context
        options = self.options
        terms = asymmetric(
            logits_BC, options.gamma_positive, options.gamma_negative, options.margin
        )
        counted_BC = states.known_BC
        if options.unknown == "absent":
            counted_BC = counted_BC | states.unknown_BC
        return mixed(states.target_BC, terms), counted_BC


class HillLoss(TagLoss):
    """See `config.Hill`."""

    def __init__(self, options: Hill) -> None:
        super().__init__(options)
        self.options = options

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Focal loss with a margin for positives, Hill loss for negatives."""
        del context
        options = self.options
        terms = (
            margin_focal(logits_BC, options.gamma, options.margin),
            hill_negative(logits_BC, options.offset),
        )
        return mixed(states.target_BC, terms), states.known_BC | states.unknown_BC


class SplcLoss(TagLoss):
    """See `config.Splc`."""

    def __init__(self, options: Splc) -> None:
        super().__init__(options)
        self.options = options

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Focal loss, with a margin for entries that are present or found present."""
        options = self.options
        target_BC = states.target_BC
        if context.epoch(options.epochs) >= options.start:
            found_BC = torch.sigmoid(logits_BC.detach()) > options.threshold
            target_BC = torch.where(states.unknown_BC & found_BC, 1.0, target_BC)
        terms = (
            margin_focal(logits_BC, options.gamma, options.margin),
            margin_focal(-logits_BC, options.gamma),
        )
        return mixed(target_BC, terms), states.known_BC | states.unknown_BC
