"""The end of the evaluation: sets against each other, the nearest originals, sentences, figures, files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.evaluation import figures, tiles, verdict
from tasks.evaluation.compare import Sample, comparisons, copy_ratios, copy_test, equal_sets, normalised
from tasks.evaluation.manifold import nearest
from tasks.evaluation.outputs import input_path
from tasks.evaluation.params import EvaluateParams
from tasks.lineage.digest import pretty
from tasks.output import Job

FIGURES = ("figures/frechet.png", "figures/features.png", "figures/steering.png", "figures/neighbours.png")
CANVASES = "synthetic"
Frames = Mapping[str, pd.DataFrame]


def sample_of(frame: pd.DataFrame) -> Sample:
    """Features as float64; the tiles of one canvas form a group, each real tile its own."""
    features = frame[[c for c in frame.columns if c[0] == "f" and c[1:].isdigit()]].to_numpy(np.float64)
    if frame["set"].iloc[0] == CANVASES:
        return Sample(features, pd.factorize(frame["sample_id"])[0].astype(np.int64))
    return Sample(features, np.arange(len(frame), dtype=np.int64))


def neighbour_table(frames: Frames, samples: Mapping[str, Sample], params: EvaluateParams) -> pd.DataFrame:
    """A row for each synthetic tile and each of its nearest training tiles, nearest first.

    Columns: tile_id, sample_id, y_px, x_px, rank (1 = nearest), original (tile_id), distance (normalised
    features), copy_ratio (of the tile; see `copy_ratios`).
    """
    own, originals = frames[CANVASES], frames["real_train"]
    queries, references = samples[CANVASES].features, samples["real_train"].features
    k = min(params.nearest_originals, len(references))
    index, distance = nearest(queries, references, k)
    table = own.loc[own.index.repeat(k), ["tile_id", "sample_id", "y_px", "x_px"]].reset_index(drop=True)
    return table.assign(
        rank=np.tile(np.arange(1, k + 1), len(own)),
        original=originals["tile_id"].to_numpy()[index.ravel()],
        distance=distance.ravel(),
        copy_ratio=np.repeat(copy_ratios(queries, references, params.neighbours), k),
    )


def write(
    job: Job, facts: Mapping[str, Mapping[str, Any]], params: EvaluateParams, sets: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """Write metrics.json, neighbours.parquet and the figures; returns scalars to track and the figures' paths."""
    frames = {name: pd.read_parquet(job.content / "features.parquet" / f"{name}.parquet") for name in sets}
    samples = normalised({name: sample_of(frame) for name, frame in frames.items()}, "real_train")
    pairs = comparisons(equal_sets(samples, params), params)
    neighbours = neighbour_table(frames, samples, params)
    neighbours.to_parquet(job.content / "neighbours.parquet", index=False)
    synthetic, heldout, originals = (samples[name].features for name in (CANVASES, "real_test", "real_train"))
    copies = copy_test(synthetic, heldout, originals, params)
    steered = {side: facts[f"steering_{side}"]["steering"] for side in ("synthetic", "real")}
    document = {
        "extractor": facts[CANVASES]["extractor"],
        "features": samples[CANVASES].features.shape[1],
        "neighbours": params.neighbours,
        "confidence": params.confidence,
        "tiles": {name: len(frame) for name, frame in frames.items()},
        "comparisons": pairs,
        "copies": copies,
        "steering": steered,
        "verdict": {
            "fidelity": verdict.fidelity(pairs),
            "manifold": verdict.manifold(pairs),
            "copies": verdict.copies(copies, params.confidence),
            "steering": verdict.steering(steered["synthetic"], steered["real"], params.confidence),
        },
    }
    (job.content / "metrics.json").write_bytes(pretty(document))
    _draw(job, document, samples, neighbours, params)
    return scalars(document), list(FIGURES)


def scalars(document: Mapping[str, Any]) -> dict[str, float]:
    """The numbers worth tracking: every pair's metrics, steering, copies. Undefined ones are left out."""
    found = {
        f"{pair['candidate']}.{pair['reference']}.{metric}": entry["value"]
        for pair in document["comparisons"]
        for metric, entry in pair.items()
        if isinstance(entry, dict)
    }
    for side, block in document["steering"].items():
        found[f"steering.{side}.own_iou"] = block["own"]["value"]
        found[f"steering.{side}.shuffled_iou"] = block["shuffled"]["mean"]
        found[f"steering.{side}.p_value"] = block["shuffled"]["p_value"]
    found["copies.flagged"] = document["copies"]["flagged"]
    found["copies.p_value"] = document["copies"]["p_value"]
    return {name: float(value) for name, value in found.items() if value is not None}


def _draw(
    job: Job,
    document: Mapping[str, Any],
    samples: Mapping[str, Sample],
    neighbours: pd.DataFrame,
    params: EvaluateParams,
) -> None:
    bars, plane, steered, gallery = (job.content / name for name in FIGURES)
    figures.frechet_bars(bars, document["comparisons"])
    shown = {name: samples[name].features for name in ("real_train", "real_test", CANVASES)}
    figures.scatter(plane, shown, np.concatenate([shown["real_train"], shown["real_test"]]))
    figures.steering_bars(steered, document["steering"]["synthetic"], document["steering"]["real"])
    figures.gallery(gallery, gallery_rows(job, neighbours, params.gallery_rows))


def gallery_rows(job: Job, neighbours: pd.DataFrame, count: int) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    """The `count` synthetic tiles with the lowest copy ratio, each with its nearest training tiles."""
    slides, corpus = input_path(job, "slides"), input_path(job, "synthetic")
    rows = tiles.table(slides, "train").set_index("tile_id", drop=False)
    size = tiles.tile_size(rows)
    first = neighbours[neighbours["rank"] == 1].sort_values(["copy_ratio", "tile_id"], kind="stable")[:count]
    found = []
    for tile_id in first["tile_id"]:
        mine = neighbours[neighbours["tile_id"] == tile_id]
        pictures = list(tiles.pictures(slides, rows.loc[list(mine["original"])]))
        caption = f"{tile_id}\nratio {mine['copy_ratio'].iloc[0]:.2f}"
        found.append((caption, [_tile(corpus, mine.iloc[0], size), *pictures]))
    return found


def _tile(corpus: Path, row: "pd.Series[Any]", size: tuple[int, int]) -> NDArray[np.uint8]:
    array = store.open_array(corpus / "samples" / str(row["sample_id"]) / "0")
    y, x = int(row["y_px"]), int(row["x_px"])
    return np.asarray(array[:, y : y + size[0], x : x + size[1]])
