"""A user's own pictures: what is refused before training, and what is said of the figures."""

from pathlib import Path

import pandas as pd
import pytest

from tasks.errors import InputError, ParamsError
from tasks.ingest.brought import Files
from tasks.synthesis import own
from tasks.synthesis.params import AutoencoderParams, DenoiserParams
from tests import makers
from tests.unit.synthesis import planted_slides

AUTOENCODER = AutoencoderParams.model_validate(planted_slides.AUTOENCODER)
DENOISER = DenoiserParams.model_validate(planted_slides.DENOISER)
"""Factor 4, two levels: sides are multiples of 4, and of 8 with the denoiser."""


def table(split: str = "train", annotated: float = 1.0, tiles: int = 3) -> pd.DataFrame:
    return pd.DataFrame({"split": [split] * tiles, "annotated": annotated})


def test_sides_are_multiples_of_what_the_networks_halve() -> None:
    both, first = own.Takes(AUTOENCODER, DENOISER), own.Takes(AUTOENCODER, None)
    for side in (8, 32):
        both.check(side, "tiles", "mend")
    first.check(4, "tiles", "mend")
    with pytest.raises(ParamsError, match=r"tiles of 4 px; expected a multiple of 8 px.*factor 4 and 2 levels"):
        both.check(4, "tiles", "mend")
    with pytest.raises(ParamsError, match="tiles of 6 px; expected a multiple of 4 px, for the autoencoder's factor"):
        first.check(6, "tiles", "mend")


@pytest.mark.parametrize(("asked", "groups", "held"), [(1, 1, 0), (1, 3, 1), (("p0",), 1, ("p0",)), (0, 3, 0)])
def test_a_single_group_is_all_training_data_unless_groups_are_named(
    tmp_path: Path, asked: int | tuple[str, ...], groups: int, held: int | tuple[str, ...]
) -> None:
    rows = []
    for k in range(3):
        makers.write_slide(tmp_path / f"s{k}.tif", makers.picture_of(64, 64))
        rows.append({"file": f"s{k}.tif", "id": f"s{k}", "group": f"p{k % groups}"})
    makers.write_manifest(tmp_path, rows)
    cut = own.IngestedParams(tile_px=32, tile_overlap_px=8, test_groups=asked)
    found = own.ingest_params(Files(tmp_path, None), makers.params(), cut)
    assert (found.test_groups, found.tile_sides_px, found.tile_overlap_px) == (held, (32,), 8)


def test_parts_that_need_classes_need_an_annotated_training_tile(tmp_path: Path) -> None:
    own.check_annotated(tmp_path, table(), ["denoiser"])
    own.check_annotated(tmp_path, table(annotated=0.0), [])
    with pytest.raises(InputError, match=r"no training tile is annotated; expected.*--unconditional"):
        own.check_annotated(tmp_path, table(annotated=0.0), ["denoiser"])
    held = pd.concat([table(annotated=0.0), table("test", tiles=2)])
    with pytest.raises(InputError, match=r"\(2 held-out ones are\).*test_groups"):
        own.check_annotated(tmp_path, held, ["denoiser"])


def test_what_figures_lack_is_said() -> None:
    assert own.remarks(pd.concat([table(), table("test")]), ["denoiser"]) == ()
    assert "all 3 tiles are training data" in own.remarks(table(), [])[0]
    without = pd.concat([table(), table("test", 0.0)])
    assert "no held-out tile is annotated" in own.remarks(without, ["denoiser"])[0]
    assert own.remarks(without, []) == ()


def test_options_change_the_fit_and_nothing_else() -> None:
    found = own.changed(DENOISER, {"steps": 9, "batch": None}, {"p_unconditional": 1.0})
    assert (found.fit.steps, found.fit.batch, found.p_unconditional) == (9, DENOISER.fit.batch, 1.0)
    assert found.model_copy(update={"fit": DENOISER.fit, "p_unconditional": 0.5}) == DENOISER
    with pytest.raises(ParamsError, match="the options of train"):
        own.changed(DENOISER, {"steps": 0}, {})


def test_only_a_new_folder_or_one_of_models_is_filled(tmp_path: Path) -> None:
    for name in ("new", "empty", ".denoiser.staging-1"):
        own.refuse_foreign(tmp_path / name)
        (tmp_path / name).mkdir()
        own.refuse_foreign(tmp_path / name)
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".raw.zarr.staging-0123").mkdir()
    own.refuse_foreign(tmp_path / "killed")
    (tmp_path / "new" / "thesis.txt").touch()
    (tmp_path / "empty" / "denoiser").mkdir()
    (tmp_path / "empty" / "denoiser" / "notes.txt").touch()
    for name in ("new", "empty", "new/thesis.txt"):
        with pytest.raises(InputError, match="exists and"):
            own.refuse_foreign(tmp_path / name)


def test_an_encoder_goes_with_a_perceptual_weight(tmp_path: Path) -> None:
    seen = AUTOENCODER.model_copy(update={"perceptual": AUTOENCODER.perceptual.model_copy(update={"weight": 0.5})})
    own.check_encoder(AUTOENCODER, None)
    own.check_encoder(seen, tmp_path)
    with pytest.raises(ParamsError, match=r"weight 0.5 and no encoder.*--encoder"):
        own.check_encoder(seen, None)
    with pytest.raises(ParamsError, match="--encoder: weight 0"):
        own.check_encoder(AUTOENCODER, tmp_path)
