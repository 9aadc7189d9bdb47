"""Stage segmenter: learn to name tissue from the annotated training tiles of a slides store."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.evaluation import segmenter_step as step
from tasks.evaluation.params import SegmenterParams
from tasks.params import load


@stage_flow("segmenter")
def segmenter(dataset: str) -> str:
    """Train the segmenter on `data/raw/<dataset>.zarr`; returns the digest of its recipe."""
    params = load(PARAMS, "segmenter", SegmenterParams)
    slides = DATA / "raw" / f"{dataset}.zarr"
    return run_stage(step, lambda: step.prepare(slides, out=DATA / "models" / "segmenter", params=params))


if __name__ == "__main__":
    stage_main(segmenter)
