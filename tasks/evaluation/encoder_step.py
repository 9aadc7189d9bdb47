"""Step: an image encoder trained without labels on the training tiles of a slides store."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import output
from tasks.contracts import Record
from tasks.evaluation import models, tiles
from tasks.evaluation.augment import view_of
from tasks.evaluation.moco import Moco, label_agreement, retrieval
from tasks.evaluation.outputs import curves, input_path, write_history, write_roles
from tasks.evaluation.params import EncoderParams
from tasks.evaluation.training import fit
from tasks.learn.determinism import one_thread
from tasks.lineage.digest import pretty
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job
from tasks.rng import generator

ITEM = "encoder"


def prepare(slides: Path, out: Path, params: EncoderParams) -> Job:
    """Plan an encoder from the training tiles of the slides store `slides`. Raises `LineageError`, `InputError`."""
    tiles.table(slides, "train")
    tiles.table(slides, "test")
    plan = Plan(
        stage="encoder",
        name=out.name,
        inputs=[artefact("slides", slides, out)],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair="rawmill repro encoder",
        seed=params.training.seed,
    )
    return output.start(out, plan, [ITEM], lambda content: None)


def process(job: Job, item: str) -> None:
    """Train, measure on the held-out tiles, write the model."""
    params = EncoderParams.model_validate(job.plan["params"])
    slides = input_path(job, "slides")
    rows = tiles.table(slides, "train")
    data = tiles.memory_map(job.staging / "tiles.npy", tiles.pictures(slides, rows), len(rows))
    with one_thread():
        model = Moco(params)
    before = _measure(model, slides, params)
    training = params.training
    history = fit(model, lambda s: model.step_loss(data, s), training, job.staging / "checkpoint", ITEM, model.follow)
    untrained = {f"{name}_untrained": value for name, value in before.items()}
    metrics = {**_measure(model, slides, params), **untrained, "train_loss": history[-1][2]}
    output.mark_done(job, item, _write(job, model, params, rows, metrics), {"metrics": metrics, "history": history})
    (job.staging / "tiles.npy").unlink()


def _write(job: Job, model: Moco, params: EncoderParams, rows: pd.DataFrame, metrics: dict[str, float]) -> list[Path]:
    network = params.network.model_dump(mode="json")
    name = f"{params.network.name} by momentum contrast on the training tiles"
    files = models.save(job.content, model.encoder, {"kind": "encoder", "name": name, "network": network})
    (job.content / "metrics.json").write_bytes(pretty(metrics))
    return [*files, job.content / "metrics.json", write_roles(job.content / "tiles.parquet", rows)]


def _measure(model: Moco, slides: Path, params: EncoderParams) -> dict[str, float]:
    """How well the features tell held-out tiles apart, and whether tiles near each other show one kind of tissue."""
    extract = models.Extractor(ITEM, model.encoder.eval(), params.training.batch_tiles)
    found = {"retrieval": _retrieval(extract, slides, params)}
    sets = [tiles.table(slides, split) for split in ("test", "train")]
    test, train = (rows[rows["label"] != ""] for rows in sets)
    if len(test) and len(train):
        features = (extract(tiles.pictures(slides, rows)).astype(np.float64) for rows in (test, train))
        names = (rows["label"].to_numpy(str) for rows in (test, train))
        (queries, references), (wanted, known) = features, names
        found["label_agreement"] = label_agreement(queries, wanted, references, known)
    return found


def _retrieval(extract: models.Extractor, slides: Path, params: EncoderParams) -> float:
    """Share of held-out tiles whose second view is told from those of all other held-out tiles."""
    rows = tiles.table(slides, "test")
    pairs: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
    for tile_id, picture in zip(rows["tile_id"], tiles.pictures(slides, rows), strict=True):
        rng = generator(params.training.seed, tile_id, "retrieval")
        for views in pairs:
            view = (view_of(picture, params.augmentation, rng) + 1) * 127.5
            views.append(np.rint(view).astype(np.uint8))
    first, second = (extract(views).astype(np.float64) for views in pairs)
    return retrieval(first, second)


def finish(job: Job) -> Record:
    """Write the history and publish."""
    done = output.receipt(job, ITEM)
    if done is None:
        return output.publish(job)
    history = [(int(s), str(m), float(v)) for s, m, v in done["facts"]["history"]]
    write_history(job.content / "history.csv", history)
    return output.publish(job, done["facts"]["metrics"], curves(history), models=[models.WEIGHTS])
