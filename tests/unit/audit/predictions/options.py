"""Options of a cross-fitting that takes a moment."""

from goldseam.audit.predictions.config import PredictionsConfig
from goldseam.models.config import EncoderConfig, NetworkConfig
from goldseam.trainer.config import OptimizerConfig

NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)


def config(**changes) -> PredictionsConfig:
    steps = changes.pop("steps", 4)
    optimizer = OptimizerConfig(steps=steps, batch_size=8, learning_rate=1e-2)
    options = {"folds": 3, "network": NETWORK, "optimizer": optimizer} | changes
    return PredictionsConfig(**options)
