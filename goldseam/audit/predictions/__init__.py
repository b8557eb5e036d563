"""Predictions that never saw the label they are compared with: made here, or given."""
