"""Crops are read as zarr-python reads them, and damage has its line."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from tasks import store
from tasks.contracts import Calibration
from tasks.errors import StoreError
from tasks.isp.crops import read_crops

Crops = tuple[Path, NDArray[np.uint16], Calibration]


@pytest.mark.parametrize("numbers", [[0], [69, 3, 3, 64], list(range(1, 70, 2))])
def test_crops_are_those_that_zarr_reads(crops_store: Crops, numbers: list[int]) -> None:
    path = crops_store[0] / "mosaic"
    found = read_crops(path, np.array(numbers))
    np.testing.assert_array_equal(found, zarr.open_array(path, mode="r").oindex[numbers])
    np.testing.assert_array_equal(found, crops_store[1][numbers])


def test_a_flipped_bit_is_found(crops_store: Crops) -> None:
    file = crops_store[0] / "mosaic" / "c" / "0" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[40] ^= 4
    file.write_bytes(data)
    with pytest.raises(StoreError, match="CRC32C"):
        read_crops(crops_store[0] / "mosaic", np.arange(64))


def test_damage_elsewhere_in_the_shard_is_no_matter(crops_store: Crops) -> None:
    """Only the chunks asked for are read; whoever asks for the damaged one learns of it."""
    file = crops_store[0] / "mosaic" / "c" / "0" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[40] ^= 4
    file.write_bytes(data)
    np.testing.assert_array_equal(read_crops(crops_store[0] / "mosaic", np.array([63, 5])), crops_store[1][[63, 5]])


@pytest.mark.parametrize("left", [0, 3, 400, -1])
def test_a_shard_that_was_cut_off_is_named(crops_store: Crops, left: int) -> None:
    file = crops_store[0] / "mosaic" / "c" / "0" / "0" / "0"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(StoreError, match="index of"):
        read_crops(crops_store[0] / "mosaic", np.arange(4))


def test_a_crop_that_was_never_written(tmp_path: Path) -> None:
    with zarr.config.set({"array.write_empty_chunks": False}):
        store.create_array(tmp_path / "m", (4, 8, 8), "uint16", (1, 8, 8), (4, 8, 8), ["tile", "y", "x"])
        zarr.open_array(tmp_path / "m", mode="r+", config={"write_empty_chunks": False})[1] = 7
    assert read_crops(tmp_path / "m", np.array([1])).min() == 7
    with pytest.raises(StoreError, match="no chunk for crop 2"):
        read_crops(tmp_path / "m", np.array([2]))
