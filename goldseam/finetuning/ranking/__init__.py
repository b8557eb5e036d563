"""Heads that rank better than the convex optimum, and the published methods to compare with."""
