"""Lays out a raw store as docs/data-model.md says, and writes crops, frames and labels into it."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tasks import store
from tasks.contracts import DATA_MODEL_VERSION, Calibration
from tasks.ingest import receipts, statistics
from tasks.ingest.annotations import labels
from tasks.ingest.formats import mosaic
from tasks.ingest.manifest import Entry
from tasks.ingest.params import IngestParams, Kind
from tasks.ingest.sources import Seen
from tasks.ingest.tiles import Read, Window, fractions, grid

CROPS_A_SHARD = 64
MOSAIC_CHUNK_PX = 512
CHUNK_PX = 256
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


def told_of(frame: mosaic.Mosaic) -> Facts:
    """What a receipt says of a decoded mosaic."""
    return {
        "format": frame.form,
        "decoder": frame.decoder,
        "metadata": dict(frame.metadata),
        "dropped": list(frame.dropped),
        "statistics": statistics.plain({"0": statistics.of(frame.pixels, None)}),
        "axes": "yx",
        "shape": list(frame.pixels.shape),
        "dtype": "uint16",
    }


def crop_facts(crop: mosaic.Mosaic) -> Facts:
    """The same of a crop, with the digest of its pixels."""
    return {**told_of(crop), "digest": receipts.crop_digest(crop.pixels)}


def write_frame(
    folder: Path,
    content: Path,
    entry: Entry,
    calibration: Calibration | None,
    classes: tuple[str, ...],
    params: IngestParams,
) -> tuple[list[Path], Facts]:
    """Decode one frame with its labels and write it: its files, and the facts of it. Raises `BadFile`.

    Shards that an interrupted run has finished are kept.
    """
    frame = mosaic.decode(folder / entry.file, calibration, params)
    shape = plane(frame.pixels.shape)
    known = {
        "calibration": frame.calibration.model_dump(mode="json"),
        "source": entry.file,
        "metadata": dict(frame.metadata),
    }
    image = store.Image(
        "yx", shape, "uint16", None, 1, MOSAIC_CHUNK_PX, SHARD_PX, channel_max=65535.0, attributes=known
    )
    here = content / "frames" / entry.id
    with ExitStack() as stack:
        read = annotation_reader(stack, folder, entry, shape, classes, params)
        forget_metadata(here)
        store.create_image(here, image)
        create_label_images(here, image, [ANNOTATION] if read else [])
        files = store.write_image(here, lambda window: frame.pixels[window])
        if read:
            files += store.write_image(here / "labels" / ANNOTATION, lambda window: read(window[0], window[1]))
        tiles = tile_facts(tiles_of(shape, params), stored_labels(here) if read else None, None, classes)
        return [*files, *here.rglob("zarr.json")], {**told_of(frame), "tiles": tiles}


def forget_metadata(here: Path) -> None:
    """Remove what lays out the image at `here`, so that it can be laid out anew around finished shards."""
    for file in sorted(here.rglob("zarr.json")):
        file.unlink()


def image_of(entry: Entry, seen: Seen, smallest_level_px: int) -> store.Image:
    """How a slide or microscopy image is stored: a pyramid in y and x, all of a slide's colours in one chunk."""
    height, width = plane(seen.shape)
    known = {"source": entry.file, "pixel_size_um": seen.pixel_size_um, "metadata": dict(seen.told["metadata"])}
    return store.Image(
        axes=seen.axes,
        shape=seen.shape,
        dtype=seen.dtype,
        pixel_size_um=seen.pixel_size_um,
        levels=store.pyramid_levels(height, width, smallest_level_px),
        chunk_px=CHUNK_PX,
        shard_px=SHARD_PX,
        channels=seen.channels,
        channel_max={"uint8": 255.0, "uint16": 65535.0}.get(seen.dtype, 1.0),
        attributes=known,
        z_um=seen.z_um,
        t_s=seen.t_s,
        chunk_shape_px=seen.jpeg_tile_px,
        level0_codec="jpeg" if seen.jpeg_tile_px else "default",
        planes_together=seen.rgb,
    )


def create_label_images(here: Path, image: store.Image, names: Sequence[str]) -> None:
    """Lay out label images over the plane of `image` at `here`, in chunks like its own."""
    if names:
        label = store.Image(
            axes="yx",
            shape=plane(image.shape),
            dtype="uint8",
            pixel_size_um=image.pixel_size_um,
            levels=image.levels,
            chunk_px=image.chunk_px,
            shard_px=image.shard_px,
            label=True,
            chunk_shape_px=image.chunk_shape_px,
        )
        store.create_labels(here, dict.fromkeys(names, label))


def annotation_reader(
    stack: ExitStack, folder: Path, entry: Entry, shape: tuple[int, int], classes: tuple[str, ...], params: IngestParams
) -> Read | None:
    """A reader of the entry's label image, open as long as `stack`; None where it has none. Raises `BadFile`."""
    if not entry.mask:
        return None
    return stack.enter_context(labels.opened(folder / entry.mask, shape, classes, params))


def stored_labels(here: Path) -> Read:
    """A reader of the annotation that is stored with the image at `here`."""
    array = store.open_array(here / "labels" / ANNOTATION / "0")
    return lambda rows, columns: np.asarray(array[rows, columns], np.uint8)


def plane(shape: Sequence[int]) -> tuple[int, int]:
    """(y, x) of an image."""
    return shape[-2], shape[-1]


def tiles_of(shape: tuple[int, int], params: IngestParams) -> list[tuple[int, Window]]:
    """(side asked for, window) of every tile of a plane of `shape`."""
    return [(s, w) for s in params.tile_sides_px for w in grid(*shape, s, params.tile_overlap_px)]


class TileFacts(NamedTuple):
    """A tile: the side that was asked for, its window, the share of it that is tissue, and that of each class."""

    side: int
    window: Window
    tissue: float
    fractions: tuple[float, ...]

    @staticmethod
    def from_plain(numbers: Sequence[float]) -> "TileFacts":
        """From what `tile_facts` gives of a tile."""
        side, y, x, height, width = (int(n) for n in numbers[:5])
        return TileFacts(side, (y, x, height, width), float(numbers[5]), tuple(numbers[6:]))


def tile_facts(
    tiles: Sequence[tuple[int, Window]], annotation: Read | None, covered: Read | None, classes: Sequence[str]
) -> list[list[float]]:
    """Of every tile: side, y, x, height, width, share of tissue, share of each class."""
    windows = [window for _, window in tiles]
    shares = fractions(windows, annotation, len(classes))[:, 1:] if annotation else np.zeros((len(tiles), len(classes)))
    inside = fractions(windows, covered, 1)[:, 1] if covered else np.ones(len(tiles))
    return [
        [side, *window, float(part), *share.tolist()]
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
