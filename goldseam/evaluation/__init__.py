"""The evaluate stage: held-out clean labels, every model on the same images, honest intervals."""
