"""Sections: the synthetic images with their masks and nearest real tiles, and how good they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import store
from tasks.report import encode, figures
from tasks.report.inputs import Inputs, Section, classes, kind, read_json, read_picture

TINT = 0.4
METRICS = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage")


def build(inputs: Inputs) -> Section:
    """Some synthetic images, each with mask and overlay; synthetic tiles beside their nearest real ones."""
    corpus, raw = inputs.path("synthetic"), inputs.path(f"raw/{slides_of(inputs)}")
    table = pd.read_parquet(corpus / "samples.parquet").sort_values("sample_id", ignore_index=True)
    pictures: dict[str, bytes] = {}
    rows = table.head(inputs.params.samples).to_dict("records")
    shown = [sample(inputs, corpus, {str(k): v for k, v in row.items()}, pictures) for row in rows]
    near = neighbours(inputs, corpus, raw, pictures)
    palette = [
        "#{:02x}{:02x}{:02x}".format(*c)
        for c in figures.coloured(np.arange(1 + len(classes(raw)), dtype=np.uint8)[None])[0]
    ]
    legend = [{"name": n, "colour": c} for n, c in zip(["unknown", *classes(raw)], palette, strict=True)]
    return Section({"count": len(table), "samples": shown, "neighbours": near, "legend": legend}, pictures)


def slides_of(inputs: Inputs) -> str:
    """The dataset that the corpus is compared with."""
    return next(name for name in inputs.params.datasets if kind(inputs.path(f"raw/{name}")) == "slides")


def sample(inputs: Inputs, corpus: Path, row: dict[str, Any], pictures: dict[str, bytes]) -> dict[str, Any]:
    """One synthetic image: picture, overlay and mask; adds to `pictures`."""
    name = str(row["sample_id"])
    place = corpus / "samples" / name
    picture = figures.from_planes(np.asarray(store.open_array(place / "0")[:]))
    mask = np.asarray(store.open_array(place / "labels" / "mask" / "0")[:])
    files = [f"sample-{name}.jpg", f"sample-{name}-overlay.jpg", f"sample-{name}-mask.png"]
    quality = inputs.params.jpeg_quality
    pictures[files[0]] = encode.jpeg(picture, quality)
    pictures[files[1]] = encode.jpeg(figures.tinted(picture, mask, TINT), quality)
    pictures[files[2]] = encode.png(figures.coloured(mask))
    size = f"{int(row['width_px'])} x {int(row['height_px'])} px"
    return {"id": name, "size": size, "seed": int(row["seed"]), "pictures": files}


def neighbours(inputs: Inputs, corpus: Path, raw: Path, pictures: dict[str, bytes]) -> list[dict[str, Any]]:
    """The synthetic tiles nearest to a training tile for its neighbourhood, most suspicious first."""
    table = pd.read_parquet(inputs.path("evaluation") / "neighbours.parquet")
    tiles = pd.read_parquet(raw / "tiles.parquet").set_index("tile_id")
    first = table[table["rank"] == 1].sort_values(["copy_ratio", "tile_id"], kind="stable")
    entries = []
    for number, row in enumerate(first.head(inputs.params.neighbours).to_dict("records")):
        real = tiles.loc[row["original"]]
        height, width = int(real["height_px"]), int(real["width_px"])
        places = {
            "synthetic": (corpus / "samples" / str(row["sample_id"]) / "0", int(row["y_px"]), int(row["x_px"])),
            "real": (raw / "slides" / str(real["item"]) / "0", int(real["y_px"]), int(real["x_px"])),
        }
        files = {who: f"near-{number}-{who}.jpg" for who in places}
        for who, (path, y, x) in places.items():
            cut = np.asarray(store.open_array(path)[:, y : y + height, x : x + width])
            pictures[files[who]] = encode.jpeg(figures.from_planes(cut), inputs.params.jpeg_quality)
        entries.append(
            {
                "tile": row["tile_id"],
                "original": row["original"],
                "ratio": float(row["copy_ratio"]),
                "pictures": list(files.values()),
            }
        )
    return entries


def build_fidelity(inputs: Inputs) -> Section:
    """Distances with their baselines and intervals, copies, steering, and the sentences that follow from them."""
    place = inputs.path("evaluation")
    found = read_json(place / "metrics.json")
    pictures = {
        f"evaluation-{n}.png": read_picture(place / "figures" / f"{n}.png") for n in ("frechet", "features", "steering")
    }
    pairs = [{**pair, "question": pair["candidate"] == "synthetic"} for pair in found["comparisons"]]
    return Section({**found, "comparisons": pairs, "metrics": METRICS}, pictures)
