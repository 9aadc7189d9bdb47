"""Prefect flows, one module a stage, and the command line. No domain logic in here."""

import os

# Before any of these libraries is imported: nothing is reported to anybody, and a server that a loaded machine
# starts slowly is waited for.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
