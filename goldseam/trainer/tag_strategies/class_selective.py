"""Unknown entries are absent, except of frequent categories and where the model finds them likely.

Source: Ben-Baruch et al., Multi-label classification with partial annotations using class-aware
selective loss, CVPR 2022. B images, C categories.
"""

import torch
from torch import Tensor

from goldseam.errors import InvalidConfig
from goldseam.trainer.distributed import total
from goldseam.trainer.tag_strategies.config import ClassSelective
from goldseam.trainer.tag_strategies.entries import asymmetric, mixed
from goldseam.trainer.tag_strategies.states import TagContext, TagStates
from goldseam.trainer.tag_strategies.strategy import TagLoss


class ClassSelectiveLoss(TagLoss):
    """See `config.ClassSelective`.

    Args:
        options: of the strategy.
        categories: C.

    Attributes:
        prior_C: frequency of each category, float64; NaN until it is estimated.
        sum_C: of probabilities in the last epoch of the warm-up.
        images: how many images that sum has.

    Raises:
        InvalidConfig: there is not one prior for each category.
    """

    prior_C: Tensor
    sum_C: Tensor
    images: Tensor

    def __init__(self, options: ClassSelective, categories: int) -> None:
        super().__init__(options)
        if len(options.priors) not in (0, categories):
            raise InvalidConfig(
                f"loss.tags.priors has {len(options.priors)} numbers; the task has {categories} "
                "categories.",
                remedy="Give one frequency a category, in the order of dataset.yaml, or none.",
            )
        self.options = options
        given = options.priors or [float("nan")] * categories
        self.register_buffer("prior_C", torch.tensor(given, dtype=torch.float64))
        self.register_buffer("sum_C", torch.zeros(categories, dtype=torch.float64))
        self.register_buffer("images", torch.zeros((), dtype=torch.float64))

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Asymmetric loss of known entries and of the unknown ones that are not ignored."""
        options = self.options
        gamma_BC = torch.where(
            states.unknown_BC, float(options.gamma_unknown), float(options.gamma_negative)
        ).to(logits_BC)
        terms = asymmetric(logits_BC, options.gamma_positive, gamma_BC, options.margin)
        loss_BC = mixed(states.target_BC, terms)
        if self._warms_up(logits_BC, context):
            return loss_BC, states.known_BC
        ignored_BC = (self.prior_C > options.prior_above) | self._likeliest(logits_BC, states)
        return loss_BC, states.known_BC | (states.unknown_BC & ~ignored_BC)

    @torch.no_grad()
    def _warms_up(self, logits_BC: Tensor, context: TagContext) -> bool:
        """Whether unknown entries are ignored still; measures frequencies meanwhile."""
        options = self.options
        if options.priors:
            return False
        if context.steps < options.epochs:
            raise InvalidConfig(
                f"loss.tags measures how common categories are in part {options.warmup} of "
                f"{options.epochs} of a training, and {context.steps} steps have no such part.",
                remedy="Take more steps, fewer loss.tags.epochs, or give loss.tags.priors.",
            )
        epoch = context.epoch(options.epochs)
        if epoch == options.warmup - 1:
            self._measure(logits_BC, context)
        elif epoch >= options.warmup:
            # in every step: an epoch may begin with a batch that carries no tag
            prior_C = torch.where(self.prior_C.isnan(), self.sum_C / self.images, self.prior_C)
            self.prior_C.copy_(prior_C)
        return epoch < options.warmup

    def _measure(self, logits_BC: Tensor, context: TagContext) -> None:
        probability_BC = torch.sigmoid(logits_BC).double()
        labeled_B = context.labeled_B
        if labeled_B is None:
            labeled_B = torch.ones(len(logits_BC), dtype=torch.bool, device=logits_BC.device)
        self.sum_C += total(torch.where(labeled_B[:, None], probability_BC, 0.0).sum(dim=0))
        self.images += total(labeled_B.double().sum())

    @torch.no_grad()
    def _likeliest(self, logits_BC: Tensor, states: TagStates) -> Tensor:
        """The unknown entries of each image with the highest scores, ties by order: bool BC."""
        key_BC = torch.where(states.unknown_BC, logits_BC, -torch.inf)
        order_BC = key_BC.argsort(dim=1, descending=True, stable=True)
        return states.unknown_BC & (order_BC.argsort(dim=1) < self.options.likeliest)
