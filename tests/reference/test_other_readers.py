"""What tasks.store writes, read by others: TensorStore (C++), zarrs (Rust), zarr-python, ome-zarr-py, its models."""

from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tensorstore
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05.image import Image as NgffImage
from ome_zarr_models.v05.image_label import ImageLabel
from PIL import Image as Picture

from tasks import jpeg, pyramids, shards, store

RNG = np.random.Generator(np.random.Philox(key=5))
CASES = [
    ("cyx", (3, 300, 410), "uint8", store.RGB, True),
    ("yx", (257, 129), "uint16", (), True),
    ("tczyx", (2, 2, 3, 70, 150), "uint16", (("DAPI", "0000FF"), ("FITC", "00FF00")), False),
    ("zyx", (4, 65, 64), "float32", (), False),
]


def made(path: Path, axes: str, shape: tuple[int, ...], dtype: str, channels: tuple, together: bool) -> np.ndarray:
    data = RNG.integers(0, 256, shape).astype(dtype)
    image = store.Image(axes, shape, dtype, 0.5, 4, 32, 128, channels, planes_together=together, z_um=1.0, t_s=2.0)
    store.create_image(path, image)
    store.write_image(path, lambda window: data[window])
    return data


def expected(data: np.ndarray, level: int) -> np.ndarray:
    """Of these sizes levels 1 and 2 are of columns, level 3 of stored level 2."""
    return data if level == 0 else pyramids.levels(data, level, label=False)[-1]


def by_tensorstore(path: Path) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return np.asarray(tensorstore.open(spec, read=True, open=True).result().read().result())


def by_zarrs(path: Path) -> np.ndarray:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        array = zarr.open_array(path, mode="r")
        assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
        return np.asarray(array[:])


@pytest.mark.parametrize(("axes", "shape", "dtype", "channels", "together"), CASES)
def test_every_pixel_of_every_level_is_the_same_to_all_readers(
    tmp_path: Path, axes: str, shape: tuple, dtype: str, channels: tuple, together: bool
) -> None:
    data = made(tmp_path / "i", axes, shape, dtype, channels, together)
    nodes = list(Reader(parse_url(tmp_path / "i", mode="r"))())
    assert len(nodes[0].data) == 4
    for level in range(4):
        theirs = by_tensorstore(tmp_path / "i" / str(level))
        np.testing.assert_array_equal(zarr.open_array(tmp_path / "i" / str(level), mode="r")[:], theirs)
        np.testing.assert_array_equal(nodes[0].data[level].compute(), theirs)
        np.testing.assert_array_equal(by_zarrs(tmp_path / "i" / str(level)), theirs)
        difference = np.abs(theirs.astype(np.float64) - expected(data, level))
        assert difference.max() <= (0 if level < 3 else 1)


@pytest.mark.parametrize(("axes", "shape", "dtype", "channels", "together"), CASES)
def test_images_are_valid_ngff_0_5(
    tmp_path: Path, axes: str, shape: tuple, dtype: str, channels: tuple, together: bool
) -> None:
    made(tmp_path / "i", axes, shape, dtype, channels, together)
    ome = NgffImage.from_zarr(zarr.open_group(tmp_path / "i", mode="r")).ome_attributes
    assert [axis.name for axis in ome.multiscales[0].axes] == list(axes)
    label = store.Image("yx", shape[-2:], "uint8", 0.5, 4, 32, 128, label=True)
    store.create_labels(tmp_path / "i", {"annotation": label})
    store.write_image(tmp_path / "i" / "labels" / "annotation", lambda w: np.ones([s.stop - s.start for s in w], "u1"))
    ImageLabel.from_zarr(zarr.open_group(tmp_path / "i" / "labels" / "annotation", mode="r"))
    theirs = by_tensorstore(tmp_path / "i" / "labels" / "annotation" / "3")
    assert (theirs == 1).all()


def test_kept_jpeg_streams_open_in_any_jpeg_decoder_where_the_index_says(tmp_path: Path) -> None:
    """A reader without the codec still finds whole JPEG files by the index of the shard: here Pillow opens them."""
    y, x = np.mgrid[:64, :96]
    tiles = [np.stack([x[:32, :48] + 9 * k, y[:32, :48], x[:32, :48]], -1).astype(np.uint8) for k in range(4)]
    encoded = [imagecodecs.jpeg8_encode(tile, level=95, outcolorspace="ycbcr") for tile in tiles]
    streams = [jpeg.self_contained(None, stream, rgb=False) for stream in encoded]
    shown = [imagecodecs.jpeg8_decode(stream) for stream in streams]
    pixels = np.vstack([np.hstack(shown[:2]), np.hstack(shown[2:])]).transpose(2, 0, 1)
    image = store.Image(
        "cyx", (3, 64, 96), "uint8", 0.5, 2, 8, 96, store.RGB, chunk_shape_px=(32, 48), level0_codec="jpeg"
    )
    store.create_image(tmp_path / "i", image)
    (window,) = store.columns(tmp_path / "i")
    file, *_ = store.write_column(tmp_path / "i", window, pixels, streams)
    whole = file.read_bytes()
    for (offset, size), tile in zip(shards.ranges(whole[-68:], 4, len(whole)), shown, strict=True):
        with Picture.open(BytesIO(whole[offset : offset + size])) as opened:
            np.testing.assert_allclose(np.asarray(opened.convert("RGB")).astype(int), tile, atol=2)
    np.testing.assert_array_equal(by_tensorstore(tmp_path / "i" / "1"), pyramids.levels(pixels, 1, False)[0])
