"""The drift report: one self-contained page over the outputs of the drift controls."""
