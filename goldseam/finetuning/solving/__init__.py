"""The convex fit of every category's head, and the cross-validation of its penalty."""
