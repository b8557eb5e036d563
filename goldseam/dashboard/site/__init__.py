"""The static site over many runs: what labels were worth, version by version."""
