"""Stage ingest: decode a dataset's source files as they were into a raw store with tiles, labels and splits."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.ingest import step
from tasks.ingest.params import IngestParams
from tasks.params import load


@stage_flow("ingest")
def ingest(dataset: str) -> str:
    """Ingest data/sources/<dataset> to data/raw/<dataset>.zarr; returns the digest of its recipe."""
    params = load(PARAMS, f"ingest.{dataset}", IngestParams)
    source, out = DATA / "sources" / dataset, DATA / "raw" / f"{dataset}.zarr"
    return run_stage(step, lambda: step.prepare(source, out, params, dataset, f"rawmill repro ingest@{dataset}"))


if __name__ == "__main__":
    stage_main(ingest)
