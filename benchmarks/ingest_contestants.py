"""What `benchmarks.ingest` measures: the sources that it makes, and each contestant's whole work on them."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REAL = "CMU-1-Small-Region.svs"
CHUNKS = {"slide": (3, 256, 256), "frames": (512, 512)}
CORES = len(os.sched_getaffinity(0))
BAND_PX = 2048


def real_slide() -> Path:
    """The slide whose tiles are repeated. Exits where it is not there: no other pixels would do."""
    path = Path(os.environ.get("RAWMILL_REAL_DATA", ROOT.parent / "shared" / "data")) / REAL
    if not path.is_file():
        sys.exit(f"{path}: not there; expected {REAL}; set RAWMILL_REAL_DATA to its folder")
    return path


def make_slide(folder: Path, arguments: argparse.Namespace) -> None:
    """Repeat the whole tiles of the real slide, byte by byte, over a square of at least `side` pixels."""
    import tifffile

    with tifffile.TiffFile(real_slide()) as tif:
        page = tif.pages.first
        rows, columns = page.imagelength // page.tilelength, page.imagewidth // page.tilewidth
        across = -(-page.imagewidth // page.tilewidth)
        high, wide = -(-arguments.side // page.tilelength), -(-arguments.side // page.tilewidth)

        def tiles() -> Iterator[bytes]:
            for i in range(high):
                for j in range(wide):
                    index = (i % rows) * across + j % columns
                    tif.filehandle.seek(page.dataoffsets[index])
                    yield tif.filehandle.read(page.databytecounts[index])

        with tifffile.TiffWriter(folder / "slide.tif", bigtiff=True) as out:
            out.write(
                tiles(),
                shape=(high * page.tilelength, wide * page.tilewidth, 3),
                dtype="uint8",
                tile=(page.tilelength, page.tilewidth),
                photometric=page.photometric,
                compression=page.compression,
                jpegtables=page.jpegtables,
                subsampling=page.subsampling,
                resolution=(1e4 / 0.499, 1e4 / 0.499),
                resolutionunit=3,
                metadata=None,
                software=False,
            )


def make_frames(folder: Path, arguments: argparse.Namespace) -> None:
    """Uncompressed DNGs of 12 bits left-justified in 16, each with its own part of the scene."""
    import numpy as np

    from benchmarks.isp import DRONE, frame
    from tasks.acquire.files import write_dng

    whole = (frame(arguments.height_px, arguments.width_px) >> 4) << 4
    for i in range(arguments.frames):
        write_dng(folder / f"frame{i}.dng", np.roll(whole, 256 * i, axis=1), DRONE, 3.0)


def sources(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.tif"), *folder.glob("*.dng")])


def rawmill(folder: Path, out: Path, what: str, arguments: argparse.Namespace) -> None:
    """The whole of `rawmill ingest`."""
    from flows._local import carry_out
    from tasks.ingest import step
    from tasks.ingest.params import IngestParams
    from tasks.params import load

    params = load(ROOT / "params.yaml", "ingest.files", IngestParams)
    kind = "slides" if what == "slide" else "frames"
    chosen = params.model_copy(update={"kind": kind, "jpeg": "keep" if arguments.keep else "recode"})
    carry_out(step, lambda: step.prepare_files(sources(folder), out, chosen, None, {}))


def rawmill_verify(folder: Path, out: Path, what: str, arguments: argparse.Namespace) -> None:
    """`rawmill ingest --verify` of the store that `rawmill` has made."""
    from tasks.ingest.proving.verify import verify

    verify(folder / "rawmill.zarr", lambda done, total: None)


def ome_zarr(folder: Path, out: Path, what: str, arguments: argparse.Namespace) -> None:
    """What a user of ome-zarr-py writes: lazily read tiles of a slide, or decoded frames."""
    import dask

    with dask.config.set(scheduler="threads", num_workers=CORES):
        (_ome_zarr_slide if what == "slide" else _ome_zarr_frames)(folder, out, arguments)


def _ome_zarr_slide(folder: Path, out: Path, arguments: argparse.Namespace) -> None:
    import dask.array as da
    import tifffile
    import zarr
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    lazy = zarr.open(tifffile.imread(sources(folder)[0], aszarr=True, level=0), mode="r")
    pixels = da.moveaxis(da.from_zarr(lazy), -1, 0)  # type: ignore[attr-defined]
    factors = [2**k for k in range(1, arguments.levels)]
    options = {"chunks": CHUNKS["slide"]} if arguments.chunks else None
    if arguments.chunks:
        pixels = pixels.rechunk((3, BAND_PX, BAND_PX))
    group = zarr.open_group(out, mode="w", zarr_format=3)
    write_image(pixels, group, scale_factors=factors, method=Methods.LOCAL_MEAN, axes="cyx", storage_options=options)


def _ome_zarr_frames(folder: Path, out: Path, arguments: argparse.Namespace) -> None:
    import dask.array as da
    import rawpy
    import zarr
    from ome_zarr.writer import write_image

    options = {"chunks": CHUNKS["frames"]} if arguments.chunks else None

    def one(path: Path) -> None:
        with rawpy.imread(str(path)) as raw:
            pixels = raw.raw_image_visible.copy()
        group = zarr.open_group(out / path.stem, mode="w", zarr_format=3)
        lazy = da.from_array(pixels, chunks=CHUNKS["frames"] if arguments.chunks else "auto")
        write_image(lazy, group, scale_factors=[], axes="yx", storage_options=options)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(one, sources(folder)))


def floor_s(folder: Path, out: Path, what: str, arguments: argparse.Namespace) -> float:
    """Seconds of decoding alone and of compressing alone, together; what lies between them is not counted."""
    return sum(timed(work) for work in (_slide_floor if what == "slide" else _frames_floor)(folder, out, arguments))


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _slide_floor(folder: Path, out: Path, arguments: argparse.Namespace) -> Iterator[Callable[[], Any]]:
    """Band after band of the slide: its tiles decoded, then all its chunks of all levels compressed."""
    import numpy as np
    import tifffile

    from tasks.pyramids import levels

    how = _codec(out, CHUNKS["slide"], "uint8")
    with tifffile.TiffFile(sources(folder)[0]) as tif, ThreadPoolExecutor(CORES) as pool:
        page, file = tif.pages.first, tif.filehandle.fileno()
        high, wide = page.tilelength, page.tilewidth
        across, down = -(-page.imagewidth // wide), -(-page.imagelength // high)
        at_once = max(1, BAND_PX // high)
        for top in range(0, down, at_once):
            rows = range(top, min(top + at_once, down))
            band = np.empty((len(rows) * high, across * wide, 3), np.uint8)

            def decode(index: int, band: Any = band, top: int = top) -> None:
                data = os.pread(file, page.databytecounts[index], page.dataoffsets[index])
                pixels = page.decode(data, index, jpegtables=page.jpegtables)[0]
                y, x = (index // across - top) * high, index % across * wide
                band[y : y + high, x : x + wide] = pixels[0]

            indices = range(rows.start * across, rows.stop * across)
            yield lambda decode=decode, indices=indices: list(pool.map(decode, indices))
            whole = np.ascontiguousarray(np.moveaxis(band, -1, 0))
            yield _compress(pool, [whole, *levels(whole, arguments.levels - 1, label=False)], how)


def _frames_floor(folder: Path, out: Path, arguments: argparse.Namespace) -> Iterator[Callable[[], Any]]:
    import rawpy

    how = _codec(out, CHUNKS["frames"], "uint16")

    def decode(path: Path) -> Any:
        with rawpy.imread(str(path)) as raw:
            return raw.raw_image_visible.copy()

    files = sources(folder)
    with ThreadPoolExecutor(CORES) as pool:
        for first in range(0, len(files), CORES):
            decoded: list[Any] = []
            batch = files[first : first + CORES]
            yield lambda decoded=decoded, batch=batch: decoded.extend(pool.map(decode, batch))
            yield _compress(pool, decoded, how)


def _codec(out: Path, chunks: tuple[int, ...], dtype: str) -> Any:
    """The codec that rawmill's arrays of these chunks and this dtype have."""
    from tasks import shards, store

    shape = [4 * c if c > 3 else c for c in chunks]
    store.create_array(out, shape, dtype, chunks, shape, ["c", "y", "x"][-len(chunks) :])
    return shards.layout(out)


def _compress(pool: ThreadPoolExecutor, images: list[Any], how: Any) -> Callable[[], Any]:
    """Work that encodes all chunks of `images`, which are cut and padded beforehand."""
    import numpy as np

    from tasks import shards

    blocks = []
    for image in images:
        pad = [(0, -n % c) for n, c in zip(image.shape, how.chunks, strict=True)]
        whole = np.pad(image, pad) if any(after for _, after in pad) else image
        grid = [range(0, n, c) for n, c in zip(whole.shape, how.chunks, strict=True)]
        for y in grid[-2]:
            blocks += [
                np.ascontiguousarray(whole[..., y : y + how.chunks[-2], x : x + how.chunks[-1]]) for x in grid[-1]
            ]
    return lambda: list(pool.map(lambda block: shards.encode(block, how), blocks))


def import_all(work: Callable[..., None]) -> None:
    """Import what a contestant imports, so that its seconds are its own."""
    ours = (
        "flows._local",
        "tasks.ingest.step",
        "tasks.ingest.proving.verify",
        "imagecodecs._zstd",
        "imagecodecs._jpeg8",
    )
    theirs = ("dask.array", "ome_zarr.writer", "skimage.transform", "tifffile")
    for module in (*(theirs if work is ome_zarr else ours), "rawpy", "zarr"):
        import_module(module)
