"""What can go wrong with a file elsewhere, in one line that names no secret: see tasks/ingest/elsewhere/remote.py.

Libraries hide the cause behind the error that they raise (fsspec turns every refusal of an HTTP server into "file
not found"), so the whole chain of causes is looked at.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import InputError, RawmillError, fault

AGAIN = "run it again to go on where it stopped"
ACCESS = "give credentials by the environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, FSSPEC_S3_ANON=1, …) or ~/.netrc"
FORBIDDEN = ("forbidden", "a file that you may read", ACCESS)
ABSENT = ("not there", "a file", "mend the URI or leave it out")
UNREACHABLE = ("its server cannot be reached", "a server that answers", "mend the host or the network and run again")
BROKEN = ("the connection broke", "all of the file", AGAIN)
BY_STATUS = {401: FORBIDDEN, 403: FORBIDDEN, 404: ABSENT, 410: ABSENT}
BY_NAME = {
    "NoCredentialsError": ("no credentials", "some, or a public file", ACCESS),
    "PartialCredentialsError": ("half of the credentials", "key and secret", ACCESS),
    "FileExpired": ("changed while it was fetched", "a file at rest", AGAIN),
    "ClientConnectorCertificateError": ("its certificate is not trusted", "a trusted one", "set SSL_CERT_FILE"),
    "ClientConnectorError": UNREACHABLE,
    "ClientConnectorDNSError": UNREACHABLE,
    "EndpointConnectionError": UNREACHABLE,
    "ConnectTimeoutError": UNREACHABLE,
    "ServerDisconnectedError": BROKEN,
    "ClientPayloadError": BROKEN,
    "IncompleteReadError": BROKEN,
}
"""By the names of classes, so that no protocol's library is imported for its errors."""

Parts = tuple[str, str, str]


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn what a protocol's library raises into one `InputError` line about `uri`.

    Our own errors and plain bugs (`TypeError`, …) pass as they are.
    """
    try:
        yield
    except RawmillError:
        raise
    except ImportError:
        remedy = "install the fsspec package of this protocol (gcsfs, adlfs, …) or copy the file here"
        raise InputError(fault(uri, "a protocol that is not installed", "s3, https, …", remedy)) from None
    except (TypeError, AttributeError, LookupError, AssertionError):
        raise
    except Exception as error:
        raise InputError(fault(uri, *_parts(error))) from None


def _parts(error: BaseException) -> Parts:
    """What is wrong, what was expected, what to do."""
    chain = list(_causes(error))
    for cause in chain:
        status = getattr(cause, "status", None)
        if isinstance(status, int) and status >= 400:
            return BY_STATUS.get(status, (f"its server answers {status}", "the file", "try again later"))
    for cause in chain:
        if type(cause).__name__ in BY_NAME:
            return BY_NAME[type(cause).__name__]
    for kind, parts in _KINDS:
        if any(isinstance(cause, kind) for cause in chain):
            return parts
    return f"it cannot be read ({type(error).__name__})", "the file", AGAIN


_KINDS: tuple[tuple[type[BaseException], Parts], ...] = (
    (ssl.SSLError, ("its certificate is not trusted", "a trusted one", "set SSL_CERT_FILE or AWS_CA_BUNDLE")),
    (TimeoutError, ("its server stopped answering", "all of the file", AGAIN)),
    (ConnectionError, BROKEN),
    (PermissionError, FORBIDDEN),
    (FileNotFoundError, ABSENT),
)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
