"""How good a synthetic corpus is: features, fidelity beside its baselines, nearest originals, mask steering."""
