"""The same stage on a Dask cluster, by the address of its scheduler, gives the same bytes as threads do."""

import shutil
from pathlib import Path

import pytest
import yaml
from distributed import LocalCluster

from tasks.lineage import recipe
from tests import makers
from tests.flows.pruned import ROOT, run

OUT = "data/raw/drone.zarr"


@pytest.mark.slow
def test_a_cluster_by_address_gives_the_bytes_of_threads(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    makers.frames_folder(tmp_path / "data" / "sources" / "drone")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["ingest"]["drone"].update({"tile_sides_px": [32], "test_groups": 1, "folds": 2})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    digests = []
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        for variables in ({}, {"RAWMILL_DASK": cluster.scheduler_address}):
            done = run(ROOT, "flows.ingest", "drone", cwd=tmp_path, **variables)
            assert done.returncode == 0, done.stderr[-3000:]
            digests.append(recipe.digest_of(recipe.read(tmp_path / OUT)))
            shutil.rmtree(tmp_path / OUT)
            steps = cluster.scheduler.transition_counter
            assert (steps > 0) == bool(variables), "the work was not where it was sent"
    assert digests[0] == digests[1]
