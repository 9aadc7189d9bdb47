"""Zarr I/O: whole shards, read back, crc32c last, pyramids by area averaging, valid NGFF."""

import tracemalloc
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


@pytest.mark.parametrize("shape", [(3, 130, 97), (3, 64, 64), (3, 65, 1), (3, 300, 513), (200, 130)])
def test_levels_are_true_area_averages_of_level_0(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = RNG.integers(0, 256, shape).astype(np.uint8)
    path = filled(tmp_path / "image", data, 4)
    for level in (1, 2, 3):
        got, side = store.open_array(path / str(level))[:], 2**level
        exact = np.empty(got.shape)
        for y, x in np.ndindex(*got.shape[-2:]):
            exact[..., y, x] = data[..., side * y : side * (y + 1), side * x : side * (x + 1)].mean((-2, -1))
        # One doubling from chunk to shard: level 1 is of columns and exact, deeper levels come from stored level 1.
        assert np.abs(got - exact).max() <= (0.5 if level == 1 else 1.0)


@pytest.mark.parametrize(
    ("axes", "shape"), [("cyx", (3, 300, 200)), ("yx", (129, 257)), ("tczyx", (2, 2, 3, 70, 140)), ("zyx", (3, 64, 65))]
)
def test_columns_can_be_written_in_any_order_and_again(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    data = RNG.integers(0, 65536, shape).astype(np.uint16)
    layout = store.Image(axes, shape, "uint16", 0.5, 4, 16, 64, planes_together=False, z_um=2.0, t_s=60.0)
    trees = []
    for name, order in (("one", 1), ("other", -1)):
        path = tmp_path / name
        store.create_image(path, layout)
        windows = store.columns(path)
        assert len(windows) == store.column_count(layout)
        files = [file for w in windows[::order] for file in store.write_column(path, w, data[w])]
        assert len(files) == len(set(files)), "each shard has one writer"
        files += store.write_rest(path)
        assert sorted(files) == sorted(file for file in path.rglob("*") if file.is_file() and "c" in file.parts)
        kept = {file: file.stat().st_mtime_ns for file in files}
        assert store.write_image(path, lambda window: data[window])
        assert kept == {file: file.stat().st_mtime_ns for file in files}, "finished shards are not redone"
        trees.append(
            {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("c/**/*") if file.is_file()}
        )
    assert trees[0] == trees[1]
    np.testing.assert_array_equal(store.open_array(tmp_path / "one" / "0")[:], data)


def test_shards_shrink_with_the_levels_of_a_column(tmp_path: Path) -> None:
    store.create_image(tmp_path / "i", store.Image("yx", (5000, 3000), "uint8", None, 6, 256, 1024))
    arrays = [store.open_array(tmp_path / "i" / str(level)) for level in range(6)]
    assert [array.shards for array in arrays[:3]] == [(1024, 1024), (512, 512), (256, 256)]
    assert [array.shards for array in arrays[3:]] == [(768, 512), (512, 188), (157, 94)]
    assert {array.chunks for array in arrays[:5]} == {(256, 256), (256, 188)}
    image = store.Image("cyx", (3, 9000, 9000), "uint8", None, 1, 1, 2048, store.RGB, chunk_shape_px=(240, 240))
    assert (image.shard_yx, image.depth) == ((1920, 1920), 3)
    assert store.Image("yx", (9, 9), "uint8", None, 1, 1, 2048, chunk_shape_px=(16, 4096)).shard_yx == (16, 4096)


def test_memory_does_not_grow_with_the_deep_levels(tmp_path: Path) -> None:
    """The deep levels of an image of 8192 x 8192 in pieces: level 0 would be 67 MB."""
    store.create_image(tmp_path / "i", store.Image("yx", (8192, 8192), "uint8", None, 3, 1024, 1024))
    for window in store.columns(tmp_path / "i"):
        store.write_column(tmp_path / "i", window, np.full((1024, 1024), 9, np.uint8))
    tracemalloc.start()
    store.write_rest(tmp_path / "i")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24e6
    assert (store.open_array(tmp_path / "i" / "2")[:] == 9).all()


def test_channels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for wrong in (
        store.Image("cyx", (2, 8, 8), "uint8", None, 1, 8, 8, store.RGB),
        store.Image("xyz", (2, 8, 8), "uint8", None, 1, 8, 8),
        store.Image("yx", (2, 8, 8), "uint8", None, 1, 8, 8),
        store.Image("yx", (8, 8), "uint8", None, 1, 8, 8, level0_codec="jpeg"),
    ):
        with pytest.raises(ValueError, match=r"axes|channels|JPEG"):
            store.create_image(tmp_path / "i", wrong)


def test_units_and_scales_of_all_five_axes(tmp_path: Path) -> None:
    channels = (("DAPI", "0000FF"), ("FITC", "00FF00"))
    layout = store.Image("tczyx", (2, 2, 3, 20, 30), "uint16", 0.25, 2, 16, 32, channels, 65535.0, z_um=1.5, t_s=30.0)
    store.create_image(tmp_path / "i", layout)
    ome = NgffImage.from_zarr(zarr.open_group(tmp_path / "i", mode="r")).ome_attributes
    axes = [(axis.name, axis.type, axis.unit) for axis in ome.multiscales[0].axes]
    plane = [("z", "space", "micrometer"), ("y", "space", "micrometer"), ("x", "space", "micrometer")]
    assert axes == [("t", "time", "second"), ("c", "channel", None), *plane]
    scales = [entry.coordinateTransformations[0].scale for entry in ome.multiscales[0].datasets]
    assert scales == [[30.0, 1.0, 1.5, 0.25, 0.25], [30.0, 1.0, 1.5, 0.5, 0.5]]
    assert [(c["label"], c["color"], c["window"]["max"]) for c in ome.model_dump()["omero"]["channels"]] == [
        (name, colour, 65535.0) for name, colour in channels
    ]
    store.create_image(tmp_path / "flat", store.Image("yx", (8, 8), "uint8", None, 1, 8, 8, (("grey", "FFFFFF"),)))
    assert "omero" not in store.open_group(tmp_path / "flat").attrs["ome"]


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
