"""Files at `s3://`, `https://`, `gs://`, … (any fsspec protocol), fetched whole before they are ingested.

A file comes into a part file and is renamed when all of it is there and the server still says what it said before.
Beside it `<name>.fetched.json` holds its URI, size, the server's stamp (ETag, Last-Modified, …) and SHA-256: what is
unchanged on both sides is not fetched again, and a broken fetch goes on where it stopped.

Secrets: a URI with a user or a password is refused, for URIs stand in recipes. The query of an http(s) URI, where
presigned links hold theirs, is used and then forgotten: it is neither recorded nor shown. Words of libraries are
never passed on, since they hold whole URLs.
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from tasks.disk import storage_faults
from tasks.errors import InputError, StoreError, fault
from tasks.ingest.elsewhere import fetched, remote_faults
from tasks.ingest.manifest import safe_id, split_name
from tasks.lock import Busy, locked

CHUNK_BYTES = 8 << 20
"""Read at a time: what a fetch holds in memory, whatever the file's size."""
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
MAGIC = re.compile(r"[*?\[]")
HTTP = ("http", "https")
WRAPPERS = frozenset(
    {"async_wrapper", "asyncwrapper", "blockcache", "cached", "data", "dir", "filecache", "generic", "libarchive"}
    | {"reference", "simplecache", "tar", "zip"}
)
"""fsspec's protocols that look into other files: archives are not opened, and caches not needed."""
STAMPS = (
    *("ETag", "etag", "VersionId", "Content-MD5", "md5Hash", "crc32c", "Last-Modified", "LastModified"),
    *("last_modified", "updated", "modified", "modify", "mtime"),
)
"""Words by which file systems say that a file is another than before."""

Tell = Callable[[int, int | None], None]
"""Told how many bytes have come, and the size of the file where it is known."""


@dataclass(frozen=True)
class Remote:
    """One file: `uri` is what is recorded and shown, `path` what its file system `fs` opens (with its query)."""

    uri: str
    path: str
    fs: Any

    def ask(self) -> tuple[int | None, str]:
        """(size in bytes, stamp) as the server says now; the stamp is empty where it gives none."""
        info: Mapping[str, Any] = self.fs.info(self.path)
        if info["type"] != "file":
            raise InputError(fault(self.uri, f"a {info['type']}", "a file", "name the files in it, e.g. by /*.svs"))
        stamp = ", ".join(f"{key} {info[key]}" for key in STAMPS if info.get(key))
        return info["size"], stamp


def is_uri(text: str) -> bool:
    """Whether `text` names a file by `protocol://`."""
    return URI.match(text) is not None


def recorded(uri: str) -> str:
    """`uri` as it may stand in recipes and messages: without the query and fragment of http(s)."""
    return re.split(r"[?#]", uri, maxsplit=1)[0] if uri.lower().startswith(HTTP) else uri


def fetch(uris: Sequence[str], folder: Path) -> tuple[dict[str, Path], list[InputError]]:
    """Copy what is at `uris` into `folder`; (file by recorded URI, one fault for each that could not be had).

    Patterns (`s3://bucket/*.svs`) give all files that match. A file has the URI's own name; where two would have
    the same, each gets 8 hex digits of the URI without its ending, so that an annotation stays with its picture.
    A folder into which nothing came is removed. Raises `StoreError` where `folder` cannot be or is being written.
    """
    faults: list[InputError] = []
    found = _distinct(_found(uris, faults), faults)
    if not found:
        return {}, faults
    with storage_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / ".fetching"):
            files = _fetch_all(found, folder, faults)
        with suppress(OSError):  # what came stays, an empty folder does not
            folder.rmdir()
        return files, faults
    except Busy:
        remedy = "wait for it, or choose another --out"
        raise StoreError(fault(folder, "another process fetches into it", "one at a time", remedy)) from None


def _fetch_all(found: Sequence[Remote], folder: Path, faults: list[InputError]) -> dict[str, Path]:
    files = {}
    names = _names([remote.uri for remote in found], folder)
    for remote, tell in _shown(found):
        try:
            with remote_faults.told(remote.uri):
                _fetch(remote, folder / names[remote.uri], tell)
                files[remote.uri] = folder / names[remote.uri]
        except InputError as error:
            faults.append(error)
    return files


def _found(uris: Sequence[str], faults: list[InputError]) -> Iterator[Remote]:
    """All files that `uris` name, patterns expanded."""
    systems: dict[str, Any] = {}
    for uri in uris:
        try:
            _check(uri)
            with remote_faults.told(recorded(uri)):
                yield from _expanded(uri, systems)
        except InputError as error:
            faults.append(error)


def _check(uri: str) -> None:
    """Raise `InputError` for what must not or cannot be fetched, before anything is sent."""
    import fsspec

    protocol, rest = uri.split("://", 1)
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    shown = f"{protocol}://…"
    if ":" in protocol or protocol.lower() in WRAPPERS or "::" in re.sub(r"\[.*\]", "", rest):
        remedy = "fetch and unpack it yourself, then name the files"
        raise InputError(fault(shown, "a file inside of another", "a file of its own", remedy))
    odd_port = ":" in re.sub(r"\[.*\]|:\d*$", "", place) and not place.startswith("arn:")
    if "@" in place or odd_port:
        remedy = "give them by the environment or ~/.netrc, see docs/published-datasets.md"
        raise InputError(fault(shown, "a user or a password in the URI", "a URI without", remedy))
    if protocol.lower() not in fsspec.available_protocols():
        raise InputError(fault(recorded(uri), f"the protocol {protocol}", "s3, https, gs, …", "copy the file here"))
    if protocol.lower() in HTTP and MAGIC.search(recorded(uri)):
        raise InputError(fault(recorded(uri), "a pattern, but http cannot list", "one file", "name each file"))


def _expanded(uri: str, systems: dict[str, Any]) -> Iterator[Remote]:
    """The one file at `uri`, or all that match it as a pattern. Raises `InputError` where none does."""
    fs, path = _opened_system(uri, systems)
    if isinstance(path, str) and fs.protocol != HTTP and MAGIC.search(path) and not fs.exists(path):
        names = sorted(name for name, info in fs.glob(path, detail=True).items() if info["type"] == "file")
        if not names:
            raise InputError(fault(uri, "no file matches", "at least one", "mend the pattern"))
        before = uri.removesuffix(path) if uri.endswith(path) else f"{uri.split('://', 1)[0]}://"
        yield from (Remote(before + name, name, fs) for name in names)
    else:
        yield Remote(recorded(uri), path, fs)


def _opened_system(uri: str, systems: dict[str, Any]) -> tuple[Any, str]:
    """The file system of `uri`, one for each host or bucket, and the path that it opens."""
    import aiohttp
    from fsspec.core import url_to_fs

    split = urlsplit(uri)
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if split.scheme in HTTP:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=60)
        options["client_kwargs"] = {"trust_env": True, "timeout": timeout}  # proxies, .netrc
        options["headers"] = {"Accept-Encoding": "identity"}  # the file's bytes, not a packed copy
    elif split.scheme in ("s3", "s3a"):
        options["config_kwargs"] = {"retries": {"max_attempts": 1}}  # s3fs tries again itself
    key = f"{split.scheme}://{split.netloc}"
    if key not in systems:
        systems[key] = url_to_fs(uri, **options)[0]
    return systems[key], systems[key]._strip_protocol(uri)


def _distinct(remotes: Iterable[Remote], faults: list[InputError]) -> list[Remote]:
    """Each file once, sorted by URI; two links that differ in the forgotten query alone are a fault."""
    known: dict[str, Remote] = {}
    for remote in remotes:
        if known.setdefault(remote.uri, remote).path != remote.path:
            wrong = "named twice with different queries, which are not recorded"
            faults.append(InputError(fault(remote.uri, wrong, "one", "ingest them apart")))
    return [known[uri] for uri in sorted(known)]


def _names(uris: Sequence[str], folder: Path) -> dict[str, str]:
    """A safe file name for each URI; the same stem from two places is told apart by a digest."""
    split = {uri: _split_name(uri) for uri in uris}
    places = Counter(stem for stem, _ in {(split[uri][0], _place(uri)) for uri in uris})
    names = {}
    for uri, (stem, ending) in split.items():
        known = fetched.read(folder / f"{stem}{ending}").get("uri", uri)
        alone = places[stem] == 1 and known == uri
        names[uri] = f"{stem}{ending}" if alone else f"{stem}-{_digest(_place(uri))[:8]}{ending}"
    return names


def _place(uri: str) -> str:
    """`uri` without what a picture and its annotation have after the name of the picture."""
    folder, _, name = uri.rpartition("/")
    return f"{folder}/{split_name(Path(name))[0]}"


def _split_name(uri: str) -> tuple[str, str]:
    stem, ending = split_name(Path(unquote(uri.rsplit("/", 1)[1]) or "file"))
    return safe_id(stem), re.sub(r"[^A-Za-z0-9._-]", "", ending)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _shown(found: Sequence[Remote]) -> Iterator[tuple[Remote, Tell]]:
    """Each remote file with the function that moves its bar, on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        for number, remote in enumerate(found, start=1):
            bar = progress.add_task(f"fetch {number}/{len(found)} {remote.uri.rsplit('/', 1)[1]}", total=None)
            yield remote, lambda count, size, bar=bar: progress.update(bar, advance=count, total=size)  # type: ignore[misc]
            progress.remove_task(bar)


def _fetch(remote: Remote, target: Path, tell: Tell) -> None:
    """Bring `remote` to `target`, unless it is there and unchanged."""
    size, stamp = remote.ask()
    notes = {"uri": remote.uri, "size": size, "stamp": stamp}
    if stamp and fetched.is_there(target, notes):
        return
    part = target.with_name(f".{target.name}.part")
    if not stamp or fetched.read(part) != notes:
        with storage_faults(part):
            part.unlink(missing_ok=True)  # of another version, or nobody knows of which
    fetched.write(part, notes)
    digest = _download(remote, part, size, tell)
    if size is not None and part.stat().st_size != size:
        wrong, expected = f"{part.stat().st_size} bytes came", f"{size} bytes"
        raise InputError(fault(remote.uri, wrong, expected, remote_faults.AGAIN))
    if remote.ask() != (size, stamp):
        part.unlink()
        raise InputError(fault(remote.uri, "changed while it was fetched", "a file at rest", remote_faults.AGAIN))
    with storage_faults(target):
        part.replace(target)
        fetched.write(target, {**notes, "sha256": digest})
        fetched.beside(part).unlink()


def _download(remote: Remote, part: Path, size: int | None, tell: Tell) -> str:
    """Append to `part` what it lacks; the SHA-256 of the whole."""
    done = part.stat().st_size if part.is_file() else 0
    if size is None or done >= size:
        done = 0
    with _opened_at(remote, done, size) as (source, start), _appended(part, start) as (file, digest):
        tell(start, size)
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            with storage_faults(part):
                file.write(chunk)
                file.flush()  # what came outlives a killed process
            tell(len(chunk), size)
    return str(digest.hexdigest())


@contextmanager
def _appended(part: Path, start: int) -> Iterator[tuple[BinaryIO, Any]]:
    """`part` open after its first `start` bytes, what follows cut off, and the SHA-256 of those."""
    digest = hashlib.sha256()
    with ExitStack() as stack:
        with storage_faults(part):
            file: BinaryIO = stack.enter_context(part.open("r+b" if start else "wb"))
            for chunk in _chunks(file, start):
                digest.update(chunk)
            file.truncate()
        yield file, digest


def _chunks(file: BinaryIO, count: int) -> Iterator[bytes]:
    """The first `count` bytes of `file`, a chunk at a time."""
    while count > 0 and (chunk := file.read(min(CHUNK_BYTES, count))):
        yield chunk
        count -= len(chunk)


@contextmanager
def _opened_at(remote: Remote, done: int, size: int | None) -> Iterator[tuple[Any, int]]:
    """(stream, first byte that it gives): `done`, or 0 where the server cannot give a part."""
    if urlsplit(remote.uri).scheme in HTTP:
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
        with remote.fs.open(remote.path, "rb", block_size=0, size=size, headers=headers) as stream:
            given = stream.r.headers.get("Content-Range", "")
            if stream.r.status == 206 and not given.startswith(f"bytes {done}-"):
                raise InputError(fault(remote.uri, f"it sent {given}", f"from byte {done} on", remote_faults.AGAIN))
            yield stream, done if stream.r.status == 206 else 0
    else:
        with remote.fs.open(remote.path, "rb", block_size=CHUNK_BYTES, cache_type="none") as stream:
            stream.seek(done)
            yield stream, done
