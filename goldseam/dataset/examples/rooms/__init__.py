"""rooms: rendered indoor scenes whose labels are exact, because they are read off the geometry."""

from goldseam.dataset.examples.rooms.build import build_rooms

__all__ = ["build_rooms"]
