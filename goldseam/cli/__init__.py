"""The command line: `goldseam …`; heavy libraries are imported inside the commands."""

from goldseam.cli.app import main

__all__ = ["main"]
