"""The component `measure`."""
