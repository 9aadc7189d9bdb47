"""Sources that were fetched from a URI, behind a real web server: the audit reads them there where the copy is gone."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.errors import LineageError
from tasks.lineage.audit import audit
from tasks.lineage.diagram import audit_svg, story_svg
from tasks.lineage.prov import prov
from tasks.lineage.recipe import read, source_file
from tasks.lineage.remote import Unreachable, digest_uri
from tasks.lineage.trace import lines, trace
from tests.lineage_chain import crops, seal


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """(folder, its address) of a web server on this machine."""
    folder = tmp_path / "far"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetched(served: tuple[Path, str], tmp_path: Path) -> tuple[Path, Path, Path]:
    """(store, local copy, far file) of a store of crops `a` and `b`, whose a.tif was fetched."""
    far, local, out = served[0] / "a.tif", tmp_path / "cache" / "a.tif", tmp_path / "raw.zarr"
    local.parent.mkdir()
    for file in (far, local):
        file.write_bytes(bytes(range(256)) * 9000)
    given = source_file("source", local, out, uri=f"{served[1]}/a.tif")
    seal(out, "ingest", [given], {}, crops("mosaic", (16, 16)))
    return out, local, far


def test_the_uri_is_kept_without_its_password(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(b"x")
    entry = source_file("source", file, tmp_path / "out", uri="https://me:secret@host:8/a.tif?v=2")
    assert entry["uri"] == "https://host:8/a.tif?v=2"
    assert source_file("source", file, tmp_path / "out", uri="s3://bucket/k.svs")["uri"] == "s3://bucket/k.svs"
    assert entry == {**source_file("source", file, tmp_path / "out"), "uri": entry["uri"]}


def test_what_is_gone_here_is_read_there(fetched: tuple[Path, Path, Path]) -> None:
    out, local, far = fetched
    local.unlink()
    nodes = {node.kind: node for node in audit(out).nodes}
    entry = read(out)["inputs"][0]
    assert (nodes["file"].digest, nodes["file"].bytes) == (entry["sha256"], entry["bytes"])
    assert nodes["file"].uri == entry["uri"]
    far.write_bytes(far.read_bytes()[:-1] + b"x")
    with pytest.raises(LineageError, match=rf"{entry['uri']}: sha256 .*; expected sha256 .*from which raw\.zarr"):
        audit(out)
    far.unlink()
    with pytest.raises(LineageError, match=rf"a\.tif: missing, and {entry['uri']} cannot be read .*put the file back"):
        audit(out)


def test_a_copy_that_is_here_is_what_counts(fetched: tuple[Path, Path, Path]) -> None:
    out, local, far = fetched
    far.unlink()
    audit(out)
    local.write_bytes(b"other")
    with pytest.raises(LineageError, match=r"cache/a\.tif: sha256"):
        audit(out)


def test_stories_prov_and_pictures_name_the_uri(fetched: tuple[Path, Path, Path]) -> None:
    out, local, _ = fetched
    local.unlink()
    uri = read(out)["inputs"][0]["uri"]
    host = uri.removesuffix("/a.tif")
    story, whole = trace(out, "a"), audit(out)
    assert f"| uri: {uri}" in "\n".join(lines(story))
    assert [e.get("prov:location") for e in prov(whole)["entity"].values()].count(uri) == 1
    assert f">from {host}<" in story_svg(story)
    assert host in audit_svg(whole)


@pytest.mark.parametrize("uri", ["nonsense://x/y", "http://127.0.0.1:1/x", "file:///no/such/file", "zip::file:///x"])
def test_what_cannot_be_reached_is_said(uri: str) -> None:
    with pytest.raises(Unreachable, match=r"\w"):
        digest_uri(uri)
