"""Speed of the twelve variants, of their peers and of the memory limit: same frame, same cores, one run.

    python -m benchmarks.isp

* `reference`: the chain of the libraries that the thesis names (colour-demosaicing, scikit-image, SciPy), float64, on
  one thread as they are written;
* `rawpy`: LibRaw's whole development of the same frame as DNG, with linear and with AHD interpolation;
* `opencv bi,s,me`: that chain as OpenCV does it fastest (its own borders, 16-bit demosaicing);
* `rawmill`: uint16 mosaic to uint16 view through the engine, params.yaml's chains, `--threads` of them;
* `rawmill at once`: all variants in one call, Mpix/s of frame times variants; its peak memory, in a process alone;
* `torch`: one variant by the differentiable backend, the whole frame at once; on a GPU too where there is one;
* `copy limit`: the least that any method moves, 2 bytes in and 6 out a pixel, by a copy into warm memory, `--threads`;
* `crops`: as many 256x256 crops in all variants through the step `develop`, stores written, read back and published.

All times are of the clock: on a machine that does other work they are too long. Where a total has a line of processor
time, that counts what this process used, all threads together; divided by the threads it bounds the clock's time below.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import rawpy  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from colour_demosaicing import (  # noqa: E402
    demosaicing_CFA_Bayer_bilinear,
    demosaicing_CFA_Bayer_Malvar2004,
    demosaicing_CFA_Bayer_Menon2007,
)
from numpy.typing import NDArray  # noqa: E402
from scipy import ndimage  # noqa: E402
from skimage import color, data, filters  # noqa: E402

from tasks import output, store  # noqa: E402
from tasks.acquire.files import write_dng  # noqa: E402
from tasks.contracts import Calibration  # noqa: E402
from tasks.isp import step  # noqa: E402
from tasks.isp.engine import Mosaic, develop, develop_windows, frame_of  # noqa: E402
from tasks.isp.params import Common, load_variant  # noqa: E402
from tasks.isp.tensors import view_tensor  # noqa: E402
from tasks.lineage.recipe import Plan  # noqa: E402
from tasks.params import load, section  # noqa: E402

PARAMS = ROOT / "params.yaml"
DRONE = Calibration.model_validate(
    {
        "pattern": "RGGB",
        "black_level_dn": [4096, 4096, 4096, 4096],
        "white_level_dn": 65535,
        "white_balance": [2.86653646, 1.0, 1.73079425],
        "colour_matrix": [
            [1.50768983, -0.33571374, -0.17197604],
            [-0.23048614, 1.70698738, -0.47650126],
            [-0.03119153, -0.32803956, 1.35923111],
        ],
        "exposure_s": None,
        "iso": None,
        "gain_dn_per_e": 8.448,
        "left_justified_bits": 4,
    }
)
DEMOSAIC: dict[str, Callable[..., Any]] = {
    "bi": demosaicing_CFA_Bayer_bilinear,
    "ma": demosaicing_CFA_Bayer_Malvar2004,
    "me": demosaicing_CFA_Bayer_Menon2007,
}
LAPLACIAN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])


def frame(height_px: int, width_px: int) -> Mosaic:
    """A real picture of scikit-image's wheel, repeated in mirrors, with the noise that a mosaic has."""
    picture = data.immunohistochemistry()[..., 1].astype(np.float32) / 255
    down, right = (-(-n // side) for n, side in zip((height_px, width_px), picture.shape, strict=True))
    scene = np.pad(picture, ((0, down * picture.shape[0]), (0, right * picture.shape[1])), mode="symmetric")
    noise = np.random.default_rng(0).normal(0, 0.01, (height_px, width_px)).astype(np.float32)
    dn = 4096 + 26000 * (scene[:height_px, :width_px] + noise)
    return np.clip(np.rint(dn), 0, 65535).astype(np.uint16)


def reference(mosaic: Mosaic, variant: str) -> NDArray[np.float64]:
    """The variant by the named libraries, (y, x, 3) float64."""
    demosaic, sharpen, denoise = variant.split(",")
    rgb = DEMOSAIC[demosaic](mosaic / 65535 - 4096 / 65535, "RGGB") * np.array(DRONE.white_balance)
    yuv = color.rgb2yuv(rgb @ np.array(DRONE.colour_matrix).T)
    luma = yuv[..., 0]
    sharp = ndimage.convolve(luma, LAPLACIAN) if sharpen == "s" else filters.unsharp_mask(luma, preserve_range=True)
    yuv[..., 0] = ndimage.median_filter(sharp, 3) if denoise == "me" else ndimage.gaussian_filter(sharp, 0.5)
    return np.asarray(np.clip(color.yuv2rgb(yuv), 0, 1) ** (1 / 2.2))


def libraw(path: Path, algorithm: Any) -> NDArray[np.uint8]:
    with rawpy.imread(str(path)) as raw:
        return np.asarray(raw.postprocess(demosaic_algorithm=algorithm, output_bps=16, use_camera_wb=True))


def copy(mosaic: Mosaic, view: NDArray[np.uint16], threads: int) -> None:
    """Read each sample once, write three; a band of rows a thread."""
    bands = [slice(k * len(mosaic) // threads, (k + 1) * len(mosaic) // threads) for k in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda rows: np.copyto(view[:, rows], mosaic[rows]), bands))


def on_device(mosaic: Mosaic, variant: str, device: str) -> None:
    """The variant by torch, the whole frame at once, in float32."""
    pixels = torch.from_numpy(mosaic / np.float32(65535)).to(device)
    with torch.no_grad():
        view_tensor(load_variant(PARAMS, variant), pixels, DRONE)
    if device != "cpu":
        torch.cuda.synchronize()


def opencv(mosaic: Mosaic) -> NDArray[np.float32]:
    """bi,s,me, (y, x, 3) float32."""
    matrix = np.array(DRONE.colour_matrix) @ np.diag(DRONE.white_balance) / 65535
    rgb = cv2.transform(cv2.cvtColor(mosaic - 4096, cv2.COLOR_BayerRGGB2RGB).astype(np.float32), matrix)
    luma = cv2.transform(rgb, np.array([[0.299, 0.587, 0.114]]))
    change = cv2.medianBlur(cv2.filter2D(luma, -1, LAPLACIAN.astype(np.float32)), 3) - luma
    return cv2.pow(np.clip(rgb + change[..., None], 0, 1), 1 / 2.2)


def best_s(work: Callable[[], Any], repeats: int) -> float:
    """The least time over `repeats` runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


@dataclass
class Cost:
    """What a piece of work took."""

    clock_s: float
    processor_s: float


def cost(work: Callable[[], Any]) -> Cost:
    began, used = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - began, time.process_time() - used)


def at_once(mosaic: Mosaic, variants: list[str], threads: int) -> None:
    chains = [load_variant(PARAMS, variant) for variant in variants]
    spans = [(0, side) for side in mosaic.shape]
    develop_windows(chains, frame_of(mosaic, DRONE), *spans, load(PARAMS, "develop.common", Common).tile, threads)


ALONE = """
import sys
from pathlib import Path
import numpy as np
from tasks.contracts import Calibration
from tasks.isp.engine import develop_windows, frame_of
from tasks.isp.params import Common, load_variant
from tasks.params import load
file, params, camera, variants, threads = sys.argv[1:]
mosaic, chains = np.load(file), [load_variant(Path(params), variant) for variant in variants.split("/")]
frame = frame_of(mosaic, Calibration.model_validate_json(camera))
tile = load(Path(params), "develop.common", Common).tile
views = develop_windows(chains, frame, (0, mosaic.shape[0]), (0, mosaic.shape[1]), tile, int(threads))
status = Path("/proc/self/status").read_text()  # not ru_maxrss, which begins with that of the caller
print(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6)
"""


def peak_mb(mosaic: Mosaic, arguments: argparse.Namespace) -> float:
    """Peak memory (RSS) of a process that holds the frame, makes all its variants at once and keeps them."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "frame.npy", mosaic)
        given = [
            f"{folder}/frame.npy",
            str(PARAMS),
            DRONE.model_dump_json(),
            arguments.variants,
            str(arguments.threads),
        ]
        command = [sys.executable, "-c", ALONE, *given]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def raw_crops(folder: Path, mosaic: Mosaic, count: int) -> Path:
    """A raw store of `count` crops of the frame."""
    corners = [(y, x) for y in range(0, mosaic.shape[0] - 255, 32) for x in range(0, mosaic.shape[1] - 255, 32)]
    crops = np.stack([mosaic[y : y + 256, x : x + 256] for y, x in (corners[i % len(corners)] for i in range(count))])
    rows = pd.DataFrame({"tile_id": [f"t{i:06d}" for i in range(count)], "index": range(count), "intensity": 1.0})

    def setup(content: Path) -> None:
        calibration = {"rawmill": {"calibration": DRONE.model_dump(mode="json")}}
        store.create_group(content, {"rawmill": {"version": 2, "kind": "crops", "classes": []}})
        path, axes = content / "mosaic", ["tile", "y", "x"]
        store.create_array(path, crops.shape, "uint16", (1, 256, 256), (64, 256, 256), axes, calibration)
        for window in store.windows(store.open_array(path)):
            store.write(path, window, crops[window])
        rows.to_parquet(content / "tiles.parquet", index=False)

    job = output.start(folder / "crops.zarr", Plan("ingest", "crops.zarr", [], {}, "tasks.errors", "-"), ["all"], setup)
    output.mark_done(job, "all", [])
    return output.publish(job).path


def crops_cost(mosaic: Mosaic, arguments: argparse.Namespace) -> Cost:
    """For all variants of `--crops` crops, one after the other, `--threads` items side by side."""
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_crops(Path(folder), mosaic, arguments.crops)
        return cost(lambda: develop_crops(raw, arguments.variants.split("/"), arguments.threads))


def develop_crops(raw: Path, variants: list[str], threads: int) -> None:
    """Each variant's store beside `raw`, by the functions of the stage."""
    common = load(PARAMS, "develop.common", Common)
    with ThreadPoolExecutor(threads) as pool:
        for variant in variants:
            job = step.prepare(
                raw, raw.with_name(f"{variant}.zarr"), variant, load_variant(PARAMS, variant), common, "-"
            )
            list(pool.map(lambda item, job=job: step.process(job, item), output.todo(job)))
            step.finish(job)


def rows(mosaic: Mosaic, dng: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """(name, seconds) for each contestant, as they are measured."""
    common = load(PARAMS, "develop.common", Common)
    view = np.zeros((3, *mosaic.shape), np.uint16)
    variants, repeats, threads = arguments.variants.split("/"), arguments.repeats, arguments.threads
    yield "copy limit", best_s(lambda: copy(mosaic, view, threads), repeats)
    for name in ("LINEAR", "AHD"):
        algorithm = rawpy.DemosaicAlgorithm[name]
        yield f"rawpy {name}", best_s(lambda a=algorithm: libraw(dng, a), repeats)
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        yield f"torch {device} ma,s,me", best_s(lambda d=device: on_device(mosaic, "ma,s,me", d), 2)
    yield "opencv bi,s,me", best_s(lambda: opencv(mosaic), repeats)
    for variant in variants:
        if not arguments.ours_only:
            yield f"reference {variant}", best_s(lambda v=variant: reference(mosaic, v), 1)
        chain = load_variant(PARAMS, variant)
        yield f"rawmill {variant}", best_s(lambda c=chain: develop(c, mosaic, DRONE, common.tile, threads), repeats)
    yield "rawmill at once", best_s(lambda: at_once(mosaic, variants, threads), repeats) / len(variants)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height-px", type=int, default=3648)
    parser.add_argument("--width-px", type=int, default=5472)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--crops", type=int, default=940, help="so many crops through the step; 0: leave it out")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each but the reference; the fastest counts")
    parser.add_argument("--variants", default="/".join(section(PARAMS, "develop.variants")), help="separated by /")
    parser.add_argument("--ours-only", action="store_true", help="leave the slow reference out")
    parser.add_argument("--yaml", action="store_true", help="print YAML instead of a table")
    return parser.parse_args()


def measured(mosaic: Mosaic, arguments: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Mpix/s of each contestant, printed as they come, and totals."""
    rates: dict[str, float] = {}
    taken: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        dng = write_dng(Path(folder) / "frame.dng", mosaic, DRONE, 3.0)
        for name, seconds in rows(mosaic, dng, arguments):
            taken[name], rates[name] = seconds, round(mosaic.size / seconds / 1e6, 2)
            if not arguments.yaml:
                print(f"{name:24}{rates[name]:10.2f} Mpix/s", flush=True)
    variants = arguments.variants.split("/")
    totals = {
        "all at once, s": taken["rawmill at once"] * len(variants),
        "  processor time, s": cost(lambda: at_once(mosaic, variants, arguments.threads)).processor_s,
        "peak memory at once, MB": peak_mb(mosaic, arguments),
    }
    if not arguments.ours_only:
        totals["all by the reference, s"] = sum(taken[f"reference {variant}"] for variant in variants)
        totals["times as fast"] = totals["all by the reference, s"] / totals["all at once, s"]
    if arguments.crops:
        crops = crops_cost(mosaic, arguments)
        totals |= {f"{arguments.crops} crops in all, s": crops.clock_s, "  their processor time, s": crops.processor_s}
    return rates, {name: round(value, 2) for name, value in totals.items()}


def main() -> None:
    arguments = parsed()
    mosaic = frame(arguments.height_px, arguments.width_px)
    rates, totals = measured(mosaic, arguments)
    if arguments.yaml:
        sizes = {"height_px": arguments.height_px, "width_px": arguments.width_px, "threads": arguments.threads}
        print(yaml.safe_dump({**sizes, "mpix_per_s": rates, "totals": totals}))
    else:
        print("\n".join(f"{name:32}{value:10.2f}" for name, value in totals.items()))


if __name__ == "__main__":
    main()
