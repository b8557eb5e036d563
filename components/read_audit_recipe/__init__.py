"""The component `read_audit_recipe`."""
