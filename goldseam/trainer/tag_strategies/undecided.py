"""Unknown entries are kept undecided, until the model is sure that they are absent.

Source: Zhou et al., Acknowledging the unknown for multi-label learning with single positive labels,
ECCV 2022: entropy maximization (EM) and asymmetric pseudo-labeling (APL). B images, C categories,
N images of the training split.
"""

import torch
from torch import Tensor

from goldseam.trainer.tag_strategies.config import Entropy
from goldseam.trainer.tag_strategies.entries import cross_entropy, entropy
from goldseam.trainer.tag_strategies.states import TagContext, TagStates
from goldseam.trainer.tag_strategies.strategy import TagLoss, gathered


class EntropyLoss(TagLoss):
    """See `config.Entropy`.

    Args:
        options: of the strategy.
        images: N; without `negatives` nothing is remembered of them.
        categories: C.

    Attributes:
        score_NC: last probability of an unknown entry, and once it has a soft target, that target;
            NaN for entries that were never seen unknown.
        negative_NC: True where an entry has a soft target.
        rounds: how many epochs have given soft targets.
    """

    score_NC: Tensor
    negative_NC: Tensor
    rounds: Tensor

    def __init__(self, options: Entropy, images: int, categories: int) -> None:
        super().__init__(options)
        self.options = options
        if options.negatives:
            self.register_buffer("score_NC", torch.full((images, categories), torch.nan))
            self.register_buffer("negative_NC", torch.zeros(images, categories, dtype=torch.bool))
            self.register_buffer("rounds", torch.zeros((), dtype=torch.int64))

    def entries(
        self, logits_BC: Tensor, states: TagStates, context: TagContext
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of known entries, minus entropy of unknown ones; soft targets count too."""
        unknown_BC = states.unknown_BC
        loss_BC = torch.where(
            unknown_BC,
            -self.options.alpha * entropy(logits_BC),
            cross_entropy(logits_BC, states.target_BC),
        )
        if self.options.negatives:
            self._give_negatives(context)
            rows_B = context.rows()
            soft_BC = unknown_BC & self.negative_NC[rows_B]
            target_BC = torch.where(soft_BC, self.score_NC[rows_B], 0.0)
            soft_loss_BC = self.options.beta * cross_entropy(logits_BC, target_BC)
            loss_BC = torch.where(soft_BC, soft_loss_BC, loss_BC)
            self._remember(logits_BC, unknown_BC, rows_B)
        return loss_BC, states.known_BC | unknown_BC

    @torch.no_grad()
    def _give_negatives(self, context: TagContext) -> None:
        """Soft targets for the lowest scores of each category, at the beginning of an epoch."""
        options = self.options
        # an epoch may begin with a batch that carries no tag: what it missed is given later
        due = context.epoch(options.epochs) - options.warmup + 1
        if due <= 0 or (missing := due - int(self.rounds)) <= 0:
            return
        self.rounds.fill_(due)
        seen_NC = self.score_NC.isfinite()
        share = missing * options.negatives / (options.epochs - options.warmup)
        count_C = (share * seen_NC.sum(dim=0).double() + 1e-6).floor()
        free_NC = seen_NC & ~self.negative_NC
        key_NC = torch.where(free_NC, self.score_NC, torch.inf)
        place_NC = key_NC.argsort(dim=0, stable=True).argsort(dim=0)
        self.negative_NC |= free_NC & (place_NC < count_C)

    @torch.no_grad()
    def _remember(self, logits_BC: Tensor, unknown_BC: Tensor, rows_B: Tensor) -> None:
        """Scores of this step, of all processes; those that became soft targets stay."""
        rows_B = gathered(rows_B)
        probability_BC = gathered(torch.sigmoid(logits_BC))
        open_BC = gathered(unknown_BC.to(torch.uint8)).bool() & ~self.negative_NC[rows_B]
        new_BC = torch.where(open_BC, probability_BC, self.score_NC[rows_B])
        # an image that is in a batch twice is written once: which write is last is not defined
        first_B = (rows_B[:, None] == rows_B[None, :]).to(torch.uint8).argmax(dim=1)
        self.score_NC[rows_B] = new_BC[first_B]
