"""The component `read_partial_recipe`."""
