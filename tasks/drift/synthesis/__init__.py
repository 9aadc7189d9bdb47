"""Drift synthesis (thesis A, 3.3.1): task models trained on each data model, tested on all and on corruptions."""
