"""Large-loss rejection and correction: unknown entries that cost most are probably present.

Source: Kim et al., Large loss matters in weakly supervised multi-label classification, CVPR 2022.
The published program moves every entry that costs as much as the k-th, this one exactly k.
B images, C categories, N images of the training split.
"""

import torch
from torch import Tensor

from goldseam.trainer.distributed import total
from goldseam.trainer.tag_strategies.config import LargeLoss
from goldseam.trainer.tag_strategies.entries import cross_entropy
from goldseam.trainer.tag_strategies.states import TagContext, TagStates
from goldseam.trainer.tag_strategies.strategy import TagLoss, gathered, largest, own_rows


class LargeTagLoss(TagLoss):
    """See `config.LargeLoss`.

    Args:
        options: of the strategy.
        images: N; only `permanent` remembers anything of them.
        categories: C.
    """

    overwritten_NC: Tensor

    def __init__(self, options: LargeLoss, images: int, categories: int) -> None:
        super().__init__(options)
        self.options = options
        self.permanent = options.mode == "permanent"
        if self.permanent:
            self.register_buffer(
                "overwritten_NC", torch.zeros(images, categories, dtype=torch.bool)
            )

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of all entries of labeled images; a rejected one costs 0 and counts."""
        target_BC, candidate_BC = states.target_BC, states.unknown_BC
        if self.permanent:
            overwritten_BC = candidate_BC & self.overwritten_NC[context.rows()]
            target_BC = torch.where(overwritten_BC, 1.0, target_BC)
            candidate_BC = candidate_BC & ~overwritten_BC
        loss_BC = cross_entropy(logits_BC, target_BC)
        counted_BC = states.known_BC | states.unknown_BC
        share = self._share(context)
        if share == 0:
            return loss_BC, counted_BC
        entries = total(self._labeled(states, context).sum()) * logits_BC.shape[1]
        chosen_BC = self._chosen(loss_BC.detach(), candidate_BC, context, share * entries)
        if self.options.mode == "reject":
            return torch.where(chosen_BC, 0.0, loss_BC), counted_BC
        return cross_entropy(logits_BC, torch.where(chosen_BC, 1.0, target_BC)), counted_BC

    def _share(self, context: TagContext) -> float:
        """Share of a batch's entries that is chosen: none in the first epoch."""
        epoch = context.epoch(self.options.epochs)
        return self.options.rate * (min(epoch, 1) if self.permanent else epoch)

    @staticmethod
    def _labeled(states: TagStates, context: TagContext) -> Tensor:
        """Images whose tags somebody looked at: float64 B."""
        rows = len(states.target_BC)
        labeled_B = context.labeled_B
        if labeled_B is None:
            labeled_B = torch.ones(rows, device=states.target_BC.device)
        return labeled_B.to(torch.float64)

    @torch.no_grad()
    def _chosen(
        self, loss_BC: Tensor, candidate_BC: Tensor, context: TagContext, wanted: Tensor
    ) -> Tensor:
        """Candidates of this process among the ⌈wanted⌉ that cost most in the whole batch."""
        # a product that is a whole number but for rounding must not be rounded up
        count = (wanted - 1e-6).ceil()
        images = len(loss_BC)
        candidate_MC = gathered(candidate_BC.to(torch.uint8)).bool()
        chosen_MC = largest(gathered(loss_BC), candidate_MC, count)
        if self.permanent:
            # every process writes what all chose: each one's memory is the whole
            row_M, category_M = chosen_MC.nonzero(as_tuple=True)
            self.overwritten_NC[gathered(context.rows())[row_M], category_M] = True
        return own_rows(chosen_MC, images)
