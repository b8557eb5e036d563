"""The component `stop`."""
