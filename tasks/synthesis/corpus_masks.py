"""Label frequencies of a corpus's masks, beside those of masks cut from the training slides' annotations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from tasks.output import Job
from tasks.store import windows
from tasks.synthesis import figures, folder, frequencies, masks
from tasks.synthesis.frequencies import Compared
from tasks.synthesis.params import SynthesiseParams

DRAWS, CONFIDENCE = 400, 0.95
LEAST_REAL, LEAST_SAMPLES = 32, 2
Facts = Mapping[str, Any]


def count(mask: zarr.Array[Any], classes: int) -> list[int]:
    """Pixels of each label, unknown first, of a stored mask (y, x); shard by shard."""
    parts = (np.bincount(np.asarray(mask[w]).ravel(), minlength=classes + 1) for w in windows(mask))
    return [int(n) for n in np.sum(list(parts), axis=0)]


def summarise(
    job: Job, params: SynthesiseParams, classes: Sequence[str], samples: Sequence[Facts]
) -> tuple[dict[str, float], list[str]]:
    """Metrics, and the figures that were written: fraction of each label over all pixels, and, but for masks that a
    user gave, distances to real masks and bars of both (thesis A, fig. 5.7)."""
    labels = ["unknown", *classes]
    pixels = np.array([facts["mask_pixels"] for facts in samples], np.float64)
    whole = pixels.sum(0) / pixels.sum()
    metrics = {f"mask_fraction_{name}": float(share) for name, share in zip(labels, whole, strict=True)}
    if not classes or len(samples) < LEAST_SAMPLES or any(facts["mask_origin"] == "given" for facts in samples):
        return metrics, []
    compared = _compare(job, params, pixels, [str(facts["subtype"]) for facts in samples])
    path = job.content / "figures" / "frequencies.png"
    figures.frequencies(frequencies.table(compared, labels), path)
    for name, each in compared.items():
        metrics |= {f"label_distance_{name}": each.distance, f"label_distance_{name}_chance": each.chance}
    return metrics, [path.relative_to(job.content).as_posix()]


def _compare(
    job: Job, params: SynthesiseParams, pixels: NDArray[np.float64], subtypes: Sequence[str]
) -> dict[str, Compared]:
    """All samples, and those of each subtype, with as many real masks or more, cut as the params say.

    The mask denoiser learns windows inside the slides, which show less of their border (glass) than these cuts do: that
    is part of the distance of generated masks.
    """
    own = pixels / pixels.sum(1, keepdims=True)
    bank = masks.load_bank(folder.input_path(job, "denoiser"))
    found: dict[str, Compared] = {}
    for subtype in ("", *sorted(set(subtypes) - {""})):
        mine = own if not subtype else own[[k for k, name in enumerate(subtypes) if name == subtype]]
        slides = {k: v for k, v in bank.slides.items() if subtype in ("", bank.subtypes.get(k, ""))}
        if len(mine) < LEAST_SAMPLES or not slides:
            continue
        part = masks.Bank(slides, bank.reduction, bank.tiles, bank.subtypes)
        sizes = [params.sizes_px[k % len(params.sizes_px)] for k in range(max(len(mine), LEAST_REAL))]
        name = subtype or "all"
        cuts = [masks.cut(part, size, params.masks, params.seed, f"real/{name}/{k}") for k, size in enumerate(sizes)]
        real = frequencies.shares([cut.small for cut in cuts], pixels.shape[1] - 1)
        found[name] = frequencies.compare(real, mine, DRAWS, CONFIDENCE, params.seed, name)
    return found
