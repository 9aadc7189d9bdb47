"""A user's own pictures for `rawmill train`: how they are cut, and what cannot be learnt from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from tasks import output
from tasks.errors import InputError, ParamsError, fault
from tasks.ingest.brought import Files
from tasks.ingest.params import IngestParams, Kind
from tasks.learn.determinism import device_of
from tasks.params import Params, parse
from tasks.store import open_array
from tasks.synthesis import tiles
from tasks.synthesis.mask_params import MaskDenoiserParams
from tasks.synthesis.networks import MODEL
from tasks.synthesis.params import AutoencoderParams, DenoiserParams

KINDS: tuple[Kind, ...] = ("slides", "images")
"""Raw stores of display pictures; crops and frames are mosaics."""
DEVELOP = "training wants display pictures: export them as 8-bit RGB TIFF"
OUTPUTS = ("raw.zarr", "autoencoder", "mask_denoiser", "denoiser")
"""What `rawmill train` makes in its folder, in this order."""


class IngestedParams(Params):
    """Section `train_files.ingested`: how files that are ingested on the way are cut and split by group; all else is
    as `ingest.files` says."""

    tile_px: Annotated[int, Field(ge=1)]
    """A multiple of the autoencoder's factor, and of that times 2 for each level of the denoiser but the first."""
    tile_overlap_px: Annotated[int, Field(ge=0)]
    test_groups: Annotated[int, Field(ge=0)] | tuple[str, ...]
    """How many groups, or which, are held out; none where there is but one group."""


def ingest_params(files: Files, section: IngestParams, own: IngestedParams) -> IngestParams:
    """How `files` are ingested for training. Raises `InputError` where there are none, `ParamsError`."""
    groups = {entry.group for entry in files.entries()[1]}
    test = 0 if isinstance(own.test_groups, int) and len(groups) == 1 else own.test_groups
    cut = {"tile_sides_px": (own.tile_px,), "tile_overlap_px": own.tile_overlap_px, "test_groups": test}
    return parse(IngestParams, {**section.model_dump(), **cut}, "train_files.ingested")


def refuse_foreign(out: Path) -> None:
    """Raise `InputError` where the folder `out` is there and is none that `rawmill train` fills."""
    for name in OUTPUTS:
        output.refuse_foreign(out / name)
    if not out.exists() and not out.is_symlink():
        return
    found = [path.name for path in out.iterdir()] if out.is_dir() else ["no folder"]
    ours = [name for name in found if name in OUTPUTS or name.startswith(tuple(f".{own}." for own in OUTPUTS))]
    if found and not ours:
        wrong = "exists and holds no models of rawmill"
        raise InputError(fault(out, wrong, "a new folder, or that of an earlier run", "choose another --out"))


def check_encoder(params: AutoencoderParams, encoder: Path | None) -> None:
    """Raise `ParamsError` unless an encoder is named where one is used, and only there."""
    weight, where = params.perceptual.weight, "train.autoencoder.perceptual"
    if weight and encoder is None:
        remedy = "name the folder with --encoder, or write weight: 0.0"
        raise ParamsError(fault(where, f"weight {weight:g} and no encoder", "a trained encoder", remedy))
    if encoder is not None and not weight:
        raise ParamsError(fault("--encoder", f"weight 0 in {where}", "one above 0", "leave it out, or write a weight"))


def check_autoencoder(out: Path) -> None:
    """Raise `InputError` unless an autoencoder is there, which a denoiser that is made alone needs."""
    if not (out / "autoencoder" / MODEL).is_file():
        remedy = "make it first with --only autoencoder, or leave --only out"
        raise InputError(fault(out / "autoencoder", "not there", "the autoencoder of the denoiser", remedy))


def check_device(sections: Iterable[AutoencoderParams | DenoiserParams | MaskDenoiserParams]) -> None:
    """Raise `ParamsError` where the device of one is not to be had."""
    for params in sections:
        device_of(params.fit.device)


@dataclass(frozen=True)
class Takes:
    """The networks that are to be trained, and so which tiles they take; `denoiser` is None for none."""

    autoencoder: AutoencoderParams
    denoiser: DenoiserParams | None

    def check(self, side_px: int, where: str | Path, remedy: str) -> None:
        """Raise `ParamsError` where they do not take tiles of `side_px`."""
        factor = self.autoencoder.architecture.factor
        levels = len(self.denoiser.architecture.channels) if self.denoiser else 1
        unit = factor * 2 ** (levels - 1)
        if side_px % unit:
            more = f" and {levels} levels of the denoiser" if self.denoiser else ""
            expected = f"a multiple of {unit} px, for the autoencoder's factor {factor}{more}"
            raise ParamsError(fault(where, f"tiles of {side_px} px", expected, remedy))


def check(raw: Path, ingested: IngestedParams | None, takes: Takes, needing: Sequence[str]) -> tuple[str, ...]:
    """Look at the pictures of `raw`, which `ingested` cut or a user did: what a reader of the figures must know.

    `needing` are the parts that need classes. Raises `InputError` where they cannot be learnt from, `ParamsError` where
    the networks do not take such tiles.
    """
    table = check_pictures(raw, ingested)
    takes.check(
        tiles.side_px(table), raw / "tiles.parquet", "ingest with other tile_sides_px, or mend the architecture"
    )
    check_annotated(raw, table, needing)
    return remarks(table, needing)


def side_px(raw: Path) -> int:
    """Side of the training tiles."""
    return tiles.side_px(tiles.read_tiles(raw))


def check_pictures(raw: Path, ingested: IngestedParams | None) -> pd.DataFrame:
    """The tiles of `raw`, which `ingested` cut or a user did. Raises `InputError` where they cannot be learnt from."""
    table: pd.DataFrame = pd.read_parquet(raw / "tiles.parquet")
    train, where = table[table["split"] == "train"], raw / "tiles.parquet"
    if train.empty:
        remedy = "bring pictures with tissue, or lower least_tissue of ingest.files"
        raise InputError(fault(where, "no tile for training", "some", remedy))
    for tile in train.drop_duplicates("item").itertuples(index=False):
        array = open_array(tiles.place(raw, str(tile.item)) / "0")
        if (len(array.shape), array.shape[0], array.dtype.name) != (3, 3, "uint8"):
            wrong = f"{array.dtype.name} of shape {'x'.join(map(str, array.shape))}"
            raise InputError(
                fault(raw / str(tile.item), wrong, "8-bit RGB pictures", "export them so, or leave it out")
            )
    if ingested is not None:
        _check_cut(table, ingested.tile_px)
    return tiles.read_tiles(raw)


def _check_cut(table: pd.DataFrame, side_px: int) -> None:
    """Raise `InputError` where a picture was smaller than the tiles that were to be cut from it."""
    small = table[(table["height_px"] != side_px) | (table["width_px"] != side_px)]
    for tile in small.head(1).itertuples(index=False):
        wrong, expected = f"{tile.height_px} px high or {tile.width_px} px wide", f"{side_px} x {side_px} px or more"
        remedy = "leave it out, or lower tile_px in train_files.ingested"
        raise InputError(fault(str(tile.source), wrong, expected, remedy))


def check_annotated(raw: Path, table: pd.DataFrame, needing: Sequence[str]) -> None:
    """Raise `InputError` where no training tile has a class and parts that need them, `needing`, are to be made."""
    if not needing or (table.loc[table["split"] == "train", "annotated"] > 0).any():
        return
    held = int((table.loc[table["split"] == "test", "annotated"] > 0).sum())
    wrong = "no training tile is annotated" + (f" ({held} held-out ones are)" if held else "")
    other = "name others in test_groups of train_files.ingested" if held else "bring masks beside the pictures"
    remedy = f"{other}, or train without classes with --unconditional"
    raise InputError(fault(raw / "tiles.parquet", wrong, "some, for a denoiser that follows masks", remedy))


def remarks(table: pd.DataFrame, needing: Sequence[str]) -> tuple[str, ...]:
    """What a reader of the figures must know: that nothing was held out, or nothing with the classes needed."""
    count, test = int((table["split"] == "train").sum()), table[table["split"] == "test"]
    if test.empty:
        return (f"nothing is held out: all {count} tiles are training data, and figures are of those",)
    if needing and not (test["annotated"] > 0).any():
        return ("no held-out tile is annotated: the denoiser has no held-out losses",)
    return ()


def changed(section: Params, fit: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    """`section` with the values that options give: those of `fit` that are not None in its `fit`, and `more` in it.

    Raises `ParamsError` for what cannot be.
    """
    values = section.model_dump()
    given = {name: value for name, value in fit.items() if value is not None}
    return parse(type(section), {**values, "fit": {**values["fit"], **given}, **more}, "the options of train")
