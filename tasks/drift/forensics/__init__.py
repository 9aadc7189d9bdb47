"""Drift forensics: which parameters of the data model a task model cannot bear to see changed, and how far."""
