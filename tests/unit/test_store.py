"""Zarr I/O: whole shards, read back, crc32c last, pyramids by area averaging, valid NGFF."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image as NgffImage
from ome_zarr_models.v05.image_label import ImageLabel
from zarr.errors import ZarrUserWarning

from tasks import store
from tasks.errors import LineageError, StoreError

RNG = np.random.Generator(np.random.Philox(key=1))


def image(shape: tuple[int, ...], levels: int, label: bool = False) -> store.Image:
    axes = "cyx"[-len(shape) :]
    channels = store.RGB if len(shape) == 3 else ()
    return store.Image(axes, shape, "uint8", 0.5, levels, 32, 64, channels, label=label)


def filled(path: Path, data: np.ndarray, levels: int, label: bool = False) -> Path:
    store.create_image(path, image(data.shape, levels, label))
    store.write_image(path, lambda window: data[window])
    return path


def test_an_array_reads_back_exactly_with_crc32c_last(tmp_path: Path) -> None:
    data = RNG.integers(0, 65536, (7, 40, 50)).astype(np.uint16)
    array = store.create_array(tmp_path / "a", data.shape, "uint16", (1, 40, 50), (4, 40, 50), ("tile", "y", "x"))
    for window in store.windows(array):
        store.write(tmp_path / "a", window, data[window])
    np.testing.assert_array_equal(store.open_array(tmp_path / "a")[:], data)
    inner = array.metadata.codecs[0].codecs  # type: ignore[union-attr]
    assert type(inner[-1]).__name__ == "Crc32cCodec"
    assert array.metadata.dimension_names == ("tile", "y", "x")  # type: ignore[union-attr]


def test_every_single_bit_flip_in_a_shard_is_noticed(tmp_path: Path) -> None:
    data = RNG.integers(0, 65536, (1, 16, 16)).astype(np.uint16)
    path = tmp_path / "a"
    array = store.create_array(path, data.shape, "uint16", (1, 16, 16), (1, 16, 16), ("tile", "y", "x"))
    window = next(store.windows(array))
    file = store.write(path, window, data)
    whole = file.read_bytes()
    for position in range(0, len(whole), 7):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            got = store.open_array(path)[:]
        except (ValueError, RuntimeError, IndexError, ZarrUserWarning):
            continue
        pytest.fail(f"flip at {position} of {len(whole)} read back silently, equal: {np.array_equal(got, data)}")


def test_a_window_that_is_not_a_whole_shard_is_refused(tmp_path: Path) -> None:
    store.create_array(tmp_path / "a", (8, 8), "uint8", (4, 4), (4, 4), ("y", "x"))
    with pytest.raises(StoreError, match="a whole shard of 4"):
        store.write(tmp_path / "a", (slice(2, 6), slice(0, 4)), np.zeros((4, 4), np.uint8))


def test_a_medium_that_alters_what_is_written_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create_array(tmp_path / "a", (4, 4), "uint8", (4, 4), (4, 4), ("y", "x"))
    put = zarr.Array.__setitem__
    monkeypatch.setattr(zarr.Array, "__setitem__", lambda self, window, data: put(self, window, data ^ 1))
    with pytest.raises(StoreError, match="read back other values"):
        store.write(tmp_path / "a", (slice(0, 4), slice(0, 4)), np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("shape", [(3, 130, 97), (3, 64, 64), (3, 65, 1)])
def test_levels_are_true_area_averages(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = RNG.integers(0, 256, shape).astype(np.uint8)
    path = filled(tmp_path / "image", data, 3)
    for level in (1, 2):
        above = store.open_array(path / str(level - 1))[:].astype(float)
        got = store.open_array(path / str(level))[:]
        for y, x in [(0, 0), (got.shape[1] - 1, got.shape[2] - 1), (got.shape[1] // 2, got.shape[2] // 2)]:
            block = above[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            np.testing.assert_allclose(got[:, y, x], block.mean((1, 2)), atol=0.5)


def test_label_levels_hold_only_labels_that_are_there(tmp_path: Path) -> None:
    data = RNG.choice(np.array([0, 3, 9], np.uint8), (100, 70))
    path = filled(tmp_path / "label", data, 3, label=True)
    assert set(np.unique(store.open_array(path / "2")[:])) <= {0, 3, 9}


def test_images_and_labels_are_valid_ngff(tmp_path: Path) -> None:
    data = RNG.integers(0, 256, (3, 100, 90)).astype(np.uint8)
    path = filled(tmp_path / "image", data, 2)
    store.create_labels(path, {"mask": image((100, 90), 2, label=True)})
    NgffImage.from_zarr(zarr.open_group(path, mode="r"))
    ImageLabel.from_zarr(zarr.open_group(path / "labels" / "mask", mode="r"))
    scale = NgffImage.from_zarr(zarr.open_group(path, mode="r")).ome_attributes.multiscales[0].datasets[1]
    assert scale.coordinateTransformations[0].scale == [1.0, 1.0, 1.0]
    assert scale.coordinateTransformations[1].translation == [0.0, 0.25, 0.25]


def test_pyramid_stops_at_the_asked_size() -> None:
    assert [store.pyramid_levels(h, 10, 256) for h in (256, 257, 512, 513)] == [1, 2, 2, 3]


def test_what_is_not_a_store_is_named(tmp_path: Path) -> None:
    for reader in (store.open_group, store.open_array, store.read_attributes):
        with pytest.raises(LineageError, match="absent"):
            reader(tmp_path / "absent")
