"""closet: photographed clothes, shoes and bags, composed into scenes whose labels are exact."""

from goldseam.dataset.examples.closet.build import build_closet
from goldseam.dataset.examples.closet.composing import Composition, compose

__all__ = ["Composition", "build_closet", "compose"]
