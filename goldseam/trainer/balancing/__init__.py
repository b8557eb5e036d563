"""How the losses of many tasks become one number."""

from collections.abc import Mapping

from goldseam.dataset.schema import Task
from goldseam.trainer.balancing.fixed import Balance, FixedBalance
from goldseam.trainer.balancing.gradient_norm import GradientNormBalance
from goldseam.trainer.balancing.uncertainty import UncertaintyBalance
from goldseam.trainer.config import LossConfig

__all__ = [
    "Balance",
    "FixedBalance",
    "GradientNormBalance",
    "UncertaintyBalance",
    "build_balance",
]


def build_balance(config: LossConfig, tasks: Mapping[str, Task]) -> Balance:
    """The balance that a configuration names, for the tasks of a model."""
    if config.balance == "uncertainty":
        return UncertaintyBalance(config, tasks)
    if config.balance == "gradient_norm":
        return GradientNormBalance(config, tasks)
    return FixedBalance(config)
