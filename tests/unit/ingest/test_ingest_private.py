"""Free text, colour profiles and JPEG streams: what a name may hide in does not reach the store."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tasks import jpeg, output, store
from tasks.contracts import Record
from tasks.ingest import step
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import icc, mosaic
from tasks.ingest.formats import picture as pictures
from tests import makers

SECRET = "Doe-Jane-19700101"
SIDE = 64


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


COMMENT, EXIF = segment(0xFE, SECRET.encode()), segment(0xE1, b"Exif\0\0" + SECRET.encode())


def progressive(pixels: np.ndarray) -> bytes:
    """Several scans with tables between them, by an encoder of its own."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", progressive=True, quality=90, restart_marker_blocks=2)
    return out.getvalue()


def told(stream: bytes, where: str) -> bytes:
    """`stream` with a comment and an EXIF segment at its head, between its scans, and after its end."""
    if where == "head":
        return stream[:2] + COMMENT + b"\xff" + EXIF + stream[2:]
    if where == "between scans":
        second = stream.index(b"\xff\xc4", stream.index(b"\xff\xda"))
        return stream[:second] + COMMENT + EXIF + stream[second:]
    return stream + SECRET.encode() + COMMENT + b"\xff\xd9"


@pytest.mark.parametrize("where", ["head", "between scans", "after its end"])
def test_a_kept_stream_holds_nothing_but_pixels(where: str) -> None:
    plain = progressive(makers.picture_of(SIDE, SIDE))
    bad = told(plain, where)
    merged = jpeg.self_contained(None, bad, rgb=False)
    assert SECRET.encode() in bad and SECRET.encode() not in merged and b"Exif" not in merged
    np.testing.assert_array_equal(imagecodecs.jpeg8_decode(merged), imagecodecs.jpeg8_decode(plain))
    expected = set() if where == "after its end" else {"JPEG comment", "JPEG APP1"}
    assert jpeg.dropped(bad) == expected
    assert jpeg.dropped(plain) == set()


def test_segments_of_which_nothing_is_known_are_not_kept() -> None:
    plain = imagecodecs.jpeg8_encode(makers.picture_of(SIDE, SIDE))
    with pytest.raises(ValueError, match="marker 0xf7"):
        jpeg.self_contained(None, plain[:2] + segment(0xF7, SECRET.encode()) + plain[2:], rgb=False)


def slide_of(path: Path, streams: list[bytes], shape: tuple[int, int, int]) -> Path:
    options: dict[str, Any] = {"photometric": "ycbcr", "subsampling": (2, 2), "compression": "jpeg"}
    resolution = {"resolution": (20000, 20000), "resolutionunit": 3, "metadata": None}
    tifffile.imwrite(
        path, iter(streams), shape=shape, dtype=np.uint8, tile=(SIDE, SIDE), **options, **resolution
    )  # fmt: skip
    return path


def ingest(path: Path, out: Path, **changes: Any) -> Record:
    known = makers.params("slides", **{"jpeg": "keep", "deidentify": True, **changes})
    job = step.prepare_files([path], out, known, None, {})
    for wave in output.waves(job):
        for item in output.todo(job, wave):
            step.process(job, item)
    return step.finish(job)


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.mark.parametrize("deidentify", [True, False])
def test_no_byte_of_a_comment_in_a_tile_is_in_the_store(tmp_path: Path, deidentify: bool) -> None:
    whole = makers.picture_of(2 * SIDE, SIDE)
    plain = [bytes(imagecodecs.jpeg8_encode(p, level=90, outcolorspace="ycbcr")) for p in np.split(whole, 2)]
    source = slide_of(tmp_path / "s.tif", [told(s, "head") for s in plain], whole.shape)
    assert source.read_bytes().count(SECRET.encode()) == 4
    record = ingest(source, tmp_path / "o.zarr", deidentify=deidentify)
    assert b"Doe" not in all_bytes(record.path)
    shown = np.concatenate([imagecodecs.jpeg8_decode(s) for s in plain])
    np.testing.assert_array_equal(store.open_array(record.path / "slides/s/0")[...], np.moveaxis(shown, -1, 0))
    with pictures.opened(source, "slides", makers.params("slides", deidentify=deidentify)) as one:
        assert {"JPEG comment", "JPEG APP1"} <= set(one.dropped)


def test_tiles_cut_at_the_edges_cannot_be_kept(tmp_path: Path) -> None:
    whole = makers.picture_of(SIDE + 16, SIDE)
    parts = [np.ascontiguousarray(p) for p in np.split(whole, [SIDE])]
    streams = [bytes(imagecodecs.jpeg8_encode(p, level=90)) for p in parts]
    source = slide_of(tmp_path / "s.tif", streams, whole.shape)
    with (
        pytest.raises(BadFile, match="cut at its edges; expected tiles of 64 x 64; set jpeg: recode"),
        pictures.opened(source, "slides", makers.params("slides")) as one,
    ):
        one.jpeg_stream(0, 0)
        one.jpeg_stream(1, 0)
    record = ingest(source, tmp_path / "o.zarr", jpeg="recode")
    shown = np.concatenate([imagecodecs.jpeg8_decode(s) for s in streams])
    np.testing.assert_array_equal(store.open_array(record.path / "slides/s/0")[...], np.moveaxis(shown, -1, 0))


def profile() -> bytes:
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return bytes(made.tobytes())


def with_text(data: bytes, name: bytes) -> bytes:
    """`data` with one more tag that holds the secret."""
    count = struct.unpack_from(">I", data, 128)[0]
    table = bytearray(data[132 : 132 + 12 * count])
    for i in range(count):
        at = struct.unpack_from(">I", table, 12 * i + 4)[0]
        struct.pack_into(">I", table, 12 * i + 4, at + 12)
    text = b"text" + bytes(4) + SECRET.encode() + b"\0"
    body = data[132 + 12 * count :]
    entry = struct.pack(">4sII", name, 144 + 12 * count + len(body), len(text))
    whole = data[:128] + struct.pack(">I", count + 1) + bytes(table) + entry + body + text
    return struct.pack(">I", len(whole)) + whole[4:]


@pytest.mark.parametrize("name", [b"cprt", b"meta", b"wtpt", b"Doe "])
def test_a_profile_keeps_its_colours_and_loses_its_texts(name: bytes) -> None:
    bad = with_text(profile(), name)
    found, lost = icc.without_texts(bad)
    assert found is not None and SECRET.encode() in bad
    assert SECRET.encode() not in found and len(found) == struct.unpack_from(">I", found)[0]
    assert not any("Doe" in word for word in lost)
    assert ("ICC other" in lost) == (name == b"Doe ")
    np.testing.assert_array_equal(transformed(found), transformed(profile()))


def transformed(data: bytes) -> np.ndarray:
    """A picture in the colours of a profile, by LittleCMS."""
    picture = Image.fromarray(makers.picture_of(32, 32))
    target = ImageCms.createProfile("LAB")
    out = ImageCms.profileToProfile(picture, ImageCms.ImageCmsProfile(io.BytesIO(data)), target, outputMode="LAB")
    return np.asarray(out)


def test_what_is_no_profile_goes_whole() -> None:
    good = profile()
    for bad in (b"a colour profile", b"", good[:-1], good + b"x", good[:36] + b"ABCD" + good[40:], good[:140]):
        assert icc.without_texts(bad) == (None, {"ICC profile"})


@pytest.mark.parametrize("deidentify", [True, False])
def test_the_profile_is_in_the_store(tmp_path: Path, deidentify: bool) -> None:
    bad = with_text(profile(), b"cprt")
    options: dict[str, Any] = {"photometric": "rgb", "tile": (32, 32), "metadata": None, "iccprofile": bad}
    tifffile.imwrite(tmp_path / "s.tif", makers.picture_of(64, 64), resolution=(20000, 20000), resolutionunit=3,
                     **options)  # fmt: skip
    record = ingest(tmp_path / "s.tif", tmp_path / "o.zarr", jpeg="recode", deidentify=deidentify)
    stored = (record.path / "slides/s/profile.icc").read_bytes()
    assert stored == (icc.without_texts(bad)[0] if deidentify else bad)
    assert (b"Doe" in all_bytes(record.path)) != deidentify


TEXTS = {
    "software": (305, "Software", ["Aperio Image Library v11.2.1", "NanoZoomer 2", "ImageJ 1.53t"],
        [SECRET, "Doe 19700101", "x 1 Jane"]),
    "make": (271, "Make", ["Hamamatsu", "Leica Microsystems (Wetzlar)"], [SECRET, "x" * 61, "Jane\nDoe", "a: b; c"]),
    "model": (272, "Model", ["C13220", "Axio Scan.Z1 / 20x+"], [SECRET, "7" * 6]),
    "camera_model": (50708, "UniqueCameraModel", ["FC6310"], [SECRET, "Doe, Jane"]),
}  # fmt: skip


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_free_text_must_look_like_what_it_should_be(tmp_path: Path, key: str) -> None:
    code, name, good, bad = TEXTS[key]
    for text in [*good, *bad]:
        tags = [(code, 2, 0, text, True)]
        path = makers.write_tiff(tmp_path / "a.tif", makers.mosaic_of(40, 50), extratags=tags)
        for deidentify in (True, False):
            found = mosaic.decode(path, makers.calibration(), makers.params(deidentify=deidentify))
            kept = text in good or not deidentify
            assert (found.metadata.get(key) == text) == kept, text
            assert (name in found.dropped) != kept, text


def test_names_of_channels_that_may_be_more_are_counted(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 0.1234567890123456, "PhysicalSizeY": 0.1234567890123456}
    known = {
        "axes": "CYX",
        **sizes,
        "Channel": {
            "Color": [-16776961] * 3,
            "Name": ["DAPI", SECRET, "Alexa Fluor 488 (x20)"],
            "Fluor": ["a", SECRET, "c"],
        },
    }
    data = np.ones((3, 40, 50), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata=known)
    assert SECRET.encode() in (tmp_path / "a.ome.tif").read_bytes()
    with pictures.opened(tmp_path / "a.ome.tif", "images", makers.params(deidentify=True)) as one:
        assert [name for name, _ in one.channels] == ["DAPI", "channel 1", "Alexa Fluor 488 (x20)"]
        assert "Doe" not in json.dumps([one.metadata, one.channels])
        assert {"OME Channel Name", "OME Channel Fluor"} <= set(one.dropped)
        assert "OME Channel Color" not in one.dropped and one.channels[1][1] == "FF0000"
        assert one.metadata["ome"]["Pixels"][0]["PhysicalSizeX"] == "0.1234567890123456"
    with pictures.opened(tmp_path / "a.ome.tif", "images", makers.params()) as one:
        assert one.channels[1][0] == SECRET
