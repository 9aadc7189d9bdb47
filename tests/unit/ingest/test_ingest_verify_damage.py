"""The proof of a store: one thing damaged is one line, which names it."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.ingest import receipts
from tasks.ingest.proving.stored import AGAIN
from tasks.lineage.digest import RECIPE, TREE, files_below
from tests import makers
from tests.lineage_chain import plant
from tests.proving import KINDS, copy_of, faults, first_shard, forge_files, gone, proved

FLIPS = {"crops": 12, "frames": 6, "slides": 2}
"""Bits flipped in each file."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_found(originals: dict[str, Path], kind: str, tmp_path: Path) -> None:
    """In every file of the store, at random places; the source is gone, so that the store alone must tell."""
    store, random = copy_of(originals, kind, tmp_path), makers.rng(7)
    gone(store)
    for name in [*files_below(store), RECIPE, TREE]:
        file = store / name
        whole = file.read_bytes()
        for bit in random.integers(0, max(8 * len(whole), 1), FLIPS[kind] if whole else 0).tolist():
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            (line,) = faults(store)
            assert line.startswith(f"{file}: "), (name, bit, line)
        file.write_bytes(whole)
    assert proved(store)


@pytest.mark.parametrize("kind", KINDS)
def test_every_deleted_file_is_found(originals: dict[str, Path], kind: str, tmp_path: Path) -> None:
    store = copy_of(originals, kind, tmp_path)
    gone(store)
    for name in [*files_below(store), RECIPE, TREE]:
        aside = (store / name).rename(tmp_path / "aside")
        (line,) = faults(store)
        assert name in line, (name, line)
        aside.rename(store / name)
    assert proved(store)


def test_a_file_too_many_is_found(place: Path) -> None:
    (place / "note.txt").write_text("x", encoding="utf-8")
    (line,) = faults(place)
    assert line.startswith(f"{place / 'note.txt'}: not in the recipe")


def test_a_changed_source_is_a_fault(place: Path) -> None:
    name = receipts.read(place)[0].source.path
    with (place.parent / "in" / name).open("ab") as file:
        file.write(b"\x00")
    (line,) = faults(place)
    assert line.startswith(str(place.parent / "in" / name))
    assert "sha256" in line


def test_all_faults_are_told_at_once(originals: dict[str, Path], tmp_path: Path) -> None:
    store = copy_of(originals, "crops", tmp_path)
    spoilt = ["tiles.parquet", receipts.RECEIPTS, "mosaic/c/0/0/0"]
    for name in spoilt:
        data = bytearray((store / name).read_bytes())
        data[len(data) // 3] ^= 4
        (store / name).write_bytes(data)
    lines = faults(store)
    assert all(any(name in line for line in lines) for name in spoilt)


def test_what_is_no_raw_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told = {"": "has no recipe.json", "file": "not a folder", "gone.zarr": "not there"}
    for name, wrong in told.items():
        (line,) = faults(tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: {wrong}; expected a raw store; name a store that `rawmill ingest`")


def test_another_output_of_rawmill_is_one_line(tmp_path: Path) -> None:
    (line,) = faults(plant(tmp_path) / "sources/tissue")
    assert "an output of stage acquire; expected a raw store" in line


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(path.parent)  # a socket's path is short
        one.bind(path.name)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_folder(path: Path) -> None:
    path.symlink_to("/")


@pytest.mark.parametrize("make", [pipe, bound, link, link_to_folder, Path.mkdir])
@pytest.mark.parametrize("name", ["mosaic/more", "mosaic/zarr.json", "mosaic/c/0/0/0", "receipts.jsonl", RECIPE, TREE])
def test_what_is_no_file_is_one_line_and_not_waited_for(
    originals: dict[str, Path], make: Callable[[Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = copy_of(originals, "crops", tmp_path)
    monkeypatch.chdir(tmp_path)
    (store / name).unlink(missing_ok=True)
    make(store / name)
    (line,) = faults(store)
    assert line.startswith((f"{store / name}: ", f"{store}: has no recipe.json"))


def test_an_empty_folder_is_found(place: Path) -> None:
    (place / "slides" / "more").mkdir(parents=True)
    (line,) = faults(place)
    assert line.startswith(f"{place / 'slides' / 'more'}: an empty folder")


def test_lines_have_no_words_of_a_library(originals: dict[str, Path], tmp_path: Path) -> None:
    """Whatever zarr-python thinks of a chunk or of metadata that were forged with all digests right."""
    store = copy_of(originals, "frames", tmp_path)
    gone(store)
    shard = first_shard(store)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:4] + bytes([whole[4] ^ 1]) + whole[5:])
    forge_files(store)
    assert faults(store) == [f"{shard}: cannot be decoded; expected chunks that hold what was written; {AGAIN}"]
    shard.write_bytes(whole)
    metadata = shard.parents[2] / "zarr.json"
    document = json.loads(metadata.read_bytes())
    metadata.write_text(json.dumps({**document, "data_type": "float9"}), encoding="utf-8")
    forge_files(store)
    lines = faults(store)
    assert lines[0].startswith(f"{metadata.parent}: not a Zarr v3 array")
    assert not any("float9" in line for line in lines)
