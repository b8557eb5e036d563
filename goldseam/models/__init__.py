"""Networks: encoders, decoders, the denoiser, the multi-task model, and its checkpoint."""
