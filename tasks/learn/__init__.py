"""Task models: networks, one training loop, cross-validation by group, metrics, prediction."""
