"""The component `read_recipe`."""
