"""The command line: `goldseam …`. Heavy libraries are imported inside the commands that need them."""

from goldseam.cli.app import main

__all__ = ["main"]
