"""The component `list_parts`."""
