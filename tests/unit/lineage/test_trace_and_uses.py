"""Truth of the planted chain: which tiles trained what and which slide they come from is known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import store
from tasks.errors import InputError, LineageError
from tasks.lineage.chunk_proof import proves_chunk
from tasks.lineage.contents import chunks_of_tiles, files_of_tiles, mask_tiles
from tasks.lineage.digest import proves, sha256_file, tree_of
from tasks.lineage.recipe import read
from tasks.lineage.trace import Story, lines, trace
from tasks.lineage.uses import Use, uses
from tests.lineage_chain import PICTURE, plant, proof_of

SYNTHETIC = "synthetic/tissue.zarr"


def below(story: Story, role: str) -> Story:
    return next(s for s in story.inputs if s.role == role)


def every(story: Story) -> list[Story]:
    return [story, *(s for under in story.inputs for s in every(under))]


def test_a_sample_leads_to_its_mask_tile_and_slide(chain: Path) -> None:
    story = trace(chain / SYNTHETIC, "x1", chain.parent)
    assert story.parts == ("x1",)
    assert story.facts["samples"][0]["seed"] == 11
    assert all(f.path.startswith("samples/x1/") for f in story.files)
    assert {f.path for f in story.files} >= {"samples/x1/0/c/0/0/0", "samples/x1/labels/mask/0/c/0/0"}
    masks = below(story, "masks")
    assert masks.parts == ("s1_0_1",)
    assert [f.path for f in masks.files] == ["slides/s1/0/c/0/0/1", "slides/s1/labels/annotation/0/c/0/1"]
    assert [f.path for f in below(masks, "sources").files] == ["s1.geojson", "s1.tif"]


def test_a_mask_that_a_model_carried_leads_to_its_tile_too(chain: Path) -> None:
    story = trace(chain / "synthetic/banked.zarr", "x1", chain.parent)
    mask = below(story, "mask")
    assert (mask.path, mask.parts) == ("data/raw/tissue.zarr", ("s1_0_1",))
    assert [f.path for f in below(mask, "sources").files] == ["s1.geojson", "s1.tif"]


def test_weights_lead_to_their_training_tiles_and_the_picture(chain: Path) -> None:
    denoiser = below(trace(chain / SYNTHETIC, "x0", chain.parent), "denoiser")
    assert denoiser.facts["tiles"] == {"labelled": 1, "unlabelled": 1}
    assert below(denoiser, "tiles").parts == ("s0_0_0", "s0_1_1")
    assert below(below(denoiser, "autoencoder"), "tiles").parts == ("s0_0_0", "s0_0_1")
    assert [f.path for f in denoiser.files] == ["model.json", "tiles.parquet", "weights.safetensors"]
    leaf = below(below(below(denoiser, "tiles"), "sources"), "picture")
    assert leaf.digest == sha256_file(PICTURE)


def test_every_proof_leads_from_the_file_to_the_root(chain: Path) -> None:
    for story in every(trace(chain / SYNTHETIC, "x0", chain.parent)):
        for file in story.files:
            assert file.sha256 == sha256_file(chain.parent / story.path / file.path)
            assert proves(file.path, file.leaf, file.proof, story.root)


def test_a_tile_is_proved_by_the_chunks_of_its_window_alone(chain: Path) -> None:
    """A tile of 32 px has two chunks of 16 px a side; a crop is one chunk."""
    raw = chain / "raw/tissue.zarr"
    story = trace(raw, "s1_0_1", chain.parent)
    assert {c.path for c in story.chunks} == {"slides/s1/0/c/0/0/1"}
    assert [c.coords for c in story.chunks] == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]
    for chunk in story.chunks:
        data = (raw / chunk.path).read_bytes()[chunk.offset : chunk.offset + chunk.bytes]
        assert proves_chunk(chunk, data, read(raw)["output"]["root"])
    crop = trace(chain / "variants/cells/plain.zarr", "b", chain.parent)
    assert [(c.path, c.coords) for c in crop.chunks] == [("view/c/1/0/0/0", (0, 0, 0, 0))]
    assert [c.path for c in below(crop, "raw").chunks] == ["mosaic/c/1/0/0"]
    assert "tile proved by 4 chunks of" in "\n".join(lines(story))
    assert f"to root {story.root[:16]}" in "\n".join(lines(story))
    assert proof_of(json.loads(json.dumps(story.document()))["chunks"][0]) == story.chunks[0]


def test_what_is_about_many_tiles_proves_files_not_chunks(chain: Path) -> None:
    for story in every(trace(chain / SYNTHETIC, "x0", chain.parent)):
        assert not story.chunks or (story.kind == "tiles" and len(story.parts) == 1)


def test_images_with_more_axes_are_cut_in_their_last_two(tmp_path: Path) -> None:
    layout = ("images/i", (2, 1, 40, 40), (1, 1, 16, 16), (1, 1, 32, 32))
    name, shape, chunk, shard = layout
    store.create_array(tmp_path / name / "0", shape, "uint8", chunk, shard, list("tcyx"))
    for window in store.windows(store.open_array(tmp_path / name / "0")):
        store.write(tmp_path / name / "0", window, np.ones([w.stop - w.start for w in window], "uint8"))
    row = {"item": "i", "y_px": 30, "x_px": 0, "height_px": 10, "width_px": 16, "mask": "", "index": -1}
    names = tree_of(tmp_path)
    found = chunks_of_tiles(tmp_path, names, pd.DataFrame([row]))
    assert found == {f"{name}/0/c/{t}/0/{y}/0": [(0, 0, inner, 0)] for t in (0, 1) for y, inner in ((0, 1), (1, 0))}
    assert files_of_tiles(tmp_path, names, pd.DataFrame([row])) == sorted(found)


def test_a_variant_tile_leads_to_its_own_source_file_and_the_calibration(chain: Path) -> None:
    story = trace(chain / "variants/cells/plain.zarr", "b", chain.parent)
    assert [f.path for f in story.files] == ["view/c/1/0/0/0"]
    assert sorted(s.path for s in below(story, "raw").inputs) == ["mine/b.tif", "mine/calibration.json"]


def test_an_unknown_sample_is_refused_with_a_known_one(chain: Path) -> None:
    with pytest.raises(InputError, match=r"#x9: no such sample; expected an id such as x0, x1"):
        trace(chain / SYNTHETIC, "x9", chain.parent)


@pytest.mark.parametrize(
    "name",
    [
        "synthetic/tissue.zarr/samples/x0/0/c/0/0/0",
        "raw/tissue.zarr/slides/s0/0/c/0/0/0",
        "models/denoiser/weights.safetensors",
        "sources/tissue/s0.tif",
    ],
)
def test_a_changed_file_on_the_way_breaks_the_story(tmp_path: Path, name: str) -> None:
    data = plant(tmp_path)
    file = data / name
    spoilt = bytearray(file.read_bytes())
    spoilt[5] ^= 4
    file.write_bytes(spoilt)
    with pytest.raises(LineageError, match="sha256"):
        trace(data / SYNTHETIC, "x0", tmp_path)


def test_text_and_json_tell_it_without_machine_paths(chain: Path) -> None:
    story = trace(chain / SYNTHETIC, "x1", chain.parent)
    text = "\n".join(lines(story))
    for word in ("data/synthetic/tissue.zarr#x1", "denoiser: data/models/denoiser", "s1.geojson", "(told above)"):
        assert word in text
    document = json.dumps(story.document())
    assert str(chain.parent) not in document + text


def found(chain: Path, source: Path) -> dict[str, Use]:
    return {use.path: use for use in uses(source, chain, chain.parent)}


def test_a_slide_takes_its_tiles_models_and_all_samples_with_it(chain: Path) -> None:
    touched = found(chain, chain / "sources/tissue/s0.tif")
    assert list(touched) == [
        "data/sources/tissue", "data/raw/tissue.zarr", "data/models/autoencoder", "data/models/denoiser",
        "data/synthetic/banked.zarr", f"data/{SYNTHETIC}",
    ]  # fmt: skip
    assert touched["data/raw/tissue.zarr"].parts == ("s0_0_0", "s0_0_1", "s0_1_0", "s0_1_1")
    assert touched["data/models/denoiser"].parts == ("s0_0_0", "s0_1_1")
    assert touched[f"data/{SYNTHETIC}"].whole
    assert touched[f"data/{SYNTHETIC}"].parts == ("x0", "x1")


@pytest.mark.parametrize("name", ["s1.tif", "s1.geojson"])
def test_a_slide_that_trained_nothing_touches_only_the_sample_with_its_mask(chain: Path, name: str) -> None:
    touched = found(chain, chain / "sources/tissue" / name)
    corpora = ["data/synthetic/banked.zarr", f"data/{SYNTHETIC}"]
    assert list(touched) == ["data/sources/tissue", "data/raw/tissue.zarr", *corpora]
    for corpus in corpora:
        assert not touched[corpus].whole
        assert touched[corpus].parts == ("x1",)


def test_a_users_file_is_found_by_its_path(chain: Path) -> None:
    touched = found(chain, chain.parent / "mine" / "b.tif")
    assert {path: use.parts for path, use in touched.items()} == {
        "data/raw/cells.zarr": ("b",),
        "data/variants/cells/plain.zarr": ("b",),
    }, "the model was trained on tile a alone"


def test_a_calibration_or_a_package_picture_touches_all_that_follows(chain: Path) -> None:
    assert all(use.whole for use in found(chain, chain.parent / "mine" / "calibration.json").values())
    assert f"data/{SYNTHETIC}" in found(chain, PICTURE)


def test_a_file_that_nothing_used_is_refused(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "other.tif").write_bytes(b"x")
    with pytest.raises(InputError, match=r"other\.tif: no output below"):
        uses(tmp_path / "other.tif", chain)


@pytest.mark.parametrize("value", [["b", "a"], "a b", "b,a", "a, b"])
def test_mask_sources_are_read_from_lists_and_text(value: object) -> None:
    assert mask_tiles({"mask_source": value}) == ["a", "b"]
