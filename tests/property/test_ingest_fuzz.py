"""Bytes changed, cut and repeated anywhere in what a user brings: a store that can be proved, or a line a file."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows._local import carry_out
from tasks.errors import BatchError, InputError
from tasks.ingest import step
from tasks.ingest.proving.verify import verify
from tests import hostile_makers, makers

EXAMPLES = int(os.environ.get("RAWMILL_FUZZ_EXAMPLES", "12"))
"""Of each file; many by hand, before a release."""
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
STRUCTURE = 1200
"""Half of the changes go to so many bytes at the start or the end, where formats keep their structure."""
SHAPE = (40, 50)


@dataclass(frozen=True)
class Change:
    """At a `share` of the file, or of its first or last bytes: other bits, a value in a row, or the end."""

    place: str
    share: float
    how: str
    value: int

    def apply(self, data: bytearray) -> None:
        span = len(data) if self.place == "any" else min(len(data), STRUCTURE)
        at = int(self.share * span) + (len(data) - span if self.place == "end" else 0)
        if self.how == "flip" and data:
            data[at] ^= self.value
        elif self.how == "fill":
            data[at : at + 8] = bytes([self.value] * len(data[at : at + 8]))
        elif self.how == "cut":
            del data[at:]
        elif self.how == "twice":
            data[at:at] = data[at : at + self.value]


CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(["any", "start", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["flip", "flip", "fill", "cut", "twice"]),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=4,
)


def stack(folder: Path) -> Path:
    """Two OME-TIFFs with t, c and z."""
    folder.mkdir()
    for name in ("i0", "i1"):
        hostile_makers.write_ome(folder / f"{name}.tif", makers.rng(6).integers(0, 99, (2, 2, 2, *SHAPE), np.uint16))
    makers.write_manifest(folder, [{"file": f"{name}.tif", "id": name} for name in ("i0", "i1")])
    return folder


def svs(folder: Path) -> Path:
    """Two SVS with a label raster in TIFF."""
    folder.mkdir()
    for name in ("s0", "s1"):
        makers.write_svs(folder / f"{name}.svs", makers.picture_of(120, 150))
        makers.write_tiff(folder / f"{name}-mask.tif", np.ones((120, 150), np.uint8), compression="zlib")
    rows = [{"file": f"{name}.svs", "id": name, "mask": f"{name}-mask.tif"} for name in ("s0", "s1")]
    makers.write_manifest(folder, rows)
    return folder


def frames(folder: Path) -> Path:
    return makers.frames_folder(folder, count=2, height=SHAPE[0], width=SHAPE[1])


def slides(folder: Path) -> Path:
    return makers.slides_folder(folder, count=2, height=150, width=180)


def crops(folder: Path) -> Path:
    return makers.crops_folder(folder, count=3, side=24)


CASES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "DNG": ("frames", frames, "f0.dng"),
    "PNG mask": ("frames", frames, "f0-mask.png"),
    "manifest": ("frames", frames, "manifest.csv"),
    "Bayer TIFF": ("crops", crops, "c0.tif"),
    "calibration": ("crops", crops, "calibration.json"),
    "slide": ("slides", slides, "s0.tif"),
    "GeoJSON": ("slides", slides, "s0.geojson"),
    "SVS": ("svs", svs, "s0.svs"),
    "TIFF mask": ("svs", svs, "s0-mask.tif"),
    "OME-TIFF": ("images", stack, "i0.tif"),
}
"""Kind, maker of a folder, and the file that is changed."""
PARAMS = {
    **makers.PARAMS,
    "svs": lambda: makers.params("slides", classes=["a"], source_classes=["a"]),
    "images": lambda: makers.params("images"),
}


@contextmanager
def changed(kept: Path, name: str, changes: list[Change]) -> Iterator[Path]:
    """A copy of the folder `kept` in which one file is changed."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place) / "in"
        shutil.copytree(kept, folder)
        data = bytearray((folder / name).read_bytes())
        for change in changes:
            change.apply(data)
        (folder / name).write_bytes(data)
        yield folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("kept")
    return {name: make(place / name) for name, (_, make, _) in CASES.items()}


@pytest.mark.parametrize("name", sorted(CASES))
@SETTINGS
@given(changes=CHANGES)
def test_a_changed_file_is_stored_provably_or_refused_in_one_line(
    folders: dict[str, Path], name: str, changes: list[Change]
) -> None:
    kind, _, file = CASES[name]
    with changed(folders[name], file, changes) as folder:
        out, lines = folder.parent / "out" / "o.zarr", []
        try:
            carry_out(step, lambda: step.prepare(folder, out, PARAMS[kind](), "fuzz", "again"))
        except BatchError as error:
            lines = list(error.faults)
        except InputError as error:
            lines = [str(error)]
        check(folder, out, lines)


def check(folder: Path, out: Path, lines: list[str]) -> None:
    """Each line is one, of a file in the folder; a store is whole and proved; nothing stands beside it."""
    assert all(line.isprintable() and line.count("; ") >= 2 for line in lines), lines
    assert all(str(folder) in line.split(": ")[0] or line.startswith("the annotations") for line in lines), lines
    if not out.exists():
        assert lines
        assert not out.parent.exists() or list(out.parent.iterdir()) == []
        return
    verified = verify(out, lambda done, total: None)
    assert sum(proved.how == "rejected" for proved in verified.sources) == len(lines)
    assert [path.name for path in out.parent.iterdir()] == ["o.zarr"]
    assert json.loads((out / "recipe.json").read_bytes())["output"].get("rejected", []) == sorted(
        line.replace(f"{folder}/", "", 1) for line in lines
    )
