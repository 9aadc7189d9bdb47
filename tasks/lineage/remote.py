"""Source files that were fetched from elsewhere: digested where they are, in constant memory."""

import hashlib

BLOCK_BYTES = 1 << 20


class Unreachable(Exception):
    """What is behind a URI cannot be read to its end; the message says why."""


def digest_uri(uri: str) -> tuple[str, int]:
    """(SHA-256, size in bytes) of what fsspec finds at `uri` (`https://`, `s3://`, …). Raises `Unreachable`."""
    import fsspec  # only where a source is really far away

    if "::" in uri:
        raise Unreachable("a chain of file systems, not one place")
    whole, size = hashlib.sha256(), 0
    try:
        with fsspec.open(uri, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                whole.update(block)
                size += len(block)
    except Exception as error:  # whatever a remote store or its client can raise
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    return whole.hexdigest(), size
