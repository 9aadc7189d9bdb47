"""The end of the evaluation: sets against each other, the nearest originals, sentences, figures, files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.evaluation import figures, tiles, verdict
from tasks.evaluation.compare import Sample, comparisons, contrasts, equal_sets, normalised, principal
from tasks.evaluation.manifold import copy_ratios, copy_test, nearest
from tasks.evaluation.outputs import input_path
from tasks.evaluation.params import EvaluateParams
from tasks.evaluation.steering import ceiling_share
from tasks.lineage.digest import pretty
from tasks.output import Job

FIGURES = ("figures/frechet.png", "figures/features.png", "figures/steering.png", "figures/neighbours.png")
CANVASES = "synthetic"
SIDES = ("synthetic", "real")
Frames = Mapping[str, pd.DataFrame]


def rules(params: EvaluateParams) -> dict[str, str]:
    """How the numbers are to be read, for metrics.json."""
    return {
        "intervals": (
            "Half-sampling of whole canvases and of blocks of a slide. They hold within one held-out slide, or those "
            "few there are: another slide may differ by more. Those of the Fréchet distance are up to 1.5 to 2 times "
            "too wide, that is conservative, where n < 4 d or the laws are nearly equal."
        ),
        "groups": f"Real tiles of one block of {params.block_px} px of a slide count as dependent; so do a canvas'.",
        "frechet": f"In the first {params.frechet_dimensions} principal components of real training features.",
        "copies": (
            "Nearness to one half of the training blocks, against that of training tiles of the other half, both "
            "ways; tiles of a canvas count as independent."
        ),
        "steering": (
            f"Steered where p is below 1 - confidence and the low end of the share of the ceiling above "
            f"{params.steering_share}; masks are shuffled among canvases of one size."
        ),
    }


def sample_of(frame: pd.DataFrame, block_px: int) -> Sample:
    """Features as float64; the tiles of one canvas form a group, real tiles those of one `block_px` block of a slide.

    Blocks are numbered slide by slide.
    """
    features = frame[[c for c in frame.columns if c[0] == "f" and c[1:].isdigit()]].to_numpy(np.float64)
    if frame["set"].iloc[0] == CANVASES:
        return Sample(features, pd.factorize(frame["sample_id"])[0].astype(np.int64))
    places = [frame["sample_id"], frame["y_px"] // block_px, frame["x_px"] // block_px]
    return Sample(features, frame.groupby(places, sort=True).ngroup().to_numpy().astype(np.int64))


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
    samples = normalised({name: sample_of(f, params.block_px) for name, f in frames.items()}, "real_train")
    basis, equal = principal(samples["real_train"].features, params.frechet_dimensions), equal_sets(samples, params)
    pairs, differences = comparisons(equal, basis, params), contrasts(equal, basis, params)
    neighbours = neighbour_table(frames, samples, params)
    neighbours.to_parquet(job.content / "neighbours.parquet", index=False)
    originals = samples["real_train"]
    copies = copy_test(samples[CANVASES].features, originals.features, originals.groups, params)
    steered = steering_block(facts, params)
    document = {
        "extractor": facts[CANVASES]["extractor"],
        "features": samples[CANVASES].features.shape[1],
        "frechet_dimensions": basis.shape[1],
        "neighbours": params.neighbours,
        "confidence": params.confidence,
        "tiles": {name: len(frame) for name, frame in frames.items()},
        "comparisons": pairs,
        "contrasts": differences,
        "copies": copies,
        "steering": steered,
        "rules": rules(params),
        "judgement": {
            "fidelity": verdict.standing(differences),
            "steering": verdict.steered(steered, params.confidence),
        },
        "verdict": {
            "fidelity": verdict.fidelity(pairs, differences),
            "manifold": verdict.manifold(pairs),
            "copies": verdict.copies(copies, params.confidence),
            "steering": verdict.steering(steered, params.confidence),
        },
    }
    (job.content / "metrics.json").write_bytes(pretty(document))
    _draw(job, document, samples, neighbours, params)
    return scalars(document), list(FIGURES)


def steering_block(facts: Mapping[str, Mapping[str, Any]], params: EvaluateParams) -> dict[str, Any]:
    """Both sides of the steering test and `share`, of the ceiling, with its interval and the `least` that counts."""
    both = [facts[f"steering_{side}"] for side in SIDES]
    (gain, draws), (ceiling, most) = ((_number(f["steering"]["gain"]), f["gain_draws"]) for f in both)
    share = ceiling_share(gain, draws, ceiling, most, params.confidence).document()
    return {
        **{side: found["steering"] for side, found in zip(SIDES, both, strict=True)},
        "share": {**share, "least": params.steering_share},
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def scalars(document: Mapping[str, Any]) -> dict[str, float]:
    """The numbers worth tracking: every pair's metrics, steering, copies. Undefined ones are left out."""
    found = {
        f"{pair['candidate']}.{pair['reference']}.{metric}": entry["value"]
        for pair in document["comparisons"]
        for metric, entry in pair.items()
        if isinstance(entry, dict)
    }
    found["steering.share"] = document["steering"]["share"]["value"]
    for difference in document["contrasts"]:
        found[f"{difference['candidate']}.less.{difference['other']}.frechet"] = difference["frechet"]["value"]
    for side in SIDES:
        block = document["steering"][side]
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
