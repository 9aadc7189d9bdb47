"""Sections: raw frames before and after development, and the variants side by side."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks import store
from tasks.contracts import Calibration
from tasks.report import encode, figures
from tasks.report.inputs import Inputs, Row, Section, calibration, examples, kind, mosaic, tiles, view

SITE_PX = 6
"""Screen pixels a sensor site in the detail."""
SCENE = ("group", "label", "y_px", "x_px", "height_px", "width_px")
NUMBERED = re.compile(r"(.+)[-_]i?(\d+(?:\.\d+)?)")
ROUNDED = 0.02
"""What rounding in a name may make of an intensity."""


def mosaics(inputs: Inputs) -> list[str]:
    """The datasets that are developed."""
    return [name for name in inputs.params.datasets if kind(inputs.path(f"raw/{name}")) != "slides"]


def build(inputs: Inputs) -> Section:
    """For each dataset of mosaics: examples as the sensor counted them, their sites, and developed; whole frames."""
    shown: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    for name in mosaics(inputs):
        rows = examples(inputs.path(f"raw/{name}"), inputs.params.crops)
        entries = [example(inputs, name, row, pictures) for row in rows]
        series = exposures(inputs, name, rows[0], pictures)
        frames = whole_frames(inputs, name, rows[:1], pictures)
        shown.append({"dataset": name, "examples": entries, "exposures": series, "frames": frames})
    return Section({"variant": inputs.params.shown_variant, "datasets": shown}, pictures)


def _cut(inputs: Inputs, name: str, row: Row) -> tuple[np.ndarray[Any, np.dtype[np.uint16]], Calibration]:
    raw = inputs.path(f"raw/{name}")
    side = inputs.params.window_px
    return mosaic(raw, row)[:side, :side], calibration(raw, row)


def example(inputs: Inputs, name: str, row: Row, pictures: dict[str, bytes]) -> dict[str, Any]:
    """Grey mosaic, coloured sites of its busiest detail, and the developed view; adds to `pictures`."""
    side, detail = inputs.params.window_px, inputs.params.detail_px
    counts, camera = _cut(inputs, name, row)
    gain = figures.exposure_gain(counts, camera)
    after = figures.from_view(view(inputs.path(f"variants/{name}/{inputs.params.shown_variant}"), row["tile_id"]))
    y, x = figures.busiest(after[:side, :side], detail, detail // 4 * 2)
    cut = counts[y : y + detail, x : x + detail]
    sites = figures.coloured_sites(cut, camera, figures.exposure_gain(cut, camera))
    stem = f"raw-{name}-{row['tile_id']}"
    quality = inputs.params.jpeg_quality
    pictures[f"{stem}-mosaic.jpg"] = encode.jpeg(figures.grey(counts, camera, gain), quality)
    pictures[f"{stem}-sites.png"] = encode.png(figures.enlarge(sites, SITE_PX))
    pictures[f"{stem}-after.jpg"] = encode.jpeg(after[:side, :side], quality)
    files = [f"{stem}-mosaic.jpg", f"{stem}-sites.png", f"{stem}-after.jpg"]
    return {"tile": row["tile_id"], "label": row["label"], "pattern": camera.pattern, "gain": gain, "pictures": files}


def exposures(inputs: Inputs, name: str, row: Row, pictures: dict[str, bytes]) -> list[dict[str, Any]]:
    """The green sites of the scene of `row` at each intensity, brought to one brightness, so that the noise shows.

    Nothing where it cannot be told which tiles show that scene.
    """
    entries = []
    for found in same_scene(tiles(inputs.path(f"raw/{name}")).to_dict("records"), row):
        counts, camera = _cut(inputs, name, found)
        file = f"exposure-{name}-{found['intensity']:g}.jpg"
        gain = figures.exposure_gain(counts, camera)
        pictures[file] = encode.jpeg(figures.green_sites(counts, camera, gain), inputs.params.jpeg_quality)
        entries.append(
            {"intensity": float(found["intensity"]), "tile": found["tile_id"], "gain": gain, "picture": file}
        )
    return entries


def same_scene(table: Sequence[Mapping[Any, Any]], row: Row) -> list[Row]:
    """The rows of one scene at two or more intensities, brightest first; none where that cannot be established.

    One scene is one group, label and window, and a name (the frame's, of a crop the tile's) that differs only in
    the number at its end, which must go with the intensity, as in `cell-i0050` of 0.05 and `cell-i1000` of 1.
    """
    stem, unit = _named(row)
    alike = [r for r in table if all(r[key] == row[key] for key in SCENE) and _named(r)[0] == stem]
    found = {float(r["intensity"]): r for r in alike if math.isclose(_named(r)[1], unit, rel_tol=ROUNDED)}
    return [found[i] for i in sorted(found, reverse=True)] if stem and len(found) > 1 else []


def _named(row: Mapping[Any, Any]) -> tuple[str, float]:
    """The name before its last number, and that number over the intensity; ("", 0) where it ends with none."""
    match = NUMBERED.fullmatch(str(row["item"] or row["tile_id"]))
    return (match[1], float(match[2]) / float(row["intensity"])) if match else ("", 0.0)


def whole_frames(inputs: Inputs, name: str, rows: list[dict[str, Any]], pictures: dict[str, bytes]) -> list[Any]:
    """Whole frames, reduced, before and after; nothing for a stack of crops."""
    raw, width = inputs.path(f"raw/{name}"), inputs.params.frame_width_px
    variant = inputs.path(f"variants/{name}/{inputs.params.shown_variant}")
    entries = []
    for row in rows if kind(raw) == "frames" else []:
        item, camera = str(row["item"]), calibration(raw, row)
        counts = np.asarray(store.open_array(raw / "frames" / item / "0")[:])
        before = figures.grey(counts, camera, figures.exposure_gain(counts, camera))
        after = figures.from_view(np.asarray(store.open_array(variant / "frames" / item / "0")[:]))
        files = [f"frame-{name}-{item}-{when}.jpg" for when in ("before", "after")]
        for file, picture in zip(files, (before, after), strict=True):
            pictures[file] = encode.jpeg(figures.reduce(picture, width), inputs.params.jpeg_quality)
        size = f"{counts.shape[1]} x {counts.shape[0]} px"
        entries.append({"item": item, "size": size, "camera": camera.model_dump(mode="json"), "pictures": files})
    return entries


def build_variants(inputs: Inputs) -> Section:
    """One crop or window of each dataset in every variant, and the two that differ most with their difference."""
    shown: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    for name in mosaics(inputs):
        (row,) = examples(inputs.path(f"raw/{name}"), 1)
        shown.append({"dataset": name, "tile": row["tile_id"], **side_by_side(inputs, name, row, pictures)})
    return Section({"gain": inputs.params.difference_gain, "datasets": shown}, pictures)


def side_by_side(inputs: Inputs, name: str, row: Row, pictures: dict[str, bytes]) -> dict[str, Any]:
    """All variants of one tile, and the pair A, B, A - B; adds to `pictures`."""
    names, side = inputs.params.variants, inputs.params.window_px
    views = np.stack([view(inputs.path(f"variants/{name}/{v}"), row["tile_id"])[:, :side, :side] for v in names])
    files = [f"variant-{name}-{v.replace(',', '-')}.jpg" for v in names]
    for file, each in zip(files, views, strict=True):
        pictures[file] = encode.jpeg(figures.from_view(each), inputs.params.jpeg_quality)
    a, b, distance = figures.differ_most(views)
    pictures[f"variant-{name}-difference.png"] = encode.png(
        figures.difference(views[a], views[b], inputs.params.difference_gain)
    )
    pair = {
        "a": names[a],
        "b": names[b],
        "rms": distance,
        "pictures": [files[a], files[b], f"variant-{name}-difference.png"],
    }
    return {"variants": [{"name": v, "picture": f} for v, f in zip(names, files, strict=True)], "pair": pair}
