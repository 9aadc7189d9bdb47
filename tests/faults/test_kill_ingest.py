"""kill -9 at any moment, run again: finished shards are not made again, and no byte differs in the end."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import hostile_makers, makers
from tests.makers import rng

ROOT = Path(__file__).parents[2]
WORKER = """
import sys
from pathlib import Path
from flows._local import carry_out
from tasks.ingest import step
from tests import makers
folder, out, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
params = makers.PARAMS[kind]().model_copy(update={"most_slide_pixels": 10**9})
print("begins", flush=True)
carry_out(step, lambda: step.prepare(folder, out, params, "test", "again"))
print("done", flush=True)
"""


def slides(folder: Path) -> Path:
    """A slide of 3 x 3 columns with an annotation, and a small one."""
    makers.slides_folder(folder, count=1)
    hostile_makers.write_huge(folder / "large.tif", 5000)
    shapes = [makers.feature("tumour", "Polygon", [makers.box(1000, 1000, 4500, 3000)])]
    makers.write_geojson(folder / "large.geojson", shapes)
    rows = [{"file": f"{n}.tif", "id": n, "mask": f"{n}.geojson"} for n in ("large", "s0")]
    makers.write_manifest(folder, rows)
    return folder


MAKERS = {
    "slides": slides,
    "frames": lambda folder: makers.frames_folder(folder, count=40),
    "crops": lambda folder: makers.crops_folder(folder, count=200),
}
KILLS = {"slides": 10, "frames": 5, "crops": 5}


class Run:
    """A process that ingests; `begun` when it has imported what it needs."""

    def __init__(self, folder: Path, out: Path, kind: str) -> None:
        command = [sys.executable, "-c", WORKER, str(folder), str(out), kind]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAWMILL_WORKERS": "2"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begins\n"
        self.begun = time.monotonic()

    def killed_after(self, seconds: float) -> bool:
        """Kill it at that age; False where it was done before."""
        try:
            self.process.wait(max(0.0, self.begun + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._close()
        return self.process.returncode == -signal.SIGKILL

    def completed(self) -> float:
        """Wait for its end; the seconds that it took."""
        assert self.process.wait(120) == 0
        self._close()
        return time.monotonic() - self.begun

    def _close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shards(content: Path) -> dict[str, tuple[int, int]]:
    """Number and time of change of each shard that has its name, by its place in the store."""
    if not content.is_dir():
        return {}
    found = {}
    for path in content.rglob("*"):
        if "/c/" in path.as_posix() and not path.name.endswith(".part"):
            known = path.stat()
            if path.is_file():
                found[path.relative_to(content).as_posix()] = (known.st_ino, known.st_mtime_ns)
    return found


def staged(out: Path) -> dict[str, tuple[int, int]]:
    """The shards that are finished now, in the staging place or in the store itself."""
    places = [*out.parent.glob(f".{out.name}.staging-*/content"), out]
    return next((found for place in places if (found := shards(place))), {})


def shares(kills: int) -> Iterator[tuple[bool, float]]:
    """Moments without end, as a share of an undisturbed run, and whether a fresh one is killed: each fifth is, in its
    last tenth; the others are killed early and again, so that one ingest is killed several times."""
    for number, share in enumerate(rng(7).uniform(0, 1, 4 * kills).tolist()):
        late = number % 5 == 4
        yield late, 0.9 + 0.1 * share if late else 0.8 * share


@dataclass
class Ingest:
    """One that is killed and run again until it is done; `kept` counts shards that were there when it was run again."""

    folder: Path
    out: Path
    kind: str
    before: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: int = 0

    def kill(self, seconds: float) -> bool:
        """Run it and kill it at that age; False where it was done before. What had been finished is as it was."""
        killed = Run(self.folder, self.out, self.kind).killed_after(seconds)
        now = staged(self.out)
        assert self.before.items() <= now.items()
        self.kept, self.before = self.kept + len(self.before), now
        return killed

    def complete(self, wanted: dict[str, str]) -> None:
        """Run it to its end: the same bytes as undisturbed, nothing beside them, and no shard made again."""
        Run(self.folder, self.out, self.kind).completed()
        assert self.before.items() <= shards(self.out).items()
        made = digests(self.out)
        assert {name for name in {*made, *wanted} if made.get(name) != wanted.get(name)} == set()
        assert [path.name for path in self.out.parent.iterdir()] == ["o.zarr"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KILLS))
def test_killed_at_any_moment_and_run_again(tmp_path: Path, kind: str) -> None:
    folder, calm = MAKERS[kind](tmp_path / "in"), tmp_path / "calm" / "o.zarr"
    whole = Run(folder, calm, kind).completed()
    wanted, killed, moments = digests(calm), 0, shares(KILLS[kind])
    one, kept = Ingest(folder, tmp_path / "0" / "o.zarr", kind), 0
    while killed < KILLS[kind]:
        fresh, share = next(moments)
        if (fresh and one.before) or one.out.exists():
            one.complete(wanted)
            kept, one = kept + one.kept, Ingest(folder, tmp_path / str(killed) / "o.zarr", kind)
            shutil.rmtree(tmp_path / str(killed), ignore_errors=True)
        killed += one.kill(share * whole)
    one.complete(wanted)
    assert kind == "crops" or kept + one.kept > 0  # a few crops are one shard or four, and seldom met half done
