"""Chunks found by hand in shards that zarr-python wrote, decoded by a codec library of its own and compared."""

import hashlib
import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from tasks import store
from tasks.errors import LineageError
from tasks.lineage.chunk_proof import prove_chunk, prove_chunks, proves_chunk, read_chunk
from tasks.lineage.chunks import (
    ShardDamage,
    Sharding,
    digest_shard,
    places,
    read_index,
    sharding,
    shards_among,
)
from tasks.lineage.digest import entry_of, files_below, leaf_value, merkle_root, root_of, tree_of
from tests.lineage_chain import proof_of

SHAPE, CHUNK, SHARD = (3, 100, 90), (3, 16, 32), (3, 64, 64)
PIXELS = np.random.Generator(np.random.Philox(7)).integers(0, 999, SHAPE).astype("uint16")


def fill(path: Path, axes: str = "cyx") -> None:
    store.create_array(path, SHAPE, "uint16", CHUNK, SHARD, list(axes))
    for window in store.windows(store.open_array(path)):
        store.write(path, window, PIXELS[window])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An array at slides/c/0: an image that is called c must not be taken for the folder of shards."""
    folder = tmp_path_factory.mktemp("made")
    fill(folder / "slides" / "c" / "0")
    (folder / "slides" / "c" / "c").mkdir()
    (folder / "slides" / "c" / "c" / "1").write_text("no shard", encoding="utf-8")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    fill(tmp_path / "a")
    return tmp_path


def layout_of(array: Path) -> Sharding:
    found = sharding((array / "zarr.json").read_bytes())
    assert found is not None
    return found


def test_every_chunk_decodes_to_the_pixels_at_its_place(made: Path) -> None:
    array = made / "slides" / "c" / "0"
    layout = layout_of(array)
    assert layout.grid == (1, 4, 2)
    seen = 0
    for shard in product(range(1), range(2), range(2)):
        with array.joinpath("c", *map(str, shard)).open("rb") as file:
            for coords, span in read_index(file, layout).items():
                file.seek(span.offset)
                raw = numcodecs.zstd.Zstd().decode(file.read(span.bytes)[:-4])
                start = [(s * g + c) * n for s, g, c, n in zip(shard, layout.grid, coords, CHUNK, strict=True)]
                expected = PIXELS[tuple(slice(a, a + n) for a, n in zip(start, CHUNK, strict=True))]
                found = np.frombuffer(raw, "<u2").reshape(CHUNK)[tuple(slice(n) for n in expected.shape)]
                np.testing.assert_array_equal(found, expected)
                seen += expected.size
    assert seen == PIXELS.size


def test_only_files_of_shards_are_taken_for_shards(made: Path) -> None:
    found = set(shards_among(made, files_below(made)))
    assert found == {f"slides/c/0/c/0/{y}/{x}" for y in (0, 1) for x in (0, 1)}
    assert {n for n, entry in tree_of(made).items() if "chunks" in entry} == found


def test_digests_of_a_shard_are_those_of_its_bytes(made: Path) -> None:
    file = made / "slides/c/0/c/0/0/1"
    layout = layout_of(made / "slides/c/0")
    sha256, size, chunks = digest_shard(file, layout)
    data = file.read_bytes()
    with file.open("rb") as opened:
        spans = read_index(opened, layout)
    assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
    cut = {coords: data[s.offset : s.offset + s.bytes] for coords, s in spans.items()}
    assert chunks == {"/".join(map(str, c)): hashlib.sha256(b).hexdigest() for c, b in cut.items()}
    assert sum(map(len, cut.values())) + layout.index_bytes == size


def test_the_root_commits_to_the_bytes_and_to_the_chunks_of_a_shard(made: Path) -> None:
    tree = tree_of(made)
    name = "slides/c/0/c/0/1/1"
    assert leaf_value(tree[name]) == f"{tree[name]['sha256']} {tree[name]['chunks']}"
    for key in ("sha256", "chunks"):
        assert root_of({**tree, name: {**tree[name], key: "0" * 64}}) != root_of(tree)
    bare = {key: value for key, value in tree[name].items() if key != "chunks"}
    assert root_of({**tree, name: bare}) != root_of(tree)
    assert root_of({n: e for n, e in tree.items() if "chunks" not in e}) == merkle_root(
        {n: e["sha256"] for n, e in tree.items() if "chunks" not in e}
    ), "files that are no shards have the leaves they always had"


def test_missing_chunks_are_left_out(tmp_path: Path) -> None:
    import zarr

    array = zarr.create_array(tmp_path / "a", shape=(8, 8), shards=(8, 8), chunks=(4, 4), dtype="u1", fill_value=0)
    array[:4, 4:] = 1
    with (tmp_path / "a/c/0/0").open("rb") as file:
        assert list(read_index(file, layout_of(tmp_path / "a"))) == [(0, 1)]


@pytest.mark.parametrize(
    "window", [((0, 3), (0, 100), (0, 90)), ((1, 2), (15, 17), (63, 65)), ((0, 3), (96, 200), (0, 1))]
)
def test_a_window_touches_the_chunks_that_hold_its_pixels(made: Path, window: tuple[tuple[int, int], ...]) -> None:
    layout = layout_of(made / "slides/c/0")
    inside = np.zeros(SHAPE, bool)
    inside[tuple(slice(a, b) for a, b in window)] = True
    expected = set()
    for where in np.argwhere(inside):
        chunk = [int(w) // c for w, c in zip(where, CHUNK, strict=True)]
        expected.add(tuple((i // g, i % g) for i, g in zip(chunk, layout.grid, strict=True)))
    found = {tuple(zip(s, c, strict=True)) for s, chunks in places(layout, window).items() for c in chunks}
    assert found == expected


@pytest.mark.parametrize("codec", [[], [{"name": "zstd", "configuration": {"level": 1}}]])
def test_other_layouts_are_left_alone(made: Path, codec: list[object]) -> None:
    document = json.loads((made / "slides/c/0/zarr.json").read_bytes())
    index = document["codecs"][0]["configuration"]
    changes = [
        {"node_type": "group"},
        {"codecs": [{"name": "bytes"}]},
        {"codecs": []},
        {"codecs": [{**document["codecs"][0], "configuration": {**index, "index_location": "start"}}]},
        {"codecs": [{**document["codecs"][0], "configuration": {**index, "index_codecs": codec}}]},
        {"codecs": [{**document["codecs"][0], "configuration": {**index, "chunk_shape": [3, 15, 32]}}]},
        {"codecs": [{**document["codecs"][0], "configuration": {**index, "chunk_shape": [0, 16, 32]}}]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**40, 2**40, 2**40]}}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
    ]
    assert sharding(json.dumps(document).encode()) is not None
    for change in changes:
        assert sharding(json.dumps({**document, **change}).encode()) is None, change
    for rubbish in (b"", b"[]", b"{", b"\xff", b"null", b'{"codecs": 3}'):
        assert sharding(rubbish) is None


def reindexed(data: bytes, layout: Sharding, number: int, offset: int, size: int) -> bytes:
    """`data` with another place for chunk `number`, and an index checksum that agrees with it."""
    import google_crc32c

    at = len(data) - layout.index_bytes
    index = bytearray(data[at:-4])
    index[16 * number : 16 * number + 16] = offset.to_bytes(8, "little") + size.to_bytes(8, "little")
    return data[:at] + bytes(index) + google_crc32c.value(bytes(index)).to_bytes(4, "little")


def test_a_damaged_index_is_told_and_changes_the_root(copy: Path) -> None:
    file, layout, tree = copy / "a/c/0/0/0", layout_of(copy / "a"), tree_of(copy)
    whole = file.read_bytes()
    end = len(whole) - layout.index_bytes
    spoilt = {
        "fewer than": whole[: layout.index_bytes - 1],
        "index with crc32c": whole[:-30] + b"\xff" + whole[-29:],
        "chunk 0/0/1 at": reindexed(whole, layout, 1, 1, 10),
        "chunk 0/3/1 at": reindexed(whole, layout, 7, end - 3, 4),
        "chunk 0/0/0 at": reindexed(whole, layout, 0, 2**64 - 1, 5),
    }
    for words, data in spoilt.items():
        file.write_bytes(data)
        with pytest.raises(ShardDamage, match=words):
            digest_shard(file, layout)
        assert "chunks" not in entry_of(file, layout)
        assert root_of(tree_of(copy)) != root_of(tree)
        with pytest.raises(LineageError, match=rf"0/0/0: .*{words}.*; expected sha256"):
            prove_chunk(copy, "a/c/0/0/0", (0, 0, 0), tree)


def test_a_proof_needs_only_the_bytes_and_the_root(made: Path) -> None:
    tree = tree_of(made)
    name = "slides/c/0/c/0/0/0"
    proofs = prove_chunks(made, name, [(0, 0, 0), (0, 3, 1)], tree)
    assert [p.coords for p in proofs] == [(0, 0, 0), (0, 3, 1)]
    for proof in proofs:
        data = read_chunk(made, proof)
        told = proof_of(json.loads(json.dumps(asdict(proof))))
        assert told == proof
        assert proves_chunk(told, data, root_of(tree))
        assert not proves_chunk(told, data, "0" * 64)
        assert not proves_chunk(replace(told, root="0" * 64), data, "0" * 64), "the root inside a proof is not trusted"
        assert not proves_chunk(replace(told, within=(("left", "zz"),)), data, root_of(tree))


def test_a_proof_of_what_is_not_there_is_refused(copy: Path) -> None:
    tree = tree_of(copy)
    with pytest.raises(LineageError, match="no chunk 9/9/9"):
        prove_chunk(copy, "a/c/0/0/0", (9, 9, 9), tree)
    for name in ("a/zarr.json", "a/c/0/7/7", "b"):
        with pytest.raises(LineageError, match="not a shard of the output"):
            prove_chunk(copy, name, (0, 0, 0), tree)
    proof = prove_chunk(copy, "a/c/0/0/0", (0, 0, 0), tree)
    file = copy / "a/c/0/0/0"
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(LineageError, match="chunk 0/0/0 has sha256"):
        read_chunk(copy, proof)
    with pytest.raises(LineageError, match="0/0/0: sha256"):
        prove_chunk(copy, "a/c/0/0/0", (0, 1, 0), tree)
    file.unlink()
    for broken in (lambda: read_chunk(copy, proof), lambda: prove_chunk(copy, "a/c/0/0/0", (0, 0, 0), tree)):
        with pytest.raises(LineageError, match="missing"):
            broken()
