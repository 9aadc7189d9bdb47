"""Kept JPEG streams: tables merged without touching entropy-coded data, colours told, a codec any Zarr reader finds."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from tasks import jpeg, store

RNG = np.random.Generator(np.random.Philox(key=3))


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), (x + y) % 256], axis=-1)
    return np.clip(smooth + RNG.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def tiled(path: Path, pixels: np.ndarray, tile: tuple[int, int], rgb: bool) -> Path:
    """A TIFF of JPEG tiles that share their tables, as slide scanners write them."""
    args = {"level": 80} if not rgb else {"level": 80, "outcolorspace": "rgb"}
    tifffile.imwrite(path, pixels, tile=tile, photometric="rgb", compression="jpeg", compressionargs=args)
    return path


def shared_tables(stream: bytes) -> tuple[bytes, bytes]:
    """`stream` as a TIFF would hold it: its DQT and DHT apart, the rest abbreviated. By libjpeg's own layout."""
    at, tables, rest = 2, b"", b""
    while stream[at + 1] != 0xDA:
        size = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at + 1] in (0xDB, 0xC4):
            tables += stream[at : at + size]
        else:
            rest += stream[at : at + size]
        at += size
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + stream[at:]


@pytest.mark.parametrize("rgb", [False, True])
def test_tables_and_an_abbreviated_tile_decode_as_libtiff_would(rgb: bool) -> None:
    colours = {"outcolorspace": "rgb"} if rgb else {"outcolorspace": "ycbcr"}
    whole = imagecodecs.jpeg8_encode(picture(48, 64), level=80, **colours)
    tables, tile = shared_tables(whole)
    told = {"colorspace": "rgb" if rgb else "ycbcr", "outcolorspace": "rgb"}
    expected = imagecodecs.jpeg8_decode(tile, tables=tables, **told)
    merged = jpeg.self_contained(tables, tile, rgb)
    np.testing.assert_array_equal(imagecodecs.jpeg8_decode(merged), expected)
    scan = tile[tile.index(b"\xff\xda") :]
    assert merged.endswith(scan), "entropy-coded bytes must stay as they are"
    with pytest.raises(ValueError, match="cannot be decoded"):
        jpeg.decode(tile, (48, 64, 3))


def test_a_jfif_marker_does_not_overrule_rgb() -> None:
    plain = imagecodecs.jpeg8_encode(picture(16, 16), level=90, outcolorspace="rgb")
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    wrong = plain[:2] + jfif + plain[2:]
    expected = imagecodecs.jpeg8_decode(plain, colorspace="rgb", outcolorspace="rgb")
    assert not np.array_equal(imagecodecs.jpeg8_decode(wrong), expected), "the marker misleads libjpeg"
    np.testing.assert_array_equal(jpeg.decode(jpeg.self_contained(None, wrong, rgb=True), (16, 16, 3)), expected)


def test_the_frame_header_tells_the_size() -> None:
    assert jpeg.frame_size(imagecodecs.jpeg8_encode(picture(24, 40))) == (24, 40, 3)
    assert jpeg.frame_size(imagecodecs.jpeg8_encode(picture(24, 40)[..., 0].copy())) == (24, 40, 1)


def test_nonsense_is_a_value_error_at_every_cut_and_flip_of_the_header() -> None:
    whole = imagecodecs.jpeg8_encode(picture(16, 16))
    header = whole.index(b"\xff\xda")
    for cut in range(header):
        with pytest.raises(ValueError):
            jpeg.self_contained(None, whole[:cut], rgb=False)
    for at in range(header):
        for bit in range(8):
            bad = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
            try:
                assert len(jpeg.frame_size(bad)) == 3
            except ValueError:
                continue
    for nonsense in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8" + b"\xff" * 50, b"\xff\xd8\xff\xd9", bytes(100)):
        with pytest.raises(ValueError):
            jpeg.frame_size(nonsense)


def test_a_frame_of_another_size_is_refused_before_it_is_decoded() -> None:
    small = imagecodecs.jpeg8_encode(picture(16, 16))
    at = small.index(b"\xff\xc0") + 5
    bomb = small[:at] + b"\xff\xdc\xff\xdc" + small[at + 4 :]
    with pytest.raises(ValueError, match="a JPEG frame of"):
        jpeg.decode(bomb, (16, 16, 3))


@pytest.mark.parametrize("told", [{}, {"level": None, "tables": None, "unheard_of": None}, {"level": 75}])
def test_configurations_of_imagecodecs_zarr_are_understood(told: dict) -> None:
    assert jpeg.JpegCodec.from_dict({"name": jpeg.NAME, "configuration": told}) == jpeg.JpegCodec()


@pytest.mark.parametrize("told", [{"tables": "AAAA"}, {"colorspace_jpeg": 2}])
def test_a_configuration_that_changes_decoding_is_refused(told: dict) -> None:
    with pytest.raises(ValueError, match="not supported"):
        jpeg.JpegCodec.from_dict({"name": jpeg.NAME, "configuration": told})


@pytest.mark.parametrize("rgb", [False, True])
def test_tiles_of_a_tiff_are_kept_byte_for_byte_and_open_without_rawmill(tmp_path: Path, rgb: bool) -> None:
    file = tiled(tmp_path / "a.tif", picture(150, 200), (32, 48), rgb)
    path = tmp_path / "image"
    image = store.Image(
        "cyx", (3, 150, 200), "uint8", 0.5, 3, 512, 128, store.RGB, chunk_shape_px=(32, 48), level0_codec="jpeg"
    )
    store.create_image(path, image)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        pixels = page.asarray().transpose(2, 0, 1)
        streams = []
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(offset)
            streams.append(jpeg.self_contained(page.jpegtables, tiff.filehandle.read(size), rgb))
    grid = np.array(streams, object).reshape(5, 5)
    for window in store.columns(path):
        rows, columns = (slice(w.start // s, -(-w.stop // s)) for w, s in zip(window[1:], (32, 48), strict=True))
        files = store.write_column(path, window, pixels[window], list(grid[rows, columns].ravel()))
        whole = files[0].read_bytes()
        assert all(stream in whole for stream in grid[rows, columns].ravel())
    store.write_rest(path)
    np.testing.assert_array_equal(zarr.open_array(path / "0")[:], pixels)
    code = f"import zarr, sys; a = zarr.open({str(path)!r})['0'][:]; assert 'tasks.store' not in sys.modules"
    code += "; print(a.sum(dtype='u8'), zarr.config.get('codecs').get('imagecodecs_jpeg'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert told.stdout.split()[:1] == [str(pixels.sum(dtype=np.uint64))], told.stderr


def test_a_stream_that_does_not_show_the_pixels_is_refused(tmp_path: Path) -> None:
    pixels = picture(32, 32)
    image = store.Image(
        "cyx", (3, 32, 32), "uint8", 0.5, 1, 32, 32, store.RGB, chunk_shape_px=(32, 32), level0_codec="jpeg"
    )
    store.create_image(tmp_path / "i", image)
    stream = jpeg.self_contained(None, imagecodecs.jpeg8_encode(pixels, level=60), rgb=False)
    (window,) = store.columns(tmp_path / "i")
    with pytest.raises(store.StoreError, match="read back other values"):
        store.write(tmp_path / "i" / "0", window, pixels.transpose(2, 0, 1), [stream])
    assert not list((tmp_path / "i" / "0").glob("c/**/*.*")) + list((tmp_path / "i" / "0").glob("c/0/0/*"))
    with pytest.raises(ValueError, match="1 in the image"):
        store.write(tmp_path / "i" / "0", window, pixels.transpose(2, 0, 1), [stream, stream])
    with pytest.raises(ValueError, match="copied from their source"):
        store.write(tmp_path / "i" / "0", window, pixels.transpose(2, 0, 1))


def test_pixels_are_never_encoded_as_jpeg_by_assignment(tmp_path: Path) -> None:
    image = store.Image("cyx", (3, 8, 8), "uint8", None, 1, 8, 8, store.RGB, chunk_shape_px=(8, 8), level0_codec="jpeg")
    store.create_image(tmp_path / "i", image)
    with pytest.raises(ValueError, match="pixels would change"):
        zarr.open_array(tmp_path / "i" / "0", mode="r+")[:] = 1


def test_every_single_bit_flip_in_a_shard_of_streams_is_noticed(tmp_path: Path) -> None:
    layout = {"chunk_shape_px": (16, 16), "level0_codec": "jpeg"}
    store.create_image(tmp_path / "i", store.Image("cyx", (3, 16, 20), "uint8", None, 1, 1, 32, store.RGB, **layout))
    streams = [jpeg.self_contained(None, imagecodecs.jpeg8_encode(picture(16, 16)), rgb=False) for _ in range(2)]
    shown = np.hstack([imagecodecs.jpeg8_decode(stream) for stream in streams]).transpose(2, 0, 1)[..., :20]
    (window,) = store.columns(tmp_path / "i")
    file = store.write(tmp_path / "i" / "0", window, shown, streams)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "i" / "0")[:], shown)
    whole = file.read_bytes()
    for position in range(0, len(whole), 13):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ValueError):
            zarr.open_array(tmp_path / "i" / "0")[:]
        store.write(tmp_path / "i" / "0", window, shown, streams)
        assert file.read_bytes() == whole
