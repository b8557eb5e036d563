"""What known labels can prove: whether they suffice, are remembered by heart, or are wrong."""
