"""The rows of tiles.parquet: from the entries and what was found in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.ingest import layout, splits
from tasks.ingest.manifest import Entry
from tasks.ingest.params import IngestParams
from tasks.ingest.sources import Sources
from tasks.ingest.tiles import tile_label

Row = dict[str, Any]
UNSPLIT: Row = {"split": "", "fold": 0}


def rows_of(
    sources: Sources, entries: Sequence[Entry], facts: Mapping[str, Mapping[str, Any]], params: IngestParams
) -> list[Row]:
    """One row a tile, with its split; `facts` are those of `layout.write_frame` and `write_slide`, by item."""
    if sources.kind == "crops":
        rows = [_crop(sources, index, entry) for index, entry in enumerate(entries)]
    else:
        rows = [
            _tile(sources, entry, tile, params)
            for entry in entries
            for tile in facts[entry.id]["tiles"]
            if _stays(sources, tile, params)
        ]
    groups: dict[str, list[str]] = {entry.group: [] for entry in entries}
    for row in rows:
        groups[row["group"]].append(row["label"])
    places = splits.split(groups, params)
    return [{**row, "split": places[row["group"]][0], "fold": places[row["group"]][1]} for row in rows]


def _crop(sources: Sources, index: int, entry: Entry) -> Row:
    height, width = sources.crop_shape
    shares = {f"fraction_{name}": float(name == entry.label) for name in sources.classes}
    return {
        **UNSPLIT,
        **shares,
        "tile_id": entry.id,
        "source": entry.file,
        "item": "",
        "index": index,
        "y_px": 0,
        "x_px": 0,
        "height_px": height,
        "width_px": width,
        "label": entry.label,
        "mask": "",
        "group": entry.group,
        "intensity": entry.intensity,
        "coverage": float(entry.label != ""),
        "tissue": 1.0,
    }


def _stays(sources: Sources, tile: Mapping[str, Any], params: IngestParams) -> bool:
    """Bare glass without a label is left out of a slide's tiles."""
    return sources.kind != "slides" or tile["tissue"] >= params.least_tissue or sum(tile["fractions"]) > 0


def _tile(sources: Sources, entry: Entry, tile: Mapping[str, Any], params: IngestParams) -> Row:
    y, x, height, width = tile["window"]
    label = tile_label(tile["fractions"], sources.classes, params.least_label) if entry.mask else entry.label
    return {
        **UNSPLIT,
        **{f"fraction_{name}": share for name, share in zip(sources.classes, tile["fractions"], strict=True)},
        "tile_id": f"{entry.id}_{tile['side']}_{y:06d}_{x:06d}",
        "source": entry.file,
        "item": entry.id,
        "index": -1,
        "y_px": y,
        "x_px": x,
        "height_px": height,
        "width_px": width,
        "label": label,
        "mask": f"{sources.kind}/{entry.id}/labels/{layout.ANNOTATION}" if entry.mask else "",
        "group": entry.group,
        "intensity": entry.intensity,
        "coverage": min(1.0, sum(tile["fractions"])),
        "tissue": tile["tissue"],
    }


def metrics_of(rows: Sequence[Row], entries: Sequence[Entry], rejected: Sequence[str]) -> dict[str, float]:
    """What is worth tracking of an ingest."""
    return {
        "sources": float(len(entries)),
        "rejected": float(len(rejected)),
        "groups": float(len({entry.group for entry in entries})),
        "tiles": float(len(rows)),
        "tiles_test": float(sum(row["split"] == "test" for row in rows)),
        "tiles_labelled": float(sum(row["coverage"] > 0 for row in rows)),
    }
