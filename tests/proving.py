"""Small raw stores to prove and to spoil.

`forge` does what a careful forger would: after changing pixels he makes receipts, tree and recipe fit again.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tasks import output
from tasks.errors import LineageError
from tasks.ingest import receipts, statistics, step
from tasks.ingest.proving.verify import Verified, verify
from tasks.lineage.digest import RECIPE, TREE, pretty, root_of, tree_of
from tasks.lineage.recipe import seal
from tests import makers

KINDS = ("crops", "frames", "slides")


def run(job: output.Job) -> Path:
    for wave in output.waves(job):
        for item in wave:
            step.process(job, item)
    return step.finish(job).path


def made(folder: Path, kind: str) -> Path:
    """A small store `o.zarr` beside its sources in `in`."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "crops":
        makers.crops_folder(folder / "in", count=3, side=16)
    elif kind == "frames":
        makers.frames_folder(folder / "in", count=1, height=24, width=32)
    else:
        makers.slides_folder(folder / "in", count=1, height=90, width=130)
    return run(step.prepare(folder / "in", folder / "o.zarr", makers.PARAMS[kind](), "test", "again"))


def copy_of(originals: dict[str, Path], kind: str, tmp_path: Path) -> Path:
    return shutil.copytree(originals[kind], tmp_path / "copy") / "o.zarr"


def proved(store: Path) -> Verified:
    return verify(store, lambda done, total: None)


def faults(store: Path) -> list[str]:
    """The lines of what is wrong with a store; fails where nothing is."""
    with pytest.raises(LineageError) as caught:
        proved(store)
    return str(caught.value).splitlines()


def forge(store: Path) -> None:
    """Make digests and statistics of the receipts, then tree and recipe, fit what is stored now."""
    told = [one.model_copy(update=_retold(store, one)) if one.image else one for one in receipts.read(store)]
    receipts.write(store, told)
    reseal(store)


def forge_files(store: Path) -> None:
    """`forge` where the pixels cannot be read any more: statistics stay as they were."""
    told = receipts.read(store)
    images = [
        r.image.model_copy(update={"digest": receipts.image_digest(store, r.image.path, {})}) for r in told if r.image
    ]
    receipts.write(store, [r.model_copy(update={"image": image}) for r, image in zip(told, images, strict=True)])
    reseal(store)


def reseal(store: Path) -> None:
    recipe, tree = json.loads((store / RECIPE).read_bytes()), tree_of(store)
    size = sum(entry["bytes"] for entry in tree.values())
    recipe["output"] |= {"root": root_of(tree), "files": len(tree), "bytes": size}
    (store / TREE).write_bytes(pretty(tree))
    (store / RECIPE).write_bytes(pretty(seal(recipe)))


def _retold(store: Path, one: receipts.Receipt) -> dict[str, Any]:
    assert one.image
    stack = one.image.index is not None
    pixels = np.asarray(zarr.open_array(store / one.image.path / ("" if stack else "0"), mode="r")[...])
    pixels = pixels[one.image.index] if stack else pixels
    digest = receipts.crop_digest(pixels) if stack else receipts.image_digest(store, one.image.path, {})
    told = statistics.document(statistics.of(pixels, 0 if one.image.axes[0] == "c" else None))
    return {"image": one.image.model_copy(update={"digest": digest}), "statistics": tuple(told)}


def change(array: Path, by: int = 1) -> None:
    """Change one pixel of an array through zarr-python, as another program would."""
    opened = zarr.open_array(array, mode="r+")
    pixels = np.asarray(opened[...])
    pixels.flat[pixels.size // 2] ^= by
    opened[...] = pixels


def level0(store: Path) -> Path:
    image = receipts.read(store)[0].image
    assert image
    return store / image.path / ("" if image.index is not None else "0")


def gone(store: Path) -> None:
    shutil.rmtree(store.parent / "in")


def first_shard(store: Path) -> Path:
    return next(p for p in sorted(level0(store).rglob("*")) if p.is_file() and "c" in p.relative_to(store).parts)


def forged_receipt(store: Path, **changes: Any) -> None:
    told = receipts.read(store)
    receipts.write(store, [told[0].model_copy(update=changes), *told[1:]])
    reseal(store)
