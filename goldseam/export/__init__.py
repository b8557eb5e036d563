"""Trained models outside of goldseam: torch.export programs, ONNX, and MLflow's scoring server."""
