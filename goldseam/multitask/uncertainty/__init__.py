"""How sure a model is of each pixel, and whether it is right to be.

Four signals, none of which needs another network: entropy of the predicted probabilities, spread
over noisy passes through the denoiser, size of the denoiser's correction, and disagreement with the
prediction of the mirrored image.
"""

from goldseam.multitask.uncertainty.images import image_uncertainty
from goldseam.multitask.uncertainty.maps import SIGNALS, Signal, UncertainPrediction, uncertainty
from goldseam.multitask.uncertainty.quality import (
    UncertaintyQuality,
    measure_uncertainty,
    prediction_error,
)

__all__ = [
    "SIGNALS",
    "Signal",
    "UncertainPrediction",
    "UncertaintyQuality",
    "image_uncertainty",
    "measure_uncertainty",
    "prediction_error",
    "uncertainty",
]
