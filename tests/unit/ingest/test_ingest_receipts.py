"""Receipts: what is written is read back, in one order; digests by other means; what is not a receipt is refused."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import LineageError
from tasks.ingest import receipts, statistics
from tasks.lineage.digest import merkle_root
from tests.makers import rng

PIXELS = rng(3).integers(0, 65536, (5, 7)).astype(np.uint16)


def receipt(name: str = "a") -> receipts.Receipt:
    source = receipts.SourceFile(path=f"{name}.tif", sha256="0" * 64, bytes=12, uri="s3://b/ä.tif")
    image = receipts.Stored(
        path="mosaic", index=3, axes="yx", shape=(5, 7), dtype="uint16", digest=receipts.crop_digest(PIXELS)
    )
    told = statistics.document(statistics.of(PIXELS, None))
    return receipts.stored(name, source, None, image, "TIFF", "tifffile 1", told, ["B", "A", "B"], {"iso": 100})


def test_receipts_are_sorted_lines_of_json_and_read_back(tmp_path: Path) -> None:
    gone = receipts.source_file(tmp_path, "z.tif", {})
    all_of_them = [receipt("b"), receipts.rejected("a2", gone, "z.tif: not there; expected …; …"), receipt("a")]
    path = receipts.write(tmp_path, all_of_them)
    first = path.read_bytes()
    assert [json.loads(line)["id"] for line in first.splitlines()] == ["a", "a2", "b"]
    assert receipts.read(tmp_path) == sorted(all_of_them, key=lambda r: r.id)
    receipts.write(tmp_path, all_of_them[::-1])
    assert path.read_bytes() == first
    told = json.loads(first.splitlines()[0])
    assert told["dropped"] == ["A", "B"]
    assert told["source"] == {"path": "a.tif", "sha256": "0" * 64, "bytes": 12, "uri": "s3://b/ä.tif"}


def test_the_digest_of_a_crop_is_that_of_its_little_endian_bytes() -> None:
    expected = hashlib.sha256(b"".join(int(v).to_bytes(2, "little") for v in PIXELS.ravel())).hexdigest()
    assert receipts.crop_digest(PIXELS) == expected
    assert receipts.crop_digest(PIXELS.astype(">u2")) == expected
    assert receipts.crop_digest(np.asfortranarray(PIXELS)) == expected
    assert receipts.crop_digest(PIXELS[::-1]) != expected


def test_the_digest_of_an_image_is_the_root_over_its_files(tmp_path: Path) -> None:
    here = tmp_path / "slides" / "s"
    (here / "0" / "c").mkdir(parents=True)
    (here / "zarr.json").write_bytes(b"{}")
    (here / "0" / "c" / "0").write_bytes(b"shard")
    (tmp_path / "slides" / "s2").write_bytes(b"another image")
    expected = merkle_root(
        {"zarr.json": hashlib.sha256(b"{}").hexdigest(), "0/c/0": hashlib.sha256(b"shard").hexdigest()}
    )
    assert receipts.image_digest(tmp_path, "slides/s", {}) == expected
    known = {"slides/s/zarr.json": hashlib.sha256(b"{}").hexdigest()}
    assert receipts.image_digest(tmp_path, "slides/s", known) == expected
    (here / "0" / "c" / "0").write_bytes(b"shart")
    assert receipts.image_digest(tmp_path, "slides/s", known) != expected


def test_source_files_have_their_digest(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"pixels")
    expected = hashlib.sha256(b"pixels").hexdigest()
    assert receipts.source_file(tmp_path, "a.tif", {}).sha256 == expected
    found = receipts.source_file(tmp_path, "a.tif", {"a.tif": "1" * 64}, uri="https://h/a.tif")
    assert (found.sha256, found.bytes, found.uri) == ("1" * 64, 6, "https://h/a.tif")


@pytest.mark.parametrize(
    "change",
    [{"status": "rejected"}, {"line": "wrong"}, {"more": 1}, {"image": None}, {"id": 5}, {"source": {"path": "a"}}],
    ids=lambda change: next(iter(change)),
)
def test_lines_that_are_no_receipt_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    receipts.write(tmp_path, [receipt()])
    (tmp_path / receipts.RECEIPTS).write_text(json.dumps({**receipt().document(), **change}), encoding="utf-8")
    with pytest.raises(LineageError, match="line 1"):
        receipts.read(tmp_path)


def test_missing_or_broken_receipts_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="not there"):
        receipts.read(tmp_path)
    (tmp_path / receipts.RECEIPTS).write_bytes(b"\xff\n")
    with pytest.raises(LineageError, match="line 1") as caught:
        receipts.read(tmp_path)
    assert "\n" not in str(caught.value)
