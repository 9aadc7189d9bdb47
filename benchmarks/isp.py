"""Mpix/s of the twelve variants, of their peers and of the memory limit, on one frame in one run, one thread.

    OMP_NUM_THREADS=1 python benchmarks/isp.py --height-px 3648 --width-px 5472

* `reference`: the chain of the libraries that the thesis names (colour-demosaicing, scikit-image, SciPy), float64;
* `rawpy`: LibRaw's whole development of the same frame as DNG, with linear and with AHD interpolation;
* `rawmill`: uint16 mosaic to uint16 view through the engine, params.yaml's chains;
* `copy limit`: the least that any method moves, 2 bytes in and 6 out a pixel, by a NumPy copy.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import rawpy  # noqa: E402
import yaml  # noqa: E402
from colour_demosaicing import (  # noqa: E402
    demosaicing_CFA_Bayer_bilinear,
    demosaicing_CFA_Bayer_Malvar2004,
    demosaicing_CFA_Bayer_Menon2007,
)
from numpy.typing import NDArray  # noqa: E402
from scipy import ndimage  # noqa: E402
from skimage import color, data, filters  # noqa: E402

from tasks.acquire.files import write_dng  # noqa: E402
from tasks.contracts import Calibration  # noqa: E402
from tasks.isp.engine import Mosaic, develop  # noqa: E402
from tasks.isp.params import Common, load_variant  # noqa: E402
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


def copy(mosaic: Mosaic, view: NDArray[np.uint16]) -> None:
    """Read each sample once, write three."""
    for plane in view:
        np.copyto(plane, mosaic)


def best_s(work: Callable[[], Any], repeats: int) -> float:
    """The least processor time over `repeats` runs: waiting for neighbours on the machine does not count."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def rows(mosaic: Mosaic, dng: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """(name, seconds) for each contestant, as they are measured."""
    common = load(PARAMS, "develop.common", Common)
    view = np.zeros((3, *mosaic.shape), np.uint16)
    yield "copy limit", best_s(lambda: copy(mosaic, view), arguments.repeats)
    for name in ("LINEAR", "AHD"):
        algorithm = rawpy.DemosaicAlgorithm[name]
        yield f"rawpy {name}", best_s(lambda a=algorithm: libraw(dng, a), arguments.repeats)
    for variant in arguments.variants.split("/"):
        if not arguments.ours_only:
            yield f"reference {variant}", best_s(lambda v=variant: reference(mosaic, v), 1)
        chain = load_variant(PARAMS, variant)
        yield f"rawmill {variant}", best_s(lambda c=chain: develop(c, mosaic, DRONE, common.tile), arguments.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height-px", type=int, default=1824)
    parser.add_argument("--width-px", type=int, default=2736)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each but the reference; the fastest counts")
    parser.add_argument("--variants", default="/".join(section(PARAMS, "develop.variants")), help="separated by /")
    parser.add_argument("--ours-only", action="store_true", help="leave the slow reference out")
    parser.add_argument("--yaml", action="store_true", help="print YAML instead of a table")
    arguments = parser.parse_args()
    mosaic = frame(arguments.height_px, arguments.width_px)
    with tempfile.TemporaryDirectory() as folder:
        dng = write_dng(Path(folder) / "frame.dng", mosaic, DRONE, 3.0)
        found: dict[str, float] = {}
        for name, seconds in rows(mosaic, dng, arguments):
            found[name] = round(mosaic.size / seconds / 1e6, 2)
            if not arguments.yaml:
                print(f"{name:24}{found[name]:10.2f} Mpix/s", flush=True)
    if arguments.yaml:
        print(yaml.safe_dump({"height_px": arguments.height_px, "width_px": arguments.width_px, "mpix_per_s": found}))


if __name__ == "__main__":
    main()
