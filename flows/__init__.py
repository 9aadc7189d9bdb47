"""Prefect flows, one module a stage, and the command line. No domain logic in here."""
