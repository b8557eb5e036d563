"""coast: real satellite tiles with labels from a real map, and the real noise of a coarse one."""

from goldseam.dataset.examples.coast.build import build_coast

__all__ = ["build_coast"]
