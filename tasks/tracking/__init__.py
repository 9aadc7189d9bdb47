"""MLflow behind one small interface: `track(job, record)`.

A sqlite store under data/mlflow/ by default, or the server that MLFLOW_TRACKING_URI names. Runs are made from
a finished `Record` alone. MLflow is a view for people: lineage does not depend on it.
"""

from tasks.tracking.mlflow_store import track

__all__ = ["track"]
