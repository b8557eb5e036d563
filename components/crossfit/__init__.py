"""The component `crossfit`."""
