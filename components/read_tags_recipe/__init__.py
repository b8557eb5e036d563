"""The component `read_tags_recipe`."""
