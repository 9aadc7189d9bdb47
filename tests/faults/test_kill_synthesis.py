"""kill -9 during mask, sampling and decode, run again: no byte of the store differs from that of an undisturbed run."""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import synthetic_models
from tests.makers import rng

ROOT = Path(__file__).parents[2]
STEPS, SIZE, COUNT = 6, (90, 100), 2


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return synthetic_models.train(tmp_path_factory.mktemp("kills"))


@pytest.fixture
def server(monkeypatch) -> Any:
    """Starts processes that have imported all they need: a kill costs no seconds of imports."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RAWMILL_WORKERS", "2")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._inductor.config", "flows._local", "tests.synthetic_models"])
    return context


def started(server: Any, models: Path, out: Path, record: bool) -> Any:
    other = {"solver": "dpm_solver_pp", "law": "grid"} if record else {}
    given = (models, out, COUNT, SIZE, {"steps": STEPS, "record": record, "batch_windows": 4, **other})
    process = server.Process(target=synthetic_models.synthesise, args=given)
    process.start()
    return process


def staged(out: Path, pattern: str) -> list[Path]:
    return sorted(out.parent.glob(f".{out.name}.staging-*/{pattern}"))


def steps_done(out: Path) -> int:
    """Of both samples together; a sample that is finished has taken all of them."""
    states = [int(json.loads(path.read_bytes())["done"]) for path in staged(out, "scratch/*/state.json")]
    return sum(states) + STEPS * len(staged(out, "done/*.json"))


def moments(out: Path, record: bool) -> list[tuple[str, Callable[[], object]]]:
    """Moments of a run, in their order: names, and what is true from then on."""
    steps = [(f"step {n}", lambda n=n: steps_done(out) >= n) for n in range(1, COUNT * STEPS, 2)]
    kept = [("trajectory", lambda: staged(out, "content/samples/*/trajectory/zarr.json"))] if record else []
    return [
        ("laid out", lambda: staged(out, "ready")),
        ("mask", lambda: staged(out, "content/samples/*/labels/mask/0/c/0/*")),
        ("canvas", lambda: staged(out, "scratch/*/told.f32")),
        *steps,
        ("decode", lambda: staged(out, "content/samples/*/0/c/0/0/*")),
        *kept,
        ("a sample", lambda: staged(out, "done/*.json")),
    ]


def killed(process: Any, reached: Callable[[], object], delay_s: float) -> bool:
    """Kill it a little after a moment is reached; False where it was done before."""
    while process.is_alive() and not reached():
        time.sleep(0.001)
    process.join(delay_s)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("record", [False, True])
def test_killed_at_every_stage_and_run_again(server, models: Path, tmp_path: Path, record: bool) -> None:
    calm, out = models.parent / f"calm-{record}" / "k.zarr", models.parent / f"killed-{record}" / "k.zarr"
    process = started(server, models, calm, record)
    process.join()
    assert process.exitcode == 0
    kills, delays = [], rng(7).uniform(0, 0.02, 20).tolist()
    for (name, reached), delay in zip(moments(out, record), delays, strict=False):
        before = steps_done(out)
        kills += [name] * killed(started(server, models, out, record), reached, delay)
        assert not out.exists(), name
        assert steps_done(out) >= before, "what was done is not done again"
    assert len(kills) >= 10, kills
    process = started(server, models, out, record)
    process.join()
    assert process.exitcode == 0
    assert digests(out) == digests(calm)
    assert [path.name for path in out.parent.iterdir()] == ["k.zarr"]
