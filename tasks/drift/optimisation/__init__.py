"""Drift optimisation (thesis A, 3.3.3): the data model learned with the task model, frozen, or left out."""
