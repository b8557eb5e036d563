"""What one task's label says about another: depth about normals, regions about their boundaries.

A derived label holds what follows from the source's label and nothing else: pixels about which the
source is silent stay unknown. Derive before a sample is turned, cropped or resized: the camera is
that of the stored image, and what is derived there is turned and resized like any label.
"""

from goldseam.dataset.derivation.boundaries import boundary_from_depth, boundary_from_segmentation
from goldseam.dataset.derivation.normals import camera_signs, normals_from_depth
from goldseam.dataset.derivation.rules import (
    DERIVED,
    THROUGH_CAMERA,
    derive,
    merge_derivations,
    require_derivations,
)
from goldseam.dataset.derivation.table import DerivedTable

__all__ = [
    "DERIVED",
    "THROUGH_CAMERA",
    "DerivedTable",
    "boundary_from_depth",
    "boundary_from_segmentation",
    "camera_signs",
    "derive",
    "merge_derivations",
    "normals_from_depth",
    "require_derivations",
]
