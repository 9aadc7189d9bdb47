"""The rows of tiles.parquet: from the entries and what was found in them.

A large slide has tens of thousands of tiles: what is known of one is a short list of numbers, and rows are made
one at a time, or a slide's tiles would take more memory than its pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.ingest import layout, splits, tiles
from tasks.ingest.layout import Facts, TileFacts
from tasks.ingest.manifest import Entry
from tasks.ingest.params import IngestParams
from tasks.ingest.sources import Sources

Row = dict[str, Any]


def table_of(sources: Sources, entries: Sequence[Entry], facts: Mapping[str, Facts], params: IngestParams) -> pa.Table:
    """One row a tile, with its split; `facts` are those of frames and of closed pictures, by item.

    Raises `InputError` where two tiles have one id.
    """
    groups: dict[str, list[str]] = {entry.group: [] for entry in entries}
    for entry, tile in _tiles(sources, entries, facts, params):
        groups[entry.group].append(_label(sources, entry, tile, params))
    places = splits.split(groups, params)
    rows = (
        {**_row(sources, number, entry, tile, params), "split": places[entry.group][0], "fold": places[entry.group][1]}
        for number, (entry, tile) in enumerate(_tiles(sources, entries, facts, params))
    )
    return tiles.table(rows, sources.classes)


def _tiles(
    sources: Sources, entries: Sequence[Entry], facts: Mapping[str, Facts], params: IngestParams
) -> Iterator[tuple[Entry, TileFacts | None]]:
    """Every tile with its entry; a crop is one tile, of which nothing else is known."""
    for entry in entries:
        if sources.kind == "crops":
            yield entry, None
            continue
        for numbers in facts[entry.id]["tiles"]:
            tile = TileFacts.from_plain(numbers)
            if _stays(sources, tile, params):
                yield entry, tile


def _stays(sources: Sources, tile: TileFacts, params: IngestParams) -> bool:
    """Bare glass without a label is left out of a slide's tiles."""
    return sources.kind != "slides" or tile.tissue >= params.least_tissue or sum(tile.fractions) > 0


def _label(sources: Sources, entry: Entry, tile: TileFacts | None, params: IngestParams) -> str:
    if tile is None or not entry.mask:
        return entry.label
    return tiles.tile_label(tile.fractions, sources.classes, params.least_label)


def _row(sources: Sources, number: int, entry: Entry, tile: TileFacts | None, params: IngestParams) -> Row:
    return _crop(sources, number, entry) if tile is None else _tile(sources, entry, tile, params)


def _crop(sources: Sources, index: int, entry: Entry) -> Row:
    height, width = sources.crop_shape
    shares = {f"fraction_{name}": float(name == entry.label) for name in sources.classes}
    return {
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
        "subtype": entry.subtype,
        "coverage": float(entry.label != ""),
        "tissue": 1.0,
    }


def _tile(sources: Sources, entry: Entry, tile: TileFacts, params: IngestParams) -> Row:
    y, x, height, width = tile.window
    return {
        **{f"fraction_{name}": share for name, share in zip(sources.classes, tile.fractions, strict=True)},
        "tile_id": f"{entry.id}_{tile.side}_{y:06d}_{x:06d}",
        "source": entry.file,
        "item": entry.id,
        "index": -1,
        "y_px": y,
        "x_px": x,
        "height_px": height,
        "width_px": width,
        "label": _label(sources, entry, tile, params),
        "mask": f"{sources.kind}/{entry.id}/labels/{layout.ANNOTATION}" if entry.mask else "",
        "group": entry.group,
        "intensity": entry.intensity,
        "subtype": entry.subtype,
        "coverage": min(1.0, sum(tile.fractions)),
        "tissue": tile.tissue,
    }


def metrics_of(table: pa.Table, entries: Sequence[Entry], rejected: Sequence[str]) -> dict[str, float]:
    """What is worth tracking of an ingest."""
    return {
        "sources": float(len(entries)),
        "rejected": float(len(rejected)),
        "groups": float(len({entry.group for entry in entries})),
        "tiles": float(len(table)),
        "tiles_test": float(pc.sum(pc.equal(table["split"], "test")).as_py() or 0),
        "tiles_labelled": float(pc.sum(pc.greater(table["coverage"], 0)).as_py() or 0),
    }
