"""Shards: our bytes are those of the specification as zarr-python reads and writes them; nothing damaged passes."""

import os
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from tasks import shards, store
from tasks.errors import LineageError, StoreError

RNG = np.random.Generator(np.random.Philox(key=2))
DTYPES = ["uint8", "uint16", "float32"]


def array(path: Path, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...], shard: tuple[int, ...]) -> Path:
    store.create_array(path, shape, dtype, chunks, shard, tuple("tczyx"[-len(shape) :]))
    return path


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (RNG.integers(0, 256, shape) * (1.7 if dtype == "float32" else 1)).astype(dtype)


def fill(path: Path, data: np.ndarray) -> list[Path]:
    return [store.write(path, window, data[window]) for window in store.windows(store.open_array(path))]


def ranges(shard: bytes, count: int) -> list[tuple[int, int]]:
    return shards.ranges(shard[-(16 * count + 4) :], count, len(shard))


def test_the_index_is_as_the_specification_writes_it() -> None:
    shard = b"".join(shards.pack([b"abc", None, b"", b"defg"]))
    empty = 2**64 - 1
    index = struct.pack("<8Q", 0, 3, empty, empty, 3, 0, 3, 4)
    assert shard == b"abcdefg" + index + struct.pack("<I", google_crc32c.value(index))
    assert ranges(shard, 4) == [(0, 3), (empty, empty), (3, 0), (3, 4)]


def test_an_index_that_lies_is_refused() -> None:
    shard = b"".join(shards.pack([b"abc", b"defg"]))
    for at in range(7, len(shard)):
        for bit in range(8):
            with pytest.raises(ValueError, match="CRC32C"):
                ranges(shard[:at] + bytes([shard[at] ^ 1 << bit]) + shard[at + 1 :], 2)
    with pytest.raises(ValueError, match="no room"):
        ranges(shard[:35], 2)
    far = struct.pack("<2Q", 0, 8)
    with pytest.raises(ValueError, match="names bytes 0 to 8 of 7"):
        ranges(b"abcdefg" + far + struct.pack("<I", google_crc32c.value(far)), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "chunks", "shard"), [((50, 70), (16, 16), (32, 64)), ((3, 33, 64), (3, 8, 16), (3, 16, 32))]
)
def test_zarr_python_reads_what_we_write(tmp_path: Path, dtype: str, shape: tuple, chunks: tuple, shard: tuple) -> None:
    data = noise(shape, dtype)
    path = array(tmp_path / "a", shape, dtype, chunks, shard)
    fill(path, data)
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], data)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shard_by_zarr_python_is_read_and_kept(tmp_path: Path, dtype: str) -> None:
    data = noise((30, 40), dtype)
    path = array(tmp_path / "a", (30, 40), dtype, (8, 8), (16, 16))
    theirs = zarr.open_array(path, mode="r+").with_config({"write_empty_chunks": True})
    theirs[:] = data
    how = shards.layout(path)
    (window, *_) = store.windows(how)
    shard = store.shard_file(path, how, window).read_bytes()
    spans = ranges(shard, 4)
    assert len(spans) == 4
    for (offset, size), block in zip(spans, shards.blocks(data[window], how), strict=True):
        np.testing.assert_array_equal(shards.decode(shard[offset : offset + size], how).view(how.dtype), block)


def test_padding_beyond_the_edge_is_zero_and_whole_chunks_beyond_it_are_there(tmp_path: Path) -> None:
    path = array(tmp_path / "a", (20, 20), "uint8", (8, 8), (32, 32))
    (file,) = fill(path, np.full((20, 20), 7, np.uint8))
    how, shard = shards.layout(path), file.read_bytes()
    chunks = [shards.decode(shard[o : o + n], how) for o, n in ranges(shard, 9)]
    whole = np.block([chunks[0:3], chunks[3:6], chunks[6:9]])
    expected = np.zeros((24, 24), np.uint8)
    expected[:20, :20] = 7
    np.testing.assert_array_equal(whole, expected)


def test_nan_and_negative_zero_are_kept_bit_for_bit(tmp_path: Path) -> None:
    data = np.zeros((8, 8), np.float32)
    data[0, 1], data[0, 2], data[3] = np.nan, -0.0, np.float32(1e-40)
    path = array(tmp_path / "a", (8, 8), "float32", (8, 8), (8, 8))
    fill(path, data)
    assert zarr.open_array(path)[:].tobytes() == data.tobytes()
    path = array(tmp_path / "b", (8, 8), "float32", (8, 8), (8, 8))
    mixed = np.zeros((8, 8), np.float32)
    mixed[4, 3] = -0.0  # equal to its neighbours as a number
    fill(path, mixed)
    assert zarr.open_array(path)[:].tobytes() == mixed.tobytes()


def test_a_finished_shard_is_kept_and_any_other_is_written_anew(tmp_path: Path) -> None:
    data = noise((32, 32), "uint16")
    path = array(tmp_path / "a", (32, 32), "uint16", (8, 8), (32, 32))
    window = (slice(0, 32), slice(0, 32))
    file = store.write(path, window, data)
    whole = file.read_bytes()
    os.utime(file, ns=(1, 1))
    store.write(path, window, data)
    assert file.stat().st_mtime_ns == 1, "a finished shard is not redone"
    damaged = [whole[:k] + bytes([whole[k] ^ 4]) + whole[k + 1 :] for k in range(0, len(whole), 37)]
    swapped = whole[:-260] + b"".join(shards.pack([b""] * 16))
    for bad in [*damaged, whole[:-1], whole[:100], b"", b"\0" + whole, swapped]:
        file.write_bytes(bad)
        store.write(path, window, data)
        assert file.read_bytes() == whole
    file.write_bytes(whole)
    os.utime(file, ns=(1, 1))
    store.write(path, window, data + np.uint16(1))
    assert file.stat().st_mtime_ns != 1
    np.testing.assert_array_equal(zarr.open_array(path)[:], data + 1)


@pytest.mark.parametrize("at", [0, 40, 90, -3, -30])
def test_a_medium_that_alters_what_is_written_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    path = array(tmp_path / "a", (8, 8), "uint16", (8, 8), (8, 8))
    put = shards.put

    def bad_medium(file: Path, chunks: list) -> None:
        put(file, chunks)
        whole = bytearray(file.read_bytes())
        whole[at] ^= 16
        file.write_bytes(whole)

    monkeypatch.setattr(shards, "put", bad_medium)
    with pytest.raises(StoreError, match="read back"):
        store.write(path, (slice(0, 8), slice(0, 8)), noise((8, 8), "uint16"))
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["zarr.json"], "nothing is left"


def test_a_full_disk_is_a_store_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = array(tmp_path / "a", (8, 8), "uint8", (8, 8), (8, 8))

    def full(file: Path, chunks: list) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "put", full)
    with pytest.raises(StoreError, match="free some space"):
        store.write(path, (slice(0, 8), slice(0, 8)), noise((8, 8), "uint8"))
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["zarr.json"]


def test_values_that_the_dtype_cannot_hold_are_never_cast(tmp_path: Path) -> None:
    path = array(tmp_path / "a", (8, 8), "uint8", (8, 8), (8, 8))
    with pytest.raises(TypeError):
        store.write(path, (slice(0, 8), slice(0, 8)), np.full((8, 8), 300, np.int64))
    with pytest.raises(ValueError, match=r"data of \(4, 4\)"):
        store.write(path, (slice(0, 8), slice(0, 8)), np.zeros((4, 4), np.uint8))


def test_arrays_that_we_do_not_write_are_named(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "plain", shape=(4, 4), dtype="uint8", chunks=(4, 4))
    with pytest.raises(StoreError, match="other codecs"):
        store.write(tmp_path / "plain", (slice(0, 4), slice(0, 4)), np.zeros((4, 4), np.uint8))
    with pytest.raises(LineageError, match="absent"):
        store.write(tmp_path / "absent", (slice(0, 4), slice(0, 4)), np.zeros((4, 4), np.uint8))


def test_a_changed_layout_is_read_again(tmp_path: Path) -> None:
    path = array(tmp_path / "a", (8, 8), "uint8", (8, 8), (8, 8))
    assert shards.layout(path).shape == (8, 8)
    (path / "zarr.json").unlink()
    array(path, (9, 5), "uint8", (8, 8), (8, 8))
    assert shards.layout(path).shape == (9, 5)
