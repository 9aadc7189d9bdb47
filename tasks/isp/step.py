"""Step develop: a raw store and a chain become a variant store (docs/data-model.md)."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import output, store
from tasks.contracts import DATA_MODEL_VERSION, FULL_SCALE_DN, Calibration, Record
from tasks.disk import storage_faults
from tasks.errors import InputError, ParamsError, fault
from tasks.isp.chain import Chain, parse_chain
from tasks.isp.crops import read_crops
from tasks.isp.engine import Frame, Mosaic, View, develop_into, develop_window, frame_of
from tasks.isp.params import Common
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job

CROPS_PER_SHARD = 32
CHUNK_PX, SHARD_PX, SMALLEST_PX = 512, 2048, 256


def prepare(raw: Path, out: Path, variant: str, chain: Chain, common: Common, repair: str) -> Job:
    """Plan the views of the raw store `raw` under `chain`, which is called `variant`.

    Items are shards of crops or whole frames. Raises `LineageError` where `raw` is not what its recipe says,
    `InputError` where it holds no mosaics, `ParamsError` where none has a wanted intensity.
    """
    inputs = [artefact("raw", raw, out)]
    kind = _kind(raw)
    params = {"variant": variant, "kind": kind, "common": common.model_dump(mode="json"), "operators": chain.document()}
    rows = _rows(raw, common.intensities)
    plan = Plan("develop", out.name, inputs, params, __name__, repair)
    if kind == "crops":
        return output.start(out, plan, _shards(len(rows)), lambda content: _lay_out_crops(content, raw, rows, variant))
    frames = sorted(set(rows["item"]))
    return output.start(out, plan, frames, lambda content: _lay_out_frames(content, raw, frames, variant))


def process(job: Job, item: str) -> None:
    """Develop one shard of crops, or one frame with its pyramid."""
    crops = job.plan["params"]["kind"] == "crops"
    files = _develop_shard(job, item) if crops else _develop_frame(job, item)
    output.mark_done(job, item, files)


def finish(job: Job) -> Record:
    """Write tiles.parquet and publish."""
    rows = _rows(_raw(job), _common(job).intensities)
    if job.plan["params"]["kind"] == "crops":
        rows = rows.assign(index=np.arange(len(rows), dtype=np.int64))
    with storage_faults(job.out):
        rows.to_parquet(job.content / "tiles.parquet", index=False)
    return output.publish(job, metrics={"tiles": float(len(rows)), "items": float(len(job.items))})


def _kind(raw: Path) -> str:
    attributes = store.read_attributes(raw)
    kind = str(attributes.get("kind"))
    if kind not in ("crops", "frames") or "variant" in attributes:
        wrong = f"views of {attributes['variant']!r}" if "variant" in attributes else f"a store of {kind}"
        raise InputError(fault(raw, wrong, "a raw store of crops or frames", "name one with mosaics"))
    return kind


def _rows(raw: Path, intensities: tuple[float, ...]) -> pd.DataFrame:
    """The rows of the raw store's tiles with a wanted intensity, in the order of `tile_id`."""
    tiles, rows = _selected((raw / "tiles.parquet").read_bytes(), intensities)
    if rows.empty:
        there = ", ".join(f"{value:g}" for value in sorted(set(tiles["intensity"])))
        wanted = ", ".join(f"{value:g}" for value in intensities)
        raise ParamsError(fault(raw, f"no tile of intensity {wanted}", f"one of {there}", "mend `intensities`"))
    return rows


@lru_cache(maxsize=2)
def _selected(parquet: bytes, intensities: tuple[float, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table in `parquet`, and its sorted rows of `intensities`. Every item asks; nobody may change them."""
    tiles = pd.read_parquet(BytesIO(parquet))
    return tiles, tiles[tiles["intensity"].isin(intensities)].sort_values("tile_id").reset_index(drop=True)


def _raw(job: Job) -> Path:
    """Where the raw store lies: recipes name it relative to the folder of the output."""
    return job.out.resolve().parent / str(job.plan["inputs"][0]["path"])


def _common(job: Job) -> Common:
    return Common.model_validate(job.plan["params"]["common"])


def _chain(job: Job) -> Chain:
    return parse_chain(job.plan["params"]["operators"], job.out)


def _calibration(path: Path) -> Calibration:
    return Calibration.model_validate(store.read_attributes(path)["calibration"])


def _root(content: Path, kind: str, variant: str, more: dict[str, Any] | None = None) -> None:
    attributes = {"version": DATA_MODEL_VERSION, "kind": kind, "variant": variant, "scale": 1 / FULL_SCALE_DN}
    store.create_group(content, {"rawmill": attributes, **(more or {})})


def _shards(crops: int) -> list[str]:
    return [f"crops-{first:08d}" for first in range(0, crops, CROPS_PER_SHARD)]


def _lay_out_crops(content: Path, raw: Path, rows: pd.DataFrame, variant: str) -> None:
    height, width = store.open_array(raw / "mosaic").shape[1:]
    _root(content, "crops", variant)
    shape = (len(rows), 3, height, width)
    chunks, shards = (1, *shape[1:]), (CROPS_PER_SHARD, *shape[1:])
    store.create_array(content / "view", shape, "uint16", chunks, shards, ["tile", "c", "y", "x"])


def _develop_shard(job: Job, item: str) -> list[Path]:
    raw, chain, common = _raw(job), _chain(job), _common(job)
    first = int(item.removeprefix("crops-"))
    rows = _rows(raw, common.intensities)["index"][first : first + CROPS_PER_SHARD]
    mosaics, calibration = read_crops(raw / "mosaic", rows.to_numpy()), _calibration(raw / "mosaic")
    height, width = mosaics.shape[1:]
    views = np.empty((len(mosaics), 3, height, width), np.uint16)
    for view, mosaic in zip(views, mosaics, strict=True):
        frame = frame_of(mosaic, calibration)
        develop_into([view], [chain], frame, (0, height), (0, width), common.tile, 1)
    window = (slice(first, first + len(views)), *(slice(0, n) for n in views.shape[1:]))
    return [store.write(job.content / "view", window, views)]


def _lay_out_frames(content: Path, raw: Path, frames: list[str], variant: str) -> None:
    """Root, frames and their list as NGFF 0.5, section 2.2 (bioformats2raw.layout), wants them."""
    _root(content, "frames", variant, {"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    series = [f"frames/{name}" for name in frames]
    store.create_group(content / "OME", {"ome": {"version": "0.5", "series": series}})
    store.create_group(content / "frames", {})
    for name in frames:
        store.create_image(content / "frames" / name, _image(raw / "frames" / name))


def _image(raw: Path) -> store.Image:
    height, width = store.open_array(raw / "0").shape
    levels = store.pyramid_levels(height, width, SMALLEST_PX)
    shape = (3, height, width)
    return store.Image("cyx", shape, "uint16", None, levels, CHUNK_PX, SHARD_PX, store.RGB, float(FULL_SCALE_DN))


def _develop_frame(job: Job, item: str) -> list[Path]:
    """One frame, shard by shard, so that memory holds one shard whatever the frame's size."""
    chain, tile = _chain(job), _common(job).tile
    raw = _raw(job) / "frames" / item
    frame = _frame(raw)

    def read(window: store.Window) -> View:
        rows, columns = ((span.start, span.stop) for span in window[1:])
        return develop_window(chain, frame, rows, columns, tile)

    return store.write_image(job.content / "frames" / item, read)


def _frame(raw: Path) -> Frame:
    array = store.open_array(raw / "0")

    def read(rows: slice, columns: slice) -> Mosaic:
        return np.asarray(array[rows, columns])

    return Frame(read, (array.shape[0], array.shape[1]), _calibration(raw))
