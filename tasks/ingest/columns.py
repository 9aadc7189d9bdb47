"""Slides and microscopy images, column by column, so that memory does not grow with them and a killed run goes on.

A column is one shard of level 0 with what lies under it in the next levels, and the annotation over it: an item
of its own, whatever became of the others. What needs the whole picture (deeper levels, tissue, pictures beside
it, what its tiles hold) is done last, in one closing item.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tasks import store
from tasks.ingest import layout, statistics, tissue
from tasks.ingest.formats import picture
from tasks.ingest.formats.picture import Picture
from tasks.ingest.layout import ANNOTATION, TISSUE, Facts
from tasks.ingest.manifest import Entry
from tasks.ingest.params import IngestParams
from tasks.ingest.sources import Seen, Sources
from tasks.ingest.tiles import Read

ICC = "profile.icc"


def names(entry: Entry, seen: Seen, params: IngestParams) -> list[str]:
    """Names of the columns' items: `<id>/000000`, …"""
    count = store.column_count(layout.image_of(entry, seen, params.smallest_level_px))
    return [f"{entry.id}/{number:06d}" for number in range(count)]


def lay_out(content: Path, kind: str, entry: Entry, seen: Seen, params: IngestParams) -> None:
    """Make the empty arrays of a picture and its labels."""
    image = layout.image_of(entry, seen, params.smallest_level_px)
    here = content / kind / entry.id
    store.create_image(here, image)
    layout.create_label_images(here, image, [*([ANNOTATION] if entry.mask else []), *([TISSUE] if seen.rgb else [])])


def write_column(
    folder: Path, here: Path, entry: Entry, number: int, sources: Sources, params: IngestParams
) -> tuple[list[Path], Facts]:
    """Decode and write column `number` of the picture laid out at `here`: files and facts. Raises `BadFile`."""
    seen, window = sources.seen[entry.id], store.columns(here)[number]
    with ExitStack() as stack:
        source = stack.enter_context(picture.opened(folder / entry.file, sources.picture_kind, params))
        read = layout.annotation_reader(stack, folder, entry, layout.plane(source.shape), sources.classes, params)
        pixels = source.read(window)
        streams = kept_streams(source, window, seen.jpeg_tile_px) if seen.jpeg_tile_px else None
        files = store.write_column(here, window, pixels, streams)
        first_plane = all(w.start == 0 for w in window[:-2])
        if read and first_plane:
            files += store.write_column(here / "labels" / ANNOTATION, window[-2:], read(window[-2], window[-1]))
    return files, {"statistics": statistics.plain(statistics.of_window(pixels, seen.axes, window))}


def kept_streams(source: Picture, window: store.Window, tile_px: tuple[int, int]) -> list[bytes]:
    """The JPEG streams of the source's tiles under `window`, in C order."""
    rows, columns = (range(w.start // side, -(-w.stop // side)) for w, side in zip(window[-2:], tile_px, strict=True))
    return [source.jpeg_stream(i, j) for i in rows for j in columns]


def close(folder: Path, here: Path, entry: Entry, sources: Sources, params: IngestParams) -> tuple[list[Path], Facts]:
    """Finish the picture at `here`, whose columns are written: files and the facts of its tiles. Raises `BadFile`."""
    seen, annotated = sources.seen[entry.id], bool(entry.mask)
    with picture.opened(folder / entry.file, sources.picture_kind, params) as source:
        files = [*_write_associated(here, source), *_write_profile(here, source)]
    files += store.write_rest(here)
    if annotated:
        files += store.write_rest(here / "labels" / ANNOTATION)
    covered = None
    if seen.rgb:
        covered = tissue_reader(here, params)
        files += store.write_image(here / "labels" / TISSUE, lambda window: covered(window[0], window[1]))
    tiles = layout.tiles_of(layout.plane(seen.shape), params)
    read = layout.stored_labels(here) if annotated else None
    facts = layout.tile_facts(tiles, read, covered, sources.classes)
    return [*files, *here.rglob("zarr.json")], {"tiles": facts}


def tissue_reader(here: Path, params: IngestParams) -> Read:
    """Tissue of the slide at `here`, found on a small level and enlarged by nearest pixel: 0 or 1, by windows."""
    paths = sorted((p for p in here.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))
    arrays = [store.open_array(path) for path in paths]
    limit = params.tissue.longest_side_px
    level = next((k for k, a in enumerate(arrays) if max(a.shape[-2:]) <= limit), len(arrays) - 1)
    small = tissue.tissue(np.asarray(arrays[level][...]), params.tissue).astype(np.uint8)

    def enlarged(rows: slice, columns: slice) -> store.Array:
        first = [s.start >> level for s in (rows, columns)]
        part = small[first[0] : (rows.stop - 1 >> level) + 1, first[1] : (columns.stop - 1 >> level) + 1]
        large = part.repeat(1 << level, axis=0).repeat(1 << level, axis=1)
        y, x = rows.start - (first[0] << level), columns.start - (first[1] << level)
        whole: store.Array = large[y : y + rows.stop - rows.start, x : x + columns.stop - columns.start]
        return whole

    return enlarged


def _write_associated(here: Path, source: Picture) -> list[Path]:
    """The pictures beside the slide that are kept, afresh."""
    shutil.rmtree(here / "associated", ignore_errors=True)
    files: list[Path] = []
    if source.associated:
        store.create_group(here / "associated", {})
    for name in sorted(source.associated):
        pixels, path = source.picture(name), here / "associated" / name
        chunks, shards = (3, layout.CHUNK_PX, layout.CHUNK_PX), (3, layout.SHARD_PX, layout.SHARD_PX)
        array = store.create_array(path, pixels.shape, "uint8", chunks, shards, ("c", "y", "x"))
        files += [store.write(path, window, pixels[window]) for window in store.windows(array)]
    return files


def _write_profile(here: Path, source: Picture) -> list[Path]:
    """The ICC profile, as it was."""
    if source.icc is None:
        return []
    (here / ICC).write_bytes(source.icc)
    return [here / ICC]
