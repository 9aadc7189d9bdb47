"""Mpix/s and peak memory of an ingest: rawmill, ome-zarr-py, and the floor, on the same files in one run, all cores.

    python -m benchmarks.ingest --side 20000 --frames 8

* `slide`: the tiles of a real slide (RAWMILL_REAL_DATA/CMU-1-Small-Region.svs) repeated by their bytes, never coded
  again, into a BigTIFF of `--side` x `--side` pixels;
* `frames`: uncompressed DNGs of `--height-px` x `--width-px`, a real picture with a mosaic's noise;
* `rawmill`: what `rawmill ingest` does: digests, decoding, pyramid, every shard read back and compared, tissue, tiles,
  receipts; `rawmill keep` keeps the JPEG tiles of the slide; `rawmill verify` proves the store anew;
* `ome-zarr`: tifffile or rawpy, Dask on all cores, `ome_zarr.writer.write_image` with as many levels; `chunks` with
  the chunks of rawmill's store. It neither checks what it wrote nor writes labels, tiles or digests;
* `floor`: only decoding every tile and compressing the chunks of all levels with rawmill's codec, on all cores.

Each runs in a process of its own; seconds are without the start of Python. Mpix are those of level 0.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from benchmarks.ingest_contestants import (  # noqa: E402
    CORES,
    ROOT,
    floor_s,
    import_all,
    make_frames,
    make_slide,
    ome_zarr,
    rawmill,
    rawmill_verify,
    sources,
    timed,
)

CONTESTANTS = {
    "slide": ("floor", "rawmill", "rawmill keep", "rawmill verify", "ome-zarr", "ome-zarr chunks"),
    "frames": ("floor", "rawmill", "rawmill verify", "ome-zarr", "ome-zarr chunks"),
}


def measure(arguments: argparse.Namespace) -> None:
    """In a process of its own: run one contestant and print its seconds and peak memory as JSON."""
    what, name = arguments.run.split("/")
    folder, out = Path(arguments.folder), Path(arguments.folder) / f"{name.replace(' ', '-')}.zarr"
    if name == "source":
        (make_slide if what == "slide" else make_frames)(folder, arguments)
        seconds = 0.0
    elif name == "floor":
        seconds = floor_s(folder, out, what, arguments)
    else:
        works = {"rawmill": rawmill, "rawmill keep": rawmill, "rawmill verify": rawmill_verify}
        arguments.keep, arguments.chunks = name == "rawmill keep", name == "ome-zarr chunks"
        work = works.get(name, ome_zarr)
        import_all(work)
        seconds = timed(lambda: work(folder, out, what, arguments))
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def run(what: str, name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one contestant; exits where it fails."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--run", f"{what}/{name}", "--folder", str(folder)]
    for key in ("side", "frames", "height_px", "width_px", "levels"):
        command += [f"--{key.replace('_', '-')}", str(getattr(arguments, key))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{what}/{name} failed with exit code {done.returncode}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(what: str, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Make the sources of `what`, run each contestant `repeats` times (the fastest counts), print a line each."""
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch)
        run(what, "source", folder, arguments)
        mpix, levels = _size(what, folder, arguments)
        arguments.levels = levels
        print(f"{what}: {mpix:.1f} Mpix, {levels} levels, {CORES} cores", flush=True)
        found: dict[str, dict[str, float]] = {}
        for name in CONTESTANTS[what]:
            found[name] = _best(what, name, folder, arguments)
            seconds, peak = found[name]["seconds"], found[name]["peak_mb"]
            found[name]["mpix_per_s"] = mpix / seconds
            print(f"  {name:18}{mpix / seconds:9.1f} Mpix/s{seconds:9.2f} s{peak:9.0f} MB peak", flush=True)
    _ratios(found)
    return found


def _best(what: str, name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """The fastest of `repeats`; what is written is removed but for the store that is verified next."""
    runs = []
    for _ in range(arguments.repeats):
        shutil.rmtree(folder / f"{name.replace(' ', '-')}.zarr", ignore_errors=True)
        runs.append(run(what, name, folder, arguments))
    if name != "rawmill":
        shutil.rmtree(folder / f"{name.replace(' ', '-')}.zarr", ignore_errors=True)
    return min(runs, key=lambda one: one["seconds"])


def _ratios(found: dict[str, dict[str, float]]) -> None:
    """The two figures that are aimed at: 2x the better of ome-zarr-py's, within 1.5x of the floor."""
    ours, floor = found["rawmill"]["seconds"], found["floor"]["seconds"]
    peer = min(found[name]["seconds"] for name in ("ome-zarr", "ome-zarr chunks"))
    print(f"  rawmill is {peer / ours:.2f}x as fast as ome-zarr-py and takes {ours / floor:.2f}x the floor", flush=True)


def _size(what: str, folder: Path, arguments: argparse.Namespace) -> tuple[float, int]:
    """Mpix of level 0 of all sources, and how many levels rawmill gives them."""
    if what == "frames":
        return arguments.frames * arguments.height_px * arguments.width_px / 1e6, 1
    import tifffile
    import yaml

    smallest = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["ingest"]["files"][
        "smallest_level_px"
    ]
    with tifffile.TiffFile(sources(folder)[0]) as tif:
        height, width = tif.pages.first.imagelength, tif.pages.first.imagewidth
    levels = 1
    while -(-max(height, width) // 2 ** (levels - 1)) > smallest:
        levels += 1
    return height * width / 1e6, levels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20000, help="least height and width of the slide, in pixels")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--height-px", type=int, default=3648)
    parser.add_argument("--width-px", type=int, default=5472)
    parser.add_argument("--repeats", type=int, default=1, help="runs of each; the fastest counts")
    parser.add_argument("--small", action="store_true", help="a smoke test of seconds; its figures mean nothing")
    parser.add_argument("--only", choices=sorted(CONTESTANTS), help="one of the two")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--scratch", type=Path, help="where the files are made; a few GB", default=None)
    for hidden, kind in (("--run", str), ("--folder", str), ("--levels", int)):
        parser.add_argument(hidden, type=kind, default=1 if kind is int else None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measure(arguments)
        return
    if arguments.small:
        arguments.side, arguments.frames, arguments.height_px, arguments.width_px = 1000, 2, 456, 684
    found = {what: table(what, arguments) for what in CONTESTANTS if arguments.only in (None, what)}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
