"""Step: a segmenter trained on the annotated training tiles, measured on the held-out slide."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import output
from tasks.contracts import Record
from tasks.errors import InputError, fault
from tasks.evaluation import figures, models, tiles
from tasks.evaluation.outputs import curves, input_path, write_history, write_roles
from tasks.evaluation.overlap import confusion, dice, iou, mean_iou
from tasks.evaluation.params import SegmenterParams
from tasks.evaluation.segment import Lessons
from tasks.evaluation.training import fit
from tasks.learn.determinism import one_thread
from tasks.lineage.digest import pretty
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job

ITEM = "segmenter"
FIGURE = "figures/heldout.png"
SHOWN = 6


def annotated(slides: Path, split: str, min_coverage: float) -> pd.DataFrame:
    """Tiles of `split` with a mask that covers at least `min_coverage` of them, and something.

    Raises `InputError` where there are none.
    """
    rows = tiles.table(slides, split)
    rows = rows[(rows["mask"] != "") & (rows["coverage"] > 0) & (rows["coverage"] >= min_coverage)]
    if rows.empty:
        wrong = f"no {split} tile is annotated to {min_coverage:.0%}"
        raise InputError(fault(slides, wrong, "some", "annotate more or lower min_coverage"))
    return rows.reset_index(drop=True)


def prepare(slides: Path, out: Path, params: SegmenterParams) -> Job:
    """Plan a segmenter from the annotated tiles of `slides`. Raises `LineageError`, `InputError`."""
    for split in ("train", "test"):
        annotated(slides, split, params.min_coverage)
    plan = Plan(
        stage="segmenter",
        name=out.name,
        inputs=[artefact("slides", slides, out)],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair="rawmill repro segmenter",
        seed=params.training.seed,
    )
    return output.start(out, plan, [ITEM], lambda content: (content / "figures").mkdir())


def process(job: Job, item: str) -> None:
    """Train, measure on the held-out tiles, write the model."""
    params = SegmenterParams.model_validate(job.plan["params"])
    slides = input_path(job, "slides")
    rows = annotated(slides, "train", params.min_coverage)
    classes = tiles.class_names(slides)
    cache = job.staging / "pictures.npy", job.staging / "masks.npy"
    pictures = tiles.memory_map(cache[0], tiles.pictures(slides, rows), len(rows))
    masks = tiles.memory_map(cache[1], tiles.annotations(slides, rows), len(rows))
    with one_thread():
        lessons = Lessons(pictures, masks, len(classes), params)
    history = fit(lessons.network, lessons.loss, params.training, job.staging / "checkpoint", ITEM)
    description = {"kind": "segmenter", "network": params.network.model_dump(mode="json"), "classes": list(classes)}
    files = models.save(job.content, lessons.network, description)
    metrics = _measure(job, models.Segmenter(tuple(classes), lessons.network, params.training.batch_tiles), params)
    files += [job.content / "metrics.json", job.content / FIGURE, write_roles(job.content / "tiles.parquet", rows)]
    output.mark_done(job, item, files, {"metrics": metrics, "history": history})
    for file in cache:
        file.unlink()


def _measure(job: Job, segment: models.Segmenter, params: SegmenterParams) -> dict[str, float]:
    """Write metrics.json and the figure from the held-out tiles; returns the scalars worth tracking."""
    slides, names = input_path(job, "slides"), list(segment.classes)
    rows = annotated(slides, "test", params.min_coverage)
    truth = np.stack(list(tiles.annotations(slides, rows)))
    guess = segment(tiles.pictures(slides, rows))
    counts = confusion(truth, guess, len(names))
    document: dict[str, Any] = {
        "tiles": len(rows),
        "mean_iou": mean_iou(counts),
        "pixel_accuracy": float(np.trace(counts) / counts.sum()),
        "iou": _by_class(names, iou(counts)),
        "dice": _by_class(names, dice(counts)),
        "confusion": {"rows": "truth", "columns": "predicted", "classes": names, "pixels": counts.tolist()},
    }
    (job.content / "metrics.json").write_bytes(pretty(document))
    shown = np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)
    shown_tiles = np.stack(list(tiles.pictures(slides, rows.iloc[shown])))
    figures.predictions(job.content / FIGURE, shown_tiles, truth[shown], guess[shown], names)
    return {"mean_iou": document["mean_iou"], "pixel_accuracy": document["pixel_accuracy"]}


def _by_class(names: list[str], values: Any) -> dict[str, float | None]:
    return {n: None if np.isnan(v) else float(v) for n, v in zip(names, values, strict=True)}


def finish(job: Job) -> Record:
    """Write the history and publish."""
    done = output.receipt(job, ITEM)
    if done is None:
        return output.publish(job)
    history = [(int(s), str(m), float(v)) for s, m, v in done["facts"]["history"]]
    write_history(job.content / "history.csv", history)
    return output.publish(job, done["facts"]["metrics"], curves(history), [FIGURE], [models.WEIGHTS])
