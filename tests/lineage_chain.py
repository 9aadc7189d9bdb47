"""A small planted chain through every kind of output, made as the stages make theirs: by `output.start` and `publish`.

package picture -> sources/tissue -> raw/tissue.zarr -> autoencoder -> denoiser -> synthetic/tissue.zarr
sources/cells   -> raw/cells.zarr -> variants/cells/plain.zarr -> models/cells
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skimage
import yaml

from tasks import rng, store
from tasks.contracts import Record
from tasks.lineage.chunk_proof import ChunkProof
from tasks.lineage.recipe import Plan, artefact, package_file, source_file
from tasks.output import mark_done, publish, start

PARAMS = {
    "acquire": {"tissue": {"blur_px": 1.0, "seed": 1}},
    "ingest": {"tissue": {"tile_px": 32}, "cells": {"tile_px": 16}},
    "develop": {"plain": {"operators": ["clip", {"gamma": {"gamma": 2.2}}]}},
    "train": {"autoencoder": {"rate": 1e-4, "steps": 3}, "denoiser": {"rate": 1e-4, "steps": 5}},
    "learn": {"cells": {"rate": 1e-3}},
    "synthesise": {"steps": 4},
    "audit": {
        "check_code": True,
        "sections": {
            "data/sources/{name}": {"": "acquire.{name}"},
            "data/raw/{name}.zarr": {"": "ingest.{name}"},
            "data/variants/{dataset}/{variant}.zarr": {"operators": "develop.{variant}.operators"},
            "data/models/cells": {"": "learn.cells"},
            "data/models/{name}": {"": "train.{name}"},
            "data/synthetic/{corpus}.zarr": {"": "synthesise"},
        },
    },
}
SLIDES = ("s0", "s1")
TILE_PX, SLIDE_PX = 32, 64
PICTURE = Path(skimage.__file__).parent / "data" / "multipage_rgb.tif"
Fill = Callable[[Path], None]


def proof_of(document: Mapping[str, Any]) -> ChunkProof:
    """The proof that was written as JSON (`dataclasses.asdict`): what who is given one does."""
    ways = {key: tuple((side, sibling) for side, sibling in document[key]) for key in ("within", "outer")}
    return ChunkProof(**{**document, **ways, "coords": tuple(document["coords"])})


def seal(out: Path, stage: str, inputs: Sequence[Mapping[str, Any]], params: Mapping[str, Any], fill: Fill) -> Record:
    """An output of one item, whose files `fill(content)` writes."""
    plan = Plan(stage, out.name, inputs, params, "tasks.errors", f"rawmill repro {stage}", seed=7)
    job = start(out, plan, ["all"], lambda content: None)
    fill(job.content)
    mark_done(job, "all", [f for f in job.content.rglob("*") if f.is_file()])
    return publish(job)


def plant(root: Path) -> Path:
    """Plant the chain in `root/data` with `root/params.yaml`; returns `root/data`."""
    data = root / "data"
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    plant_tissue(data)
    plant_cells(data)
    return data


def plant_tissue(data: Path) -> None:
    sources, raw = data / "sources" / "tissue", data / "raw" / "tissue.zarr"
    given = [package_file("picture", "skimage", PICTURE, "data/multipage_rgb.tif")]
    seal(sources, "acquire", given, PARAMS["acquire"]["tissue"], _slide_files)
    seal(raw, "ingest", [artefact("sources", sources, raw)], PARAMS["ingest"]["tissue"], _slide_store)
    auto, noise = data / "models" / "autoencoder", data / "models" / "denoiser"
    trained = [("s0_0_0", "train"), ("s0_0_1", "train")]
    seal(auto, "train", [artefact("tiles", raw, auto)], PARAMS["train"]["autoencoder"], model(trained))
    below = [artefact("autoencoder", auto, noise), artefact("tiles", raw, noise)]
    roles = [("s0_0_0", "labelled"), ("s0_1_1", "unlabelled")]
    seal(noise, "train", below, PARAMS["train"]["denoiser"], model(roles))
    out = data / "synthetic" / "tissue.zarr"
    used = [artefact(role, path, out) for role, path in (("autoencoder", auto), ("denoiser", noise), ("masks", raw))]
    seal(out, "synthesise", used, PARAMS["synthesise"], _synthetic_store)
    banked = data / "synthetic" / "banked.zarr"
    used = [artefact(role, path, banked) for role, path in (("autoencoder", auto), ("denoiser", noise))]
    seal(banked, "synthesise", used, PARAMS["synthesise"], _synthetic_store)


def plant_cells(data: Path) -> None:
    """From files that rawmill did not make: a user's own folder."""
    folder, raw = data.parent / "mine", data / "raw" / "cells.zarr"
    folder.mkdir(exist_ok=True)
    for name in ("a.tif", "b.tif", "calibration.json"):
        (folder / name).write_bytes(rng.generator(3, name, "bytes").bytes(200))
    given = [source_file("source", folder / name, raw) for name in ("a.tif", "b.tif", "calibration.json")]
    seal(raw, "ingest", given, PARAMS["ingest"]["cells"], crops("mosaic", (16, 16)))
    view = data / "variants" / "cells" / "plain.zarr"
    params = {"variant": "plain", "operators": PARAMS["develop"]["plain"]["operators"]}
    seal(view, "develop", [artefact("raw", raw, view)], params, crops("view", (3, 16, 16)))
    learnt = data / "models" / "cells"
    seal(learnt, "learn", [artefact("views", view, learnt)], PARAMS["learn"]["cells"], model([("a", "train")]))


def noise(shape: tuple[int, ...], item: str, high: int, dtype: str) -> np.ndarray:
    return rng.generator(5, item, "planted").integers(1, high, shape).astype(dtype)


def _slide_files(content: Path) -> None:
    rows = [
        {"file": f"{s}.tif", "id": s, "group": s, "label": "", "mask": f"{s}.geojson", "intensity": 1.0} for s in SLIDES
    ]
    pd.DataFrame(rows).to_csv(content / "manifest.csv", index=False)
    for slide in SLIDES:
        (content / f"{slide}.tif").write_bytes(rng.generator(1, slide, "tif").bytes(300))
        (content / f"{slide}.geojson").write_text(f'{{"of": "{slide}"}}', encoding="utf-8")


def _image(path: Path, axes: str, size_px: int, dtype: str, high: int, label: bool = False) -> None:
    shape = (3, size_px, size_px) if axes == "cyx" else (size_px, size_px)
    store.create_image(
        path, store.Image(axes, shape, dtype, 0.5, 1, 16, 32, store.RGB if axes == "cyx" else (), 255.0, label)
    )
    pixels = noise(shape, path.name + axes, high, dtype)
    store.write_image(path, lambda window: pixels[window])


def _slide_store(content: Path) -> None:
    store.create_group(content, {"rawmill": {"version": 1, "kind": "slides", "classes": ["tumour", "stroma"]}})
    rows = []
    for slide in SLIDES:
        _image(content / "slides" / slide, "cyx", SLIDE_PX, "uint8", 255)
        store.create_group(content / "slides" / slide / "labels", {"ome": {"version": "0.5", "labels": ["annotation"]}})
        _image(content / "slides" / slide / "labels" / "annotation", "yx", SLIDE_PX, "uint8", 3, label=True)
        rows += [_slide_row(slide, y, x) for y in (0, 1) for x in (0, 1)]
    pd.DataFrame(rows).to_parquet(content / "tiles.parquet", index=False)


def _slide_row(slide: str, y: int, x: int) -> dict[str, Any]:
    mask = f"slides/{slide}/labels/annotation"
    window = {"y_px": y * TILE_PX, "x_px": x * TILE_PX, "height_px": TILE_PX, "width_px": TILE_PX}
    split = {
        "group": slide,
        "split": "train" if slide == "s0" else "test",
        "fold": -1,
        "intensity": 1.0,
        "coverage": 1.0,
    }
    return {"tile_id": f"{slide}_{y}_{x}", "source": f"{slide}.tif", "item": slide, "index": -1, **window,
            "label": "", "mask": mask, **split}  # fmt: skip


def crops(name: str, shape: tuple[int, ...]) -> Fill:
    """A stack of two tiles, `a` and `b`, one a shard."""

    def fill(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 1, "kind": "crops", "classes": ["x", "y"]}})
        axes = ["tile", *("c", "y", "x")[-len(shape) :]]
        store.create_array(content / name, (2, *shape), "uint16", (1, *shape), (1, *shape), axes)
        pixels = noise((2, *shape), name, 60000, "uint16")
        for window in store.windows(store.open_array(content / name)):
            store.write(content / name, window, pixels[window])
        rows = [_crop_row(tile, index) for index, tile in enumerate("ab")]
        pd.DataFrame(rows).to_parquet(content / "tiles.parquet", index=False)

    return fill


def _crop_row(tile: str, index: int) -> dict[str, Any]:
    window = {"y_px": 0, "x_px": 0, "height_px": 16, "width_px": 16}
    split = {"group": tile, "split": "train", "fold": index, "intensity": 1.0, "coverage": 0.0}
    return {
        "tile_id": tile,
        "source": f"{tile}.tif",
        "item": "",
        "index": index,
        **window,
        "label": "x",
        "mask": "",
        **split,
    }


def model(tiles: Sequence[tuple[str, str]]) -> Fill:
    """A model whose weights are bytes and whose training tiles are `tiles` of (id, role)."""

    def fill(content: Path) -> None:
        (content / "weights.safetensors").write_bytes(rng.generator(2, content.parent.name, "w").bytes(64))
        (content / "model.json").write_text("{}\n", encoding="utf-8")
        rows = [{"tile_id": tile, "role": role, "fold": 0} for tile, role in tiles]
        pd.DataFrame(rows).to_parquet(content / "tiles.parquet", index=False)

    return fill


def _synthetic_store(content: Path) -> None:
    store.create_group(content, {"rawmill": {"version": 1, "synthetic": True}})
    rows = []
    for sample, tile in (("x0", "s0_0_0"), ("x1", "s1_0_1")):
        _image(content / "samples" / sample, "cyx", SLIDE_PX, "uint8", 255)
        store.create_group(content / "samples" / sample / "labels", {"ome": {"version": "0.5", "labels": ["mask"]}})
        _image(content / "samples" / sample / "labels" / "mask", "yx", SLIDE_PX, "uint8", 3, label=True)
        rows.append({"sample_id": sample, "seed": 11, "height_px": SLIDE_PX, "width_px": SLIDE_PX, "guidance": 1.0,
                     "steps": 4, "mask_source": [tile], "recipe": "0" * 64})  # fmt: skip
    pd.DataFrame(rows).to_parquet(content / "samples.parquet", index=False)
