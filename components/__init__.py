"""Containerized components, one folder each."""
