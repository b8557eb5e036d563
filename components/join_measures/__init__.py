"""The component `join_measures`."""
