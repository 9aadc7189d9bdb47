"""An annotation belongs to its own picture, and a refused file to none: told by the receipts of a real raw store."""

import shutil
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.ingest import step
from tasks.lineage.trace import trace
from tasks.lineage.uses import uses
from tests import makers
from tests.proving import run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`frames.zarr` of one/x.dng and two/x.dng, each with its x-mask.png; f2.dng is refused."""
    folder = makers.frames_folder(tmp_path_factory.mktemp("d") / "in", height=64, width=64)
    for i, where in enumerate(("one", "two")):
        (folder / where).mkdir()
        shutil.move(folder / f"f{i}.dng", folder / where / "x.dng")
        shutil.move(folder / f"f{i}-mask.png", folder / where / "x-mask.png")
    (folder / "f2.dng").write_bytes(b"no picture")
    names = [("one/x.dng", "a", "one/x-mask.png"), ("two/x.dng", "b", "two/x-mask.png"), ("f2.dng", "c", "f2-mask.png")]
    makers.write_manifest(folder, [{"file": f, "id": name, "mask": mask} for f, name, mask in names])
    params = makers.params("frames", source_classes=["car"], classes=["car"])
    return run(step.prepare(folder, folder.parent / "frames.zarr", params, "test", "again")).parent


def test_a_tile_leads_to_its_own_picture_and_annotation(data: Path) -> None:
    story = trace(data / "frames.zarr", "a_64_000000_000000", data)
    assert [below.path for below in story.inputs] == ["in/manifest.csv", "in/one/x-mask.png", "in/one/x.dng"]


@pytest.mark.parametrize("name", ["x.dng", "x-mask.png"])
def test_a_picture_or_annotation_is_used_by_its_own_tiles(data: Path, name: str) -> None:
    for where, tile in (("one", "a_64_000000_000000"), ("two", "b_64_000000_000000")):
        (use,) = uses(data / "in" / where / name, data, data)
        assert (use.whole, use.parts) == (False, (tile,))


def test_a_manifest_is_used_by_all_and_a_refused_file_by_none(data: Path) -> None:
    (use,) = uses(data / "in" / "manifest.csv", data, data)
    assert use.whole
    for name in ("f2.dng", "f2-mask.png"):
        with pytest.raises(InputError, match="no output below"):
            uses(data / "in" / name, data, data)
