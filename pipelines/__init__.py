"""Pipelines, one folder each; `python -m components.readme` writes their README."""
