"""Files fetched from a real S3-compatible server and a real HTTP server, both on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tasks.errors import InputError, StoreError
from tasks.ingest.elsewhere import remote
from tasks.ingest.manifest import entries_from_files
from tasks.lock import locked
from tests import makers
from tests.servers import Site, http_site, s3_environment, s3_server

ROOT = Path(__file__).resolve().parents[3]
BYTES = makers.rng(5).bytes(300_000)
SECRET = "s3cr3t/Key+Part"


@pytest.fixture
def site() -> Iterator[Site]:
    with http_site() as known:
        yield known


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An empty bucket `slides` on a real server, which the environment names, as a user would."""
    for name, value in s3_environment(s3_address, SECRET, tmp_path).items():
        monkeypatch.setenv(name, value)
    found = boto3.resource("s3").Bucket("slides")
    found.create()
    yield found
    found.objects.all().delete()
    found.delete()


def only(result: tuple[dict[str, Path], list[InputError]]) -> Path:
    files, faults = result
    assert not faults, faults
    assert len(files) == 1
    return next(iter(files.values()))


def line(result: tuple[dict[str, Path], list[InputError]]) -> str:
    files, faults = result
    assert (files, len(faults)) == ({}, 1)
    assert "\n" not in str(faults[0])
    return str(faults[0])


def everything(folder: Path) -> str:
    return "".join(p.name + p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("text", "known"),
    [("s3://b/k", True), ("https://h/x", True), ("a.svs", False), ("C:/x.svs", False), ("a:b//c", False)],
)
def test_an_uri_is_told_from_a_path(text: str, known: bool) -> None:
    assert remote.is_uri(text) is known


def test_a_file_in_a_bucket_comes_whole_and_only_once(bucket, tmp_path: Path) -> None:
    bucket.put_object(Key="a/slide 1.svs", Body=BYTES)
    uri = "s3://slides/a/slide 1.svs"
    files, faults = remote.fetch([uri], tmp_path / "f")
    assert (files, faults) == ({uri: tmp_path / "f" / "slide_1.svs"}, [])
    assert files[uri].read_bytes() == BYTES
    notes = json.loads((tmp_path / "f" / "slide_1.svs.fetched.json").read_text())
    assert (notes["uri"], notes["size"]) == (uri, len(BYTES))
    stamp = files[uri].stat().st_mtime_ns
    assert only(remote.fetch([uri], tmp_path / "f")).stat().st_mtime_ns == stamp
    bucket.put_object(Key="a/slide 1.svs", Body=BYTES[::-1])
    assert only(remote.fetch([uri], tmp_path / "f")).read_bytes() == BYTES[::-1]
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == ["slide_1.svs", "slide_1.svs.fetched.json"]


def test_a_pattern_gives_all_that_match_and_equal_names_are_told_apart_with_their_annotation(
    bucket, tmp_path: Path
) -> None:
    for key in ("p1/s.svs", "p1/s.geojson", "p2/s.svs", "p2/t.svs", "p2/deep/u.svs", "p2/v.txt"):
        bucket.put_object(Key=key, Body=key.encode())
    files, faults = remote.fetch(["s3://slides/*/*.svs", "s3://slides/p1/s.geojson"], tmp_path)
    assert faults == []
    assert {uri: path.read_text() for uri, path in files.items()} == {
        f"s3://slides/{key}": key for key in ("p1/s.svs", "p1/s.geojson", "p2/s.svs", "p2/t.svs")
    }
    stems = {uri.removeprefix("s3://slides/"): path.stem for uri, path in files.items()}
    assert stems["p1/s.svs"] == stems["p1/s.geojson"] != stems["p2/s.svs"]
    assert stems["p2/t.svs"] == "t"
    assert "no file matches" in line(remote.fetch(["s3://slides/*.ndpi"], tmp_path))


def test_masks_and_ome_files_of_equal_names_stay_with_their_picture(bucket, tmp_path: Path) -> None:
    keys = [f"{place}/{name}" for place in "pq" for name in ("c.ome.tif", "c_mask.png", "d.svs", "d.geojson")]
    for key in keys:
        bucket.put_object(Key=key, Body=key.encode())
    files, faults = remote.fetch(["s3://slides/*/*"], tmp_path)
    assert (len(files), faults) == (8, [])
    _, entries, bad = entries_from_files(list(files.values()))
    assert bad == []
    pairs = {((tmp_path / e.file).read_text(), (tmp_path / e.mask).read_text()) for e in entries}
    together = (("c.ome.tif", "c_mask.png"), ("d.svs", "d.geojson"))
    assert pairs == {(f"{place}/{picture}", f"{place}/{note}") for place in "pq" for picture, note in together}


def test_a_folder_into_which_nothing_came_is_not_left(site: Site, tmp_path: Path) -> None:
    for uris in ([f"{site.base}/none.svs"], ["gopher://host/x.svs"]):
        assert len(remote.fetch(uris, tmp_path / "f")[1]) == 1
        assert not (tmp_path / "f").exists()


def test_a_key_with_the_marks_of_a_pattern_is_itself(bucket, tmp_path: Path) -> None:
    bucket.put_object(Key="a[1].svs", Body=b"one")
    bucket.put_object(Key="a1.svs", Body=b"other")
    assert only(remote.fetch(["s3://slides/a[1].svs"], tmp_path)).read_bytes() == b"one"


def test_what_came_before_is_not_asked_for_again(bucket, site: Site, tmp_path: Path) -> None:
    """The part file holds wrong bytes on purpose: that they end up in the file proves that they were kept."""
    bucket.put_object(Key="x.svs", Body=BYTES)
    whole = only(remote.fetch(["s3://slides/x.svs"], tmp_path))
    notes = {k: v for k, v in json.loads((tmp_path / "x.svs.fetched.json").read_text()).items() if k != "sha256"}
    whole.unlink()
    (tmp_path / ".x.svs.part").write_bytes(bytes(1000))
    (tmp_path / ".x.svs.part.fetched.json").write_text(json.dumps(notes))
    assert only(remote.fetch(["s3://slides/x.svs"], tmp_path)).read_bytes() == bytes(1000) + BYTES[1000:]


def test_a_broken_connection_keeps_what_came_and_the_next_run_goes_on(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"], site.cut_after, site.pause_s = BYTES, 200_000, 0.05
    found = line(remote.fetch([f"{site.base}/x.svs"], tmp_path))
    assert "connection broke" in found
    assert not (tmp_path / "x.svs").exists()
    came = (tmp_path / ".x.svs.part").stat().st_size
    assert 0 < came <= 200_000
    site.cut_after = None
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES
    assert site.gets == ["", f"bytes={came}-"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.svs", "x.svs.fetched.json"]
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES
    assert len(site.gets) == 2


def test_another_version_since_the_break_is_fetched_from_its_start(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"], site.cut_after, site.pause_s = BYTES, 200_000, 0.05
    line(remote.fetch([f"{site.base}/x.svs"], tmp_path))
    assert (tmp_path / ".x.svs.part").stat().st_size > 0
    site.files["/x.svs"], site.cut_after, site.version = BYTES[::-1], None, 2
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES[::-1]
    assert site.gets == ["", ""]


@pytest.mark.parametrize("lacks", ["ranges", "stamped"])
def test_a_server_without_ranges_or_stamps_is_read_from_the_start(site: Site, tmp_path: Path, lacks: str) -> None:
    setattr(site, lacks, False)
    site.files["/x.svs"], site.cut_after, site.pause_s = BYTES, 200_000, 0.05
    line(remote.fetch([f"{site.base}/x.svs"], tmp_path))
    site.cut_after = None
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES
    assert len(site.gets) == (2 if lacks == "ranges" else 3)


def test_a_file_that_changes_while_it_comes_is_not_taken(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"], site.change_on_get = BYTES, True
    assert "changed while it was fetched" in line(remote.fetch([f"{site.base}/x.svs"], tmp_path))
    assert not list(tmp_path.glob("*.svs"))
    assert not list(tmp_path.glob(".*.part"))


def test_a_bit_that_flipped_here_is_fetched_again(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"] = BYTES
    path = only(remote.fetch([f"{site.base}/x.svs"], tmp_path))
    path.write_bytes(BYTES[:-1] + bytes([BYTES[-1] ^ 1]))
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES


def test_a_killed_fetch_goes_on(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"], site.pause_s = BYTES * 20, 0.02
    code = "import sys; from pathlib import Path; from tasks.ingest.elsewhere import remote; "
    code += "remote.CHUNK_BYTES = 65536; remote.fetch([sys.argv[1]], Path(sys.argv[2]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"{site.base}/x.svs", str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    part = tmp_path / ".x.svs.part"
    while not (part.is_file() and part.stat().st_size > 100_000):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    came, site.pause_s = part.stat().st_size, 0
    assert only(remote.fetch([f"{site.base}/x.svs"], tmp_path)).read_bytes() == BYTES * 20
    assert site.gets[-1] == f"bytes={came}-"


def test_memory_is_a_few_chunks_whatever_the_size(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"] = bytes(20 * remote.CHUNK_BYTES)
    tracemalloc.start()
    try:
        only(remote.fetch([f"{site.base}/x.svs"], tmp_path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * remote.CHUNK_BYTES


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_each_bad_file_is_a_line_and_the_others_come(bucket, site: Site, tmp_path: Path) -> None:
    bucket.put_object(Key="good.svs", Body=b"good")
    bucket.put_object(Key="folder/x.svs", Body=b"x")
    wrong = {
        "s3://slides/none.svs": "none.svs: not there",
        "s3://no-such-bucket/x.svs": "no-such-bucket/x.svs: not there",
        "s3://slides/folder": "slides/folder: a directory",
        f"{site.base}/none.svs": "none.svs: not there",
        f"http://127.0.0.1:{free_port()}/x.svs": "x.svs: its server cannot be reached",
        f"{site.base}/*.svs": "a pattern, but http cannot list",
        "gs://bucket/x.svs": "gs://bucket/x.svs: a protocol that is not installed",
        "gopher://host/x.svs": "the protocol gopher",
        "zip://x.svs::s3://slides/a.zip": "zip://…: a file inside of another",
        "simplecache::s3://slides/good.svs": "simplecache::s3://…: a file inside of another",
        f"file://{tmp_path}/none.svs": "none.svs: not there",
    }
    files, faults = remote.fetch([*wrong, "s3://slides/good.svs"], tmp_path / "f")
    assert [path.read_bytes() for path in files.values()] == [b"good"]
    lines = [str(error) for error in faults]
    assert len(lines) == len(wrong), lines
    assert all(any(words in found for found in lines) for words in wrong.values()), lines
    assert all("expected" in found and "\n" not in found for found in lines)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "forbidden"), (403, "forbidden"), (410, "not there"), (503, "its server answers 503")]
)
def test_what_a_server_answers_is_said(site: Site, tmp_path: Path, status: int, words: str) -> None:
    site.files["/x.svs"], site.status = BYTES, status
    assert words in line(remote.fetch([f"{site.base}/x.svs"], tmp_path))


def test_no_credentials_are_a_line_that_says_how_to_give_them(bucket, tmp_path: Path, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = line(remote.fetch(["s3://slides/x.svs"], tmp_path / "f"))
    assert "no credentials" in found
    assert "AWS_PROFILE" in found


@pytest.mark.parametrize(
    "uri",
    [
        f"https://me:{SECRET}@host/x.svs",
        "https://s3cr3t@host/x.svs",
        f"s3://KEY:{SECRET}@bucket/x.svs",
        "sftp://me:s3cr3t@host/x.svs",
        "https://[::1]:s3cr3t/x.svs",
    ],
)
def test_credentials_in_an_uri_are_refused_and_not_shown(tmp_path: Path, uri: str) -> None:
    found = line(remote.fetch([uri], tmp_path))
    assert "a user or a password in the URI" in found
    assert "environment" in found
    assert "s3cr3t" not in found
    assert "s3cr3t" not in everything(tmp_path)


@pytest.mark.parametrize("given", ["s3cr3t", "s3cr3t-wrong"])
def test_the_query_of_a_presigned_link_is_used_and_forgotten(site: Site, tmp_path: Path, given: str) -> None:
    site.files["/x.svs"], site.secret = BYTES, "s3cr3t"
    files, faults = remote.fetch([f"{site.base}/x.svs?X-Amz-Signature={given}"], tmp_path)
    told = everything(tmp_path) + "".join(map(str, faults)) + "".join(files)
    assert "s3cr3t" not in told
    if given == site.secret:
        assert files == {f"{site.base}/x.svs": tmp_path / "x.svs"}
        assert files[f"{site.base}/x.svs"].read_bytes() == BYTES
    else:
        assert "forbidden" in str(faults[0])


def test_two_links_that_differ_in_the_query_alone_are_not_mixed_up(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"] = BYTES
    files, faults = remote.fetch([f"{site.base}/x.svs?id={i}" for i in (1, 2)], tmp_path)
    assert len(files) == 1
    assert "named twice" in str(faults[0])


def test_a_local_uri_is_copied(tmp_path: Path) -> None:
    (tmp_path / "Präparat.svs").write_bytes(BYTES)
    path = only(remote.fetch([f"file://{tmp_path}/Pr*.svs"], tmp_path / "f"))
    assert (path.name, path.read_bytes()) == ("Pr_parat-e9d49fd7.svs", BYTES)


def test_two_processes_do_not_write_the_same_files(site: Site, tmp_path: Path) -> None:
    site.files["/x.svs"] = BYTES
    with locked(tmp_path / ".fetching"), pytest.raises(StoreError, match="another process fetches"):
        remote.fetch([f"{site.base}/x.svs"], tmp_path)
