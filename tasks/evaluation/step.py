"""Step: what a synthetic corpus is worth, measured beside its baselines.

Items: one for each set of features, and one for each side of the steering test. `finish` sets them against
each other; it reads them back from the staging place, so that any worker may have made them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import output, store
from tasks.contracts import Record
from tasks.errors import InputError, LineageError, fault
from tasks.evaluation import baselines, models, summary, tiles
from tasks.evaluation.outputs import input_path
from tasks.evaluation.params import EvaluateParams
from tasks.evaluation.segmenter_step import annotated
from tasks.evaluation.steering import pair_counts, steering, strata
from tasks.lineage.recipe import Plan, artefact, check_files, digest_of, read
from tasks.output import Job
from tasks.rng import generator

REAL = ("real_train", "real_test")
SPOILT = ("blurred", "shuffled_pixels", "gaussian_noise", "uniform_noise")
SETS = ("synthetic", *REAL, *SPOILT)
STEERING = ("steering_synthetic", "steering_real")
PIXEL_SIZE_TOLERANCE = 0.01
MAKERS = ("autoencoder", "denoiser")
"""The models that a corpus is made by: the roles of its recipe's inputs."""

Named = tuple[pd.DataFrame, Iterator[NDArray[np.uint8]]]
"""Rows (sample_id, tile_id, y_px, x_px) and their tiles (c, y, x), uint8."""


def prepare(synthetic: Path, slides: Path, encoder: Path, segmenter: Path, out: Path, params: EvaluateParams) -> Job:
    """Plan the evaluation of the corpus `synthetic` against the slides store its models learnt from.

    Raises `LineageError` for an input that is not what its recipe says, `InputError` where the inputs do not
    belong together: another pixel size, other classes, held-out tiles that the encoder, the segmenter or the models
    of the corpus have seen, a corpus of models of another slides store.
    """
    places = {"synthetic": synthetic, "slides": slides, "encoder": encoder, "segmenter": segmenter}
    inputs = [artefact(role, path, out) for role, path in places.items()]
    _check(places, params)
    plan = Plan(
        stage="evaluate",
        name=out.name,
        inputs=inputs,
        params=params.model_dump(mode="json"),
        code=__name__,
        repair="rawmill repro evaluate",
        seed=params.seed,
    )
    return output.start(out, plan, [*SETS, *STEERING], _layout)


def _layout(content: Path) -> None:
    for folder in ("features.parquet", "figures"):
        (content / folder).mkdir()


def _check(places: dict[str, Path], params: EvaluateParams) -> None:
    """Raise `InputError` where the inputs do not belong together."""
    for role in ("encoder", "segmenter"):
        check_unseen(places[role], role, places["slides"])
    check_corpus(places["synthetic"], places["slides"])
    classes = models.load_segmenter(places["segmenter"], params.batch_tiles).classes
    named = tuple(tiles.class_names(places["slides"]))
    if classes != named:
        raise InputError(fault(places["segmenter"], f"classes {classes}", named, "make the segmenter again"))
    size = tiles.tile_size(tiles.table(places["slides"], "test"))
    _check_canvases(places["synthetic"], size, params.max_steering_canvases)
    _check_scale(places["synthetic"], places["slides"])


def check_unseen(model: Path, role: str, slides: Path) -> None:
    """Raise `InputError` where the `tiles.parquet` of `model` names a held-out tile of the store `slides`."""
    heldout = set(tiles.table(slides, "test")["tile_id"])
    seen = heldout & set(pd.read_parquet(model / "tiles.parquet")["tile_id"])
    if seen:
        wrong = f"learnt from held-out tile {min(seen)} and {len(seen) - 1} more"
        raise InputError(fault(model, wrong, "training tiles only", f"make the {role} again"))


def check_corpus(corpus: Path, slides: Path) -> None:
    """Raise unless both `MAKERS` of the store `corpus` learnt from training tiles of the store `slides`.

    They are found through the recipe of the corpus: `LineageError` where they are no longer those that made it,
    `InputError` where it names none, or one of another slides store, or one that saw held-out tiles.
    """
    inputs = {entry["role"]: entry for entry in read(corpus)["inputs"]}
    for role in MAKERS:
        if role not in inputs:
            raise InputError(fault(corpus, f"its recipe names no {role}", "one", "synthesise the corpus"))
        model = corpus.parent / str(inputs[role]["path"])
        check_files(model)
        if digest_of(read(model)) != inputs[role]["recipe"]:
            wrong, remedy = f"not the {role} that made {corpus.name}", "synthesise the corpus again"
            raise LineageError(fault(model, wrong, str(inputs[role]["recipe"])[:16], remedy))
        _check_store(model, role, slides)
        check_unseen(model, role, slides)


def _check_store(model: Path, role: str, slides: Path) -> None:
    stores = [entry["recipe"] for entry in read(model)["inputs"] if entry["role"] == "slides"]
    wanted = digest_of(read(slides))
    if stores != [wanted]:
        wrong = f"learnt from slides {', '.join(s[:16] for s in stores) or 'unknown'}"
        raise InputError(fault(model, wrong, f"{wanted[:16]} at {slides}", f"train the {role} on these slides"))


def _check_canvases(synthetic: Path, size: tuple[int, int], most: int) -> None:
    samples = pd.read_parquet(synthetic / "samples.parquet")
    small = samples[(samples["height_px"] < size[0]) | (samples["width_px"] < size[1])]
    if len(small):
        wrong = f"canvas {small['sample_id'].iloc[0]} is smaller than a tile"
        raise InputError(fault(synthetic, wrong, f"{size} px or more", "synthesise larger canvases"))
    if not _shuffled(synthetic, size, most):
        wrong = "no two samples of one size"
        raise InputError(fault(synthetic, wrong, "two or more", "synthesise more: masks cannot be shuffled"))


def _shuffled(corpus: Path, size: tuple[int, int], most: int) -> list[str]:
    """At most `most` samples whose whole tiles fill a rectangle that another sample's fill too, the first ones.

    Samples are independent draws, numbered: the first are as good as any. Those alone in their size are left out.
    """
    rows = pd.read_parquet(corpus / "samples.parquet").sort_values("sample_id", kind="stable").head(most)
    shapes = [(h // size[0], w // size[1]) for h, w in rows[["height_px", "width_px"]].to_numpy().tolist()]
    kept = strata(shapes) >= 0
    return [str(s) for s in rows["sample_id"][kept]]


def _check_scale(synthetic: Path, slides: Path) -> None:
    first = pd.read_parquet(synthetic / "samples.parquet")["sample_id"].iloc[0]
    item = tiles.table(slides, "test")["item"].iloc[0]
    ours = tiles.pixel_size_um(synthetic / "samples" / str(first))
    theirs = tiles.pixel_size_um(slides / "slides" / str(item))
    if abs(ours / theirs - 1) > PIXEL_SIZE_TOLERANCE:
        raise InputError(fault(synthetic, f"{ours} um a pixel", f"{theirs} as in {slides}", "compare at one scale"))


def process(job: Job, item: str) -> None:
    """Extract one set of features, or measure one side of the steering."""
    params = EvaluateParams.model_validate(job.plan["params"])
    if item in STEERING:
        output.mark_done(job, item, [], _steering(job, item, params))
        return
    rows, pictures = _pictures(job, item, params)
    extract = models.load_extractor(input_path(job, "encoder"), params.batch_tiles)
    features = extract(pictures)
    names = [f"f{i:04d}" for i in range(features.shape[1])]
    frame = pd.concat([rows.reset_index(drop=True), pd.DataFrame(features, columns=names)], axis=1)
    frame.insert(0, "set", item)
    path = job.content / "features.parquet" / f"{item}.parquet"
    frame.to_parquet(path, index=False)
    output.mark_done(job, item, [path], {"extractor": extract.name, "tiles": len(frame)})


def _steering(job: Job, item: str, params: EvaluateParams) -> dict[str, Any]:
    """Facts of one side of the steering test; NaN among the draws as null."""
    masks, predicted, classes = _synthetic_labels(job, params) if item == STEERING[0] else _real_labels(job, params)
    counts, groups = pair_counts(masks, predicted, len(classes)), strata([m.shape for m in masks])
    found = steering(counts, groups, params.draws, params.permutations, params.confidence, params.seed, item)
    draws = [None if np.isnan(gain) else gain for gain in found.gain_draws]
    return {"steering": found.document(classes), "gain_draws": draws}


def _pictures(job: Job, item: str, params: EvaluateParams) -> Named:
    """The tiles of the set `item`."""
    slides = input_path(job, "slides")
    if item == "synthetic":
        return _synthetic(input_path(job, "synthetic"), tiles.tile_size(tiles.table(slides, "test")))
    rows = tiles.table(slides, "test" if item == "real_test" else "train")
    if item in REAL:
        return _named(rows), tiles.pictures(slides, rows)
    order = generator(params.seed, item, "originals").permutation(len(rows))[: params.max_tiles]
    rows = rows.iloc[np.sort(order)]
    spoil = baselines.makers(params.seed, params.blur_sigma_px)[item]
    spoilt = (spoil(t, i) for t, i in zip(tiles.pictures(slides, rows), rows["tile_id"], strict=True))
    return _named(rows), spoilt


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[["item", "tile_id", "y_px", "x_px"]].rename(columns={"item": "sample_id"})


def _samples(corpus: Path) -> list[str]:
    return sorted(str(s) for s in pd.read_parquet(corpus / "samples.parquet")["sample_id"])


def _synthetic(corpus: Path, size: tuple[int, int]) -> Named:
    """Every whole tile of `size` of every canvas; the names first, the pixels one canvas at a time."""
    names = []
    for sample in _samples(corpus):
        shape = store.open_array(corpus / "samples" / sample / "0").shape
        places = tiles.corners(shape[-2], shape[-1], *size).tolist()
        names += [(sample, f"{sample}_y{y}_x{x}", y, x) for y, x in places]
    canvases = (np.asarray(store.open_array(corpus / "samples" / s / "0")[:]) for s in _samples(corpus))
    return (
        pd.DataFrame(names, columns=["sample_id", "tile_id", "y_px", "x_px"]),
        (tile for canvas in canvases for tile in tiles.cut(canvas, *size)),
    )


Labels = tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]], tuple[str, ...]]
"""Masks, predictions, class names."""


def _synthetic_labels(job: Job, params: EvaluateParams) -> Labels:
    """Masks of the canvases and what the segmenter sees in them, tile by tile as on real slides."""
    corpus, size = input_path(job, "synthetic"), tiles.tile_size(tiles.table(input_path(job, "slides"), "test"))
    segment = models.load_segmenter(input_path(job, "segmenter"), params.batch_tiles)
    masks, predicted = [], []
    for sample in _shuffled(corpus, size, params.max_steering_canvases):
        place = corpus / "samples" / sample
        canvas, mask = (np.asarray(store.open_array(p / "0")[:]) for p in (place, place / "labels" / "mask"))
        labels = tiles.join(segment(tiles.cut(canvas, *size)), *canvas.shape[-2:])
        masks.append(mask[: labels.shape[0], : labels.shape[1]])
        predicted.append(labels)
    return masks, predicted, segment.classes


def _real_labels(job: Job, params: EvaluateParams) -> Labels:
    """Annotations of held-out tiles and what the segmenter sees in them, at most `max_tiles` drawn at random."""
    slides = input_path(job, "slides")
    segment = models.load_segmenter(input_path(job, "segmenter"), params.batch_tiles)
    rows = annotated(slides, "test", 0.0)
    order = generator(params.seed, "steering_real", "selection").permutation(len(rows))
    rows = rows.iloc[np.sort(order[: params.max_steering_tiles])]
    return list(tiles.annotations(slides, rows)), list(segment(tiles.pictures(slides, rows))), segment.classes


def finish(job: Job) -> Record:
    """Set the sets against each other, write metrics, neighbours and figures, publish."""
    receipts = {item: output.receipt(job, item) for item in job.items}
    if not all(receipts.values()):
        return output.publish(job)
    facts: dict[str, dict[str, Any]] = {item: r["facts"] for item, r in receipts.items() if r}
    params = EvaluateParams.model_validate(job.plan["params"])
    metrics, figures = summary.write(job, facts, params, SETS)
    return output.publish(job, metrics, figures=figures)
