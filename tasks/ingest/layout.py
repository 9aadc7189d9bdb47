"""Writes decoded sources into a raw store, laid out as docs/data-model.md says."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tasks import store
from tasks.contracts import DATA_MODEL_VERSION, Calibration
from tasks.ingest import labels, mosaic, slide, tissue
from tasks.ingest.manifest import Entry
from tasks.ingest.params import IngestParams, Kind
from tasks.ingest.tiles import Read, Window, fractions, grid

CROPS_A_SHARD = 64
LABEL_CHUNK_PX = MOSAIC_CHUNK_PX = 512
SLIDE_CHUNK_PX = 256
SHARD_PX = 2048
ANNOTATION, TISSUE = "annotation", "tissue"
Facts = dict[str, Any]


def create_mosaic_stack(content: Path, count: int, shape: tuple[int, int], calibration: Calibration) -> None:
    """Lay out the stack of `count` crops of `shape` (y, x)."""
    attributes = {"rawmill": {"calibration": calibration.model_dump(mode="json")}}
    shards = (CROPS_A_SHARD, *shape)
    store.create_array(
        content / "mosaic", (count, *shape), "uint16", (1, *shape), shards, ("tile", "y", "x"), attributes
    )


def write_crops(content: Path, first: int, crops: Sequence[mosaic.Mosaic]) -> list[Path]:
    """Write the shard of the stack that starts at row `first`."""
    data = np.stack([crop.pixels for crop in crops])
    window = (slice(first, first + len(crops)), slice(0, data.shape[1]), slice(0, data.shape[2]))
    return [store.write(content / "mosaic", window, data)]


def write_frame(
    folder: Path,
    content: Path,
    entry: Entry,
    calibration: Calibration | None,
    classes: tuple[str, ...],
    params: IngestParams,
) -> Facts:
    """Decode one frame with its labels and write it; returns the facts of its tiles. Raises `BadFile`."""
    frame = mosaic.decode(folder / entry.file, calibration, params.most_frame_pixels)
    height, width = frame.pixels.shape
    tiles = _tiles(height, width, params)
    known = {"calibration": frame.calibration.model_dump(mode="json"), "source": entry.file}
    image = store.Image(
        "yx", (height, width), "uint16", None, 1, MOSAIC_CHUNK_PX, SHARD_PX, channel_max=65535.0, attributes=known
    )
    here = content / "frames" / entry.id
    with ExitStack() as stack:
        read = _annotation(stack, folder, entry, (height, width), classes, params)
        store.create_image(here, image)
        store.write_image(here, lambda window: frame.pixels[window])
        return {"tiles": _facts(tiles, _write_annotation(here, (height, width), None, 1, read), None, classes)}


def write_slide(folder: Path, content: Path, entry: Entry, classes: tuple[str, ...], params: IngestParams) -> Facts:
    """Write one slide's pyramid, labels, tissue and pictures beside it; returns its facts. Raises `BadFile`."""
    here = content / "slides" / entry.id
    with ExitStack() as stack:
        source = stack.enter_context(slide.opened(folder / entry.file, params))
        shape = (source.height, source.width)
        read = _annotation(stack, folder, entry, shape, classes, params)
        levels = store.pyramid_levels(*shape, params.smallest_level_px)
        _write_pyramid(here, entry, source, levels)
        _write_associated(here, source)
        size = source.pixel_size_um
        annotation = _write_annotation(here, shape, size, levels, read, with_tissue=True)
        covered = _write_tissue(here, shape, size, levels, params)
        facts = _facts(_tiles(*shape, params), annotation, covered, classes)
    return {"tiles": facts, "pixel_size_um": size, "height_px": shape[0], "width_px": shape[1]}


def _write_pyramid(here: Path, entry: Entry, source: slide.Slide, levels: int) -> None:
    image = store.Image(
        axes="cyx",
        shape=(3, source.height, source.width),
        dtype="uint8",
        pixel_size_um=source.pixel_size_um,
        levels=levels,
        chunk_px=SLIDE_CHUNK_PX,
        shard_px=SHARD_PX,
        channels=store.RGB,
        attributes={
            "source": entry.file,
            "pixel_size_um": source.pixel_size_um,
            "associated": sorted(source.associated),
        },
    )
    store.create_image(here, image)
    store.write_image(here, lambda window: source.read(window[1], window[2]))


def _write_associated(here: Path, source: slide.Slide) -> None:
    if source.associated:
        store.create_group(here / "associated", {})
    for name in sorted(source.associated):
        picture = source.picture(name)
        path = here / "associated" / name
        chunks, shards = (3, SLIDE_CHUNK_PX, SLIDE_CHUNK_PX), (3, SHARD_PX, SHARD_PX)
        array = store.create_array(path, picture.shape, "uint8", chunks, shards, ("c", "y", "x"))
        for window in store.windows(array):
            store.write(path, window, picture[window])


def _annotation(
    stack: ExitStack, folder: Path, entry: Entry, shape: tuple[int, int], classes: tuple[str, ...], params: IngestParams
) -> Read | None:
    """A reader of the entry's label image, open as long as `stack`; None where it has none."""
    if not entry.mask:
        return None
    return stack.enter_context(labels.opened(folder / entry.mask, shape, classes, params))


def _label_image(shape: tuple[int, int], pixel_size_um: float | None, levels: int) -> store.Image:
    return store.Image("yx", shape, "uint8", pixel_size_um, levels, LABEL_CHUNK_PX, SHARD_PX, label=True)


def _write_annotation(
    here: Path,
    shape: tuple[int, int],
    pixel_size_um: float | None,
    levels: int,
    read: Read | None,
    with_tissue: bool = False,
) -> Read | None:
    """Lay out the labels of the image at `here` and fill the annotation; returns a reader of what is stored."""
    names = [name for name, there in ((ANNOTATION, read is not None), (TISSUE, with_tissue)) if there]
    if names:
        store.create_labels(here, dict.fromkeys(names, _label_image(shape, pixel_size_um, levels)))
    if read is None:
        return None
    path = here / "labels" / ANNOTATION
    store.write_image(path, lambda window: read(window[0], window[1]))
    return _reader(path)


def _write_tissue(here: Path, shape: tuple[int, int], pixel_size_um: float, levels: int, params: IngestParams) -> Read:
    """Find tissue on a small level, enlarge it by nearest pixel, and fill the label image `tissue`."""
    level = next((k for k in range(levels) if max(shape) <= params.tissue.longest_side_px * 2**k), levels - 1)
    small = tissue.tissue(np.asarray(store.open_array(here / str(level))[...]), params.tissue).astype(np.uint8)

    def enlarged(window: store.Window) -> store.Array:
        rows, columns = (np.arange(w.start, w.stop) >> level for w in window)
        values: store.Array = small[np.ix_(rows, columns)]
        return values

    store.write_image(here / "labels" / TISSUE, enlarged)
    return _reader(here / "labels" / TISSUE)


def _reader(path: Path) -> Read:
    array = store.open_array(path / "0")
    return lambda rows, columns: np.asarray(array[rows, columns], np.uint8)


def _tiles(height: int, width: int, params: IngestParams) -> list[tuple[int, Window]]:
    """(side asked for, window) of every tile."""
    return [(s, w) for s in params.tile_sides_px for w in grid(height, width, s, params.tile_overlap_px)]


def _facts(
    tiles: Sequence[tuple[int, Window]], annotation: Read | None, covered: Read | None, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Side, window, share of each class and of tissue of every tile."""
    windows = [window for _, window in tiles]
    shares = fractions(windows, annotation, len(classes))[:, 1:] if annotation else np.zeros((len(tiles), len(classes)))
    inside = fractions(windows, covered, 1)[:, 1] if covered else np.ones(len(tiles))
    return [
        {"side": side, "window": list(window), "fractions": share.tolist(), "tissue": float(part)}
        for (side, window), share, part in zip(tiles, shares, inside, strict=True)
    ]


def write_root(
    content: Path, kind: Kind, classes: Sequence[str], items: Sequence[str], rejected: Sequence[str]
) -> None:
    """The root group, and for images the list of them as the bioformats2raw layout wants it (NGFF 0.5, 2.2)."""
    known: Mapping[str, Any] = {"version": DATA_MODEL_VERSION, "kind": kind, "classes": list(classes)}
    attributes: dict[str, Any] = {"rawmill": {**known, **({"rejected": list(rejected)} if rejected else {})}}
    if kind != "crops":
        attributes["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
        _group(content / "OME", {"ome": {"version": "0.5", "series": [f"{kind}/{item}" for item in items]}})
        _group(content / kind, {})
    _group(content, attributes)


def _group(path: Path, attributes: Mapping[str, Any]) -> None:
    """Write the group's metadata anew: `finish` may run twice."""
    (path / "zarr.json").unlink(missing_ok=True)
    store.create_group(path, attributes)
