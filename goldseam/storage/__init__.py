"""Files that are written whole or not at all, and where data comes from."""
