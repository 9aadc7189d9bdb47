"""A real HTTP server that can misbehave, and a real S3-compatible one, both on this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from moto.server import ThreadedMotoServer


@dataclass
class Site:
    """What the HTTP server serves, how it misbehaves, and what it was asked: (method, path, Range)."""

    files: dict[str, bytes] = field(default_factory=dict)
    version: int = 1
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    cut_after: int | None = None
    ranges: bool = True
    stamped: bool = True
    status: int = 200
    secret: str = ""
    change_on_get: bool = False
    pause_s: float = 0.0
    base: str = ""

    @property
    def gets(self) -> list[str]:
        return [given for method, _, given in self.asked if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    """Serves the `site` of its server."""

    @property
    def site(self) -> Site:
        return self.server.site  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_GET(self) -> None:
        self.answer("GET")

    def answer(self, method: str) -> None:
        site, url, given = self.site, urlsplit(self.path), self.headers.get("Range", "")
        site.asked.append((method, url.path, given))
        body = site.files.get(url.path)
        denied = site.secret and parse_qs(url.query).get("X-Amz-Signature") != [site.secret]
        status = 403 if denied else site.status if body is not None else 404
        if status != 200 or body is None:
            self.send_error(status)
            return
        start = int(given.removeprefix("bytes=").removesuffix("-")) if given and site.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if site.stamped:
            self.send_header("ETag", f'"v{site.version}"')
        self.end_headers()
        if method == "GET":
            self.give(body[start:])

    def give(self, body: bytes) -> None:
        self.site.version += self.site.change_on_get
        sent = body if self.site.cut_after is None else body[: self.site.cut_after]
        try:
            for first in range(0, len(sent), 65536):
                self.wfile.write(sent[first : first + 65536])
                self.wfile.flush()
                time.sleep(self.site.pause_s)
            if len(sent) < len(body):
                self.connection.shutdown(socket.SHUT_RDWR)
        except ConnectionError:
            return  # the one who asked was killed


@contextmanager
def http_site() -> Iterator[Site]:
    """A site on a port of its own; `base` is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(base=f"http://127.0.0.1:{server.server_port}")
    server.site = site  # type: ignore[attr-defined]
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an empty S3-compatible server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_environment(address: str, secret: str, folder: Path) -> dict[str, str]:
    """What a user sets for a server of their own."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "none"),
    }
