"""Predictions of a trained model for pictures of any size, as arrays, maps and drawings."""
