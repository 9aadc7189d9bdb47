"""Drift controls (thesis A, section 3.3): synthesis, forensics and optimisation of camera drift for a task model."""
