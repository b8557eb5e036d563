"""Images that are in the dataset twice, and what that leaks or contradicts."""
