"""Servers on loopback: one Prefect API for a whole `repro`, and what `make up` needs to start and end others."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect.logging.handlers import APILogHandler

from tasks.errors import ParamsError, fault

HOME = Path(".prefect")
START_LIMIT_S = 90


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """True when the API at `url` says that it is healthy."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def environment(url: str) -> dict[str, str]:
    """Variables for processes that report to the server at `url`."""
    return {
        **os.environ,
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(HOME.resolve()),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "rawmill",
    }


def prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *arguments]


def start(command: Sequence[str], name: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, with its output in `.prefect/<name>.log`."""
    with (HOME / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )


def await_api(server: subprocess.Popen[bytes], url: str) -> None:
    """Return when the API answers. Raises SystemExit when it has ended or is too slow."""
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(url):
        if server.poll() is not None:
            raise SystemExit(f"the Prefect server ended at once; see {HOME}/server.log")
        if time.monotonic() > deadline:
            raise SystemExit(f"the Prefect server did not start within {START_LIMIT_S} s; see {HOME}/server.log")
        time.sleep(0.2)


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End process groups, gently first."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def api_server() -> Iterator[str]:
    """The URL of a healthy API; a server started here ends with the block. Its history stays in `.prefect/`."""
    own = os.environ.get("PREFECT_API_URL")
    if own:
        if not answers(own):
            remedy = "start it, or unset the variable"
            raise ParamsError(fault("PREFECT_API_URL", f"no answer from {own}", "a healthy Prefect API", remedy))
        yield own
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    HOME.mkdir(exist_ok=True)
    server = start(prefect("server", "start", "--host", "127.0.0.1", "--port", str(port)), "server", environment(url))
    try:
        await_api(server, url)
        yield url
        APILogHandler().flush()  # this process's last lines, while the server still listens
    finally:
        stop([server])
