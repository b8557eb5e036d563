"""The pretrain stage: an encoder and decoder learned from noisy labels."""
