"""Labels that seem wrong, found by comparing them with predictions that never saw them."""
