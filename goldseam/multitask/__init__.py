"""The train stage: one model for many tasks from partial labels."""
