"""The one training loop, and what it needs: losses, optimizer, state for resume, validation."""
