"""What every label strategy is: the loss of a tags task, with a memory that training saves.

B images, C categories, N images of the training split.
"""

import abc

import torch
from torch import Tensor, nn

from goldseam.trainer.distributed import rank, total, world_size
from goldseam.trainer.reduction import Reduction, mean_over
from goldseam.trainer.tag_strategies.config import StrategyOptions
from goldseam.trainer.tag_strategies.states import TagContext, TagStates, read_states


class TagLoss(nn.Module, abc.ABC):
    """The loss of a batch of tags.

    What it remembers are buffers of fixed shapes: whoever saves its `state_dict` with the training
    goes on from there to the bit.

    Args:
        options: of the strategy; of these, what unsure entries count for.

    Attributes:
        counts_unknown: whether unknown or unsure entries may count; then a batch in which nothing
            is known has a loss too.
        needs_rows: whether `TagContext.rows_B` must be given.
    """

    def __init__(self, options: StrategyOptions) -> None:
        super().__init__()
        self.uncertain = options.uncertain
        self.counts_unknown = options.counts_unknown
        self.needs_rows = options.remembers_images

    @abc.abstractmethod
    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """What each entry costs, and which entries count: float BC, bool BC."""

    def forward(
        self,
        logits_BC: Tensor,
        state_BC: Tensor,
        context: TagContext,
        reduce: Reduction = mean_over,
    ) -> Tensor:
        """The loss of a batch; computed in float32, whatever precision the logits have.

        Where several processes train together, each calls this with its own images, and as many of
        them as every other.

        Args:
            logits_BC: unnormalized scores.
            state_BC: 1 present, 0 absent, -1 unknown, -2 unsure.
            context: where in the training the batch stands.
            reduce: entries to one number.
        """
        logits_BC = logits_BC.float()
        states = read_states(state_BC, logits_BC, self.uncertain, context)
        loss_BC, counted_BC = self.entries(logits_BC, states, context)
        return reduce(loss_BC, counted_BC)


@torch.no_grad()
def gathered(value_B: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks: (processes x B) and further axes.

    Every process must bring the same shape.
    """
    if world_size() == 1:
        return value_B.detach()
    slots_PB = value_B.new_zeros((world_size(), *value_B.shape))
    slots_PB[rank()] = value_B.detach()
    return total(slots_PB).flatten(0, 1)


def own_rows(gathered_B: Tensor, count: int) -> Tensor:
    """This process's share of what was gathered: `count` rows."""
    start = rank() * count
    return gathered_B[start : start + count]


def largest(value_BC: Tensor, candidate_BC: Tensor, count: Tensor) -> Tensor:
    """True for exactly `count` candidates, or all of them: the largest, ties by their order.

    Args:
        value_BC: what is compared.
        candidate_BC: which entries may be chosen.
        count: how many, a scalar; a GPU is not waited for.
    """
    key_M = torch.where(candidate_BC, value_BC, -torch.inf).flatten()
    order_M = key_M.argsort(descending=True, stable=True)
    place_M = torch.empty_like(order_M)
    place_M[order_M] = torch.arange(len(order_M), device=order_M.device)
    return candidate_BC & (place_M < count).view_as(candidate_BC)
