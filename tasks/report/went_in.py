"""Section: what went in. Datasets, files, groups, splits and sizes, and the slides with their annotation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import store
from tasks.report import encode, figures
from tasks.report.inputs import Inputs, Section, classes, kind, tiles

TINT = 0.45
EMBEDDED = "skimage/data/ihc.png"
"""The picture, 512 x 512 px, that the embedded slides are made from."""


def build(inputs: Inputs) -> Section:
    """One entry a dataset; pictures of every slide."""
    datasets = [dataset(inputs, name) for name in inputs.params.datasets]
    slides: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    for name in inputs.params.datasets:
        raw = inputs.path(f"raw/{name}")
        for slide in items(raw) if kind(raw) == "slides" else []:
            plain, tinted = slide_pictures(raw, slide, inputs.params.frame_width_px)
            files = [f"slide-{name}-{slide}{end}.jpg" for end in ("", "-annotation")]
            pictures |= {
                f: encode.jpeg(p, inputs.params.jpeg_quality) for f, p in zip(files, (plain, tinted), strict=True)
            }
            slides.append({"name": slide, "pictures": files, "classes": classes(raw), "split": split_of(raw, slide)})
    textures = [found for name in inputs.params.datasets if (found := texture(inputs, name)) is not None]
    return Section({"datasets": datasets, "slides": slides, "textures": textures}, pictures)


def texture(inputs: Inputs, name: str) -> dict[str, Any] | None:
    """Where the texture of the embedded slides comes from, by the recipe of their sources; None for other slides."""
    recipe, raw = inputs.recipe(f"sources/{name}"), inputs.path(f"raw/{name}")
    given = [entry for entry in recipe["inputs"] if entry["kind"] == "package" and entry["path"] == EMBEDDED]
    if kind(raw) != "slides" or not given:
        return None
    params = recipe["params"]
    return {
        "dataset": name,
        "package": given[0]["package"],
        "picture": EMBEDDED,
        "held_out": split(tiles(raw), "test")["groups"],
        "apart": sorted(params.get("held_out", [])) == split(tiles(raw), "test")["groups"],
        "columns": params.get("picture_columns_px"),
    }


def dataset(inputs: Inputs, name: str) -> dict[str, Any]:
    """Counts and sizes of one dataset, from its recipes and tables."""
    raw, sources = inputs.path(f"raw/{name}"), inputs.path(f"sources/{name}")
    table = tiles(raw)
    files = sorted(p.suffix.lower() for p in sources.rglob("*") if p.is_file() and p.suffix.lower() in PIXELS)
    return {
        "name": name,
        "kind": kind(raw),
        "format": ", ".join(sorted({PIXELS[suffix] for suffix in files})),
        "pictures": len(set(table["source"])),
        "source_bytes": inputs.recipe(f"sources/{name}")["output"]["bytes"],
        "raw_bytes": inputs.recipe(f"raw/{name}")["output"]["bytes"],
        "tiles": len(table),
        "tile_px": sorted({f"{h} x {w}" for h, w in zip(table["height_px"], table["width_px"], strict=True)}),
        "intensities": [float(v) for v in sorted(set(table["intensity"]), reverse=True)],
        "splits": [split(table, part) for part in ("train", "test")],
        "folds": len(set(table["fold"]) - {-1}),
        "classes": shares(table, classes(raw), of_tiles=kind(raw) == "crops"),
        "rejected": inputs.recipe(f"raw/{name}")["notes"].get("rejected", []),
    }


PIXELS = {".tif": "TIFF", ".tiff": "TIFF", ".dng": "DNG", ".svs": "SVS", ".ndpi": "NDPI"}


def split(table: pd.DataFrame, part: str) -> dict[str, Any]:
    """Tiles and groups of one side of the split."""
    mine = table[table["split"] == part]
    return {"name": part, "tiles": len(mine), "groups": sorted(set(mine["group"]))}


def shares(table: pd.DataFrame, names: list[str], of_tiles: bool) -> list[dict[str, Any]]:
    """Share of each class: of the tiles by their label, else of the tiles' pixels."""
    if of_tiles:
        return [{"name": n, "share": float((table["label"] == n).mean()), "of": "tiles"} for n in names]
    return [{"name": n, "share": float(table[f"fraction_{n}"].mean()), "of": "pixels"} for n in names]


def items(raw: Path) -> list[str]:
    """Slides or frames of a raw store."""
    return sorted(set(tiles(raw)["item"]) - {""})


def split_of(raw: Path, item: str) -> str:
    table = tiles(raw)
    return str(table[table["item"] == item]["split"].iloc[0])


def slide_pictures(raw: Path, slide: str, width_px: int) -> tuple[figures.Picture, figures.Picture]:
    """A whole slide, reduced, as it is and under its annotation, from the pyramid level next above that width."""
    place = raw / "slides" / slide
    levels = sorted(int(p.name) for p in place.iterdir() if p.name.isdigit())
    wide = [level for level in levels if store.open_array(place / str(level)).shape[-1] >= width_px]
    level = str(wide[-1] if wide else levels[0])
    picture = figures.from_planes(np.asarray(store.open_array(place / level)[:]))
    mask = np.asarray(store.open_array(place / "labels" / "annotation" / level)[:])
    pair = picture, figures.tinted(picture, mask[: picture.shape[0], : picture.shape[1]], TINT)
    return figures.reduce(pair[0], width_px), figures.reduce(pair[1], width_px)
