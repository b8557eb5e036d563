"""What people read of an audit: its key sentences and its page."""
