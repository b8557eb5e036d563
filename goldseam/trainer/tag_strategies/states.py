"""What a batch says of each tag: a target, unknown, or unsure; and where in a training it stands.

B images, C categories, N images of the training split.
"""

import dataclasses

import torch
from torch import Tensor

from goldseam.dataset.codecs import UNSURE
from goldseam.errors import InvalidConfig
from goldseam.trainer.tag_strategies.config import UncertainPolicy


@dataclasses.dataclass(frozen=True, eq=False)
class TagContext:
    """Where in a training a batch stands.

    Attributes:
        step: steps done before this one.
        steps: of the whole training.
        rows_B: int64 B, each image's position among the N; None where no strategy asks for it.
        labeled_B: bool B, False for images whose tags nobody looked at: these are left out, also
            by strategies that replace unknown entries. None is True for all.
    """

    step: int
    steps: int
    rows_B: Tensor | None = None
    labeled_B: Tensor | None = None

    def epoch(self, epochs: int) -> int:
        """Number, from 0, of the present one of so many equal parts of the training."""
        return min(self.step * epochs // self.steps, epochs - 1)

    def rows(self) -> Tensor:
        """`rows_B`.

        Raises:
            InvalidConfig: there are none.
        """
        if self.rows_B is None:
            raise InvalidConfig(
                "this label strategy remembers what it made of each image, and the batch does not "
                "say which images of the training split it holds.",
                remedy="Give TagContext.rows_B, or choose a strategy without memory.",
            )
        return self.rows_B


@dataclasses.dataclass(frozen=True, eq=False)
class TagStates:
    """A batch of tags, read.

    Attributes:
        target_BC: in [0, 1]; 0 where nothing is known.
        known_BC: True where the target is one.
        unknown_BC: True for unknown entries of labeled images.
    """

    target_BC: Tensor
    known_BC: Tensor
    unknown_BC: Tensor


def read_states(
    state_BC: Tensor, logits_BC: Tensor, policy: UncertainPolicy, context: TagContext
) -> TagStates:
    """Targets of a batch.

    Args:
        state_BC: 1 present, 0 absent, -1 unknown, -2 unsure.
        logits_BC: gives the targets their type.
        policy: what unsure entries count for.
        context: of the batch.
    """
    labeled_BC = torch.ones_like(state_BC, dtype=torch.bool)
    if context.labeled_B is not None:
        labeled_BC = labeled_BC & context.labeled_B[:, None]
    unsure_BC = labeled_BC & (state_BC == UNSURE)
    known_BC = labeled_BC & (state_BC >= 0)
    unknown_BC = labeled_BC & ~known_BC & ~unsure_BC
    target_BC = torch.where(known_BC, state_BC, 0).to(logits_BC)
    if policy.policy != "ignore":
        known_BC = known_BC | unsure_BC
        target_BC = torch.where(unsure_BC, _unsure(policy, target_BC, context), target_BC)
    return TagStates(target_BC, known_BC, unknown_BC)


def _unsure(policy: UncertainPolicy, like_BC: Tensor, context: TagContext) -> Tensor:
    """What unsure entries count for: BC."""
    match policy.policy:
        case "zeros":
            return torch.zeros_like(like_BC)
        case "ones":
            return torch.ones_like(like_BC)
        case smoothed:
            low, high = policy.zeros if smoothed == "smoothed_zeros" else policy.ones
            uniform_BC = entry_uniform(context.rows(), like_BC.shape[1], policy.seed)
            return (low + (high - low) * uniform_BC).to(like_BC)


def entry_uniform(rows_B: Tensor, categories: int, seed: int) -> Tensor:
    """A number in [0, 1) for each (seed, image, category), whenever and wherever it is asked for.

    The finalizer of splitmix64 (Steele, Lea and Flood 2014) over the three, in integers that wrap
    around; so any device gives the same.

    Args:
        rows_B: the images.
        categories: C.
        seed: of all numbers.

    Returns:
        float32 BC, multiples of 2^-24.
    """
    category_C = torch.arange(categories, device=rows_B.device)
    mixed_B = _scrambled(rows_B.to(torch.int64) + _scrambled(torch.full_like(rows_B, seed)))
    mixed_BC = _scrambled(mixed_B[:, None] ^ _scrambled(category_C + 1))
    return _shifted(mixed_BC, 40).to(torch.float32) / 2**24


def _scrambled(value: Tensor) -> Tensor:
    value = value * _signed(0x9E3779B97F4A7C15) + _signed(0x9E3779B97F4A7C15)
    value = (value ^ _shifted(value, 30)) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ _shifted(value, 27)) * _signed(0x94D049BB133111EB)
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, bits: int) -> Tensor:
    """Shifted to the right with zeros from the left; `>>` copies the sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
