"""Windows on a Dask cluster by address: the bytes of threads here, also when a worker dies; who is asked."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from tasks import store
from tasks.errors import InputError
from tasks.synthesis import cluster, step
from tasks.synthesis.params import SynthesiseParams

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def local():
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as found:
        yield found
    cluster._client.cache_clear()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def sample(models, params, out):
    job = step.prepare(models, out, params, "tissue", "again")
    step.process(job, "s00000")
    return store.open_array(job.content / "samples" / "s00000" / "0")[:]


@pytest.fixture
def params(synthesise_params: SynthesiseParams) -> SynthesiseParams:
    sampler = synthesise_params.sampler.model_copy(update={"batch_windows": 2})
    return synthesise_params.model_copy(update={"sampler": sampler, "sizes_px": ((150, 130),)})


def test_a_cluster_gives_the_bytes_of_threads_even_where_a_worker_dies(models, params, local, tmp_path, monkeypatch):
    expected = sample(models, params, tmp_path / "threads.zarr")
    monkeypatch.setenv("RAWMILL_DASK", local.scheduler_address)
    before = local.scheduler.transition_counter
    assert np.array_equal(sample(models, params, tmp_path / "cluster.zarr"), expected)
    assert local.scheduler.transition_counter > before, "the work was not where it was sent"
    monkeypatch.chdir(tmp_path)  # where the workers are not
    assert np.array_equal(sample(models, params, Path("relative.zarr")), expected)
    os.kill(local.workers[0].process.pid, signal.SIGKILL)
    assert np.array_equal(sample(models, params, tmp_path / "died.zarr"), expected)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("distributed.Client", lambda *a, **k: (_ for _ in ()).throw(OSError("timed out")))
    with pytest.raises(InputError, match="tcp://nowhere:1: no answer"):
        cluster._client("tcp://nowhere:1")


def test_what_is_no_address_is_one_line():
    with pytest.raises(InputError, match=r"foo: missing port number .*; expected a Dask scheduler") as caught:
        cluster._client("foo")
    assert "\n" not in str(caught.value)


def test_a_cluster_whose_workers_are_gone_is_one_line(models, monkeypatch):
    class Empty:
        def nthreads(self):
            return {}

    monkeypatch.setattr(cluster, "_client", lambda address: Empty())
    evaluate = cluster.on_cluster("tcp://a:1", cluster.Network(models / "denoiser", 0.0, "cpu"))
    with pytest.raises(InputError, match="tcp://a:1: no workers; expected at least one"):
        list(evaluate(None, [[]]))


def test_no_cluster_is_asked_unless_one_is_named_or_from_within_a_worker(local, monkeypatch):
    monkeypatch.delenv("RAWMILL_DASK", raising=False)
    assert cluster.address() is None
    monkeypatch.setenv("RAWMILL_DASK", local.scheduler_address)
    assert cluster.address() == local.scheduler_address
    inside = cluster._client(local.scheduler_address).submit(asked_inside, local.scheduler_address, pure=False)
    assert inside.result(timeout=60) is None


def asked_inside(scheduler):
    os.environ["RAWMILL_DASK"] = scheduler
    return cluster.address()
