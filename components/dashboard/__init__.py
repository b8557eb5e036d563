"""The component `dashboard`."""
