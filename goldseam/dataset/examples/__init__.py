"""Example datasets that are built on the user's machine from packages, with no download of their own."""
