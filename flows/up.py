"""`make up`: a Prefect server, a worker with the deployments of prefect.yaml, and the MLflow UI, on loopback.

Ends all of them together on Ctrl-C, or when one of them ends.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from flows._server import HOME, await_api, environment, prefect, start, stop

POOL = "rawmill"


def mlflow_ui(port: int) -> list[str]:
    """The MLflow UI over the store that `tasks.tracking` writes."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///data/mlflow/mlflow.db")
    Path("data/mlflow").mkdir(parents=True, exist_ok=True)
    options = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "ui", *options]


def deploy(env: dict[str, str]) -> None:
    """Make the work pool and the deployments of prefect.yaml; both may be there already."""
    subprocess.run(prefect("work-pool", "create", POOL, "--type", "process", "--overwrite"), env=env, check=True)
    subprocess.run(prefect("deploy", "--all"), env=env, check=True)


def up(prefect_port: int, mlflow_port: int | None) -> None:
    """Start everything, say where it is, and wait for the first process that ends."""
    url = f"http://127.0.0.1:{prefect_port}/api"
    env = {**environment(url), "PWD": str(Path.cwd())}  # prefect.yaml names the project's folder by it
    HOME.mkdir(exist_ok=True)
    address = ["--host", "127.0.0.1", "--port", str(prefect_port)]
    processes = [start(prefect("server", "start", *address), "server", env)]
    try:
        await_api(processes[0], url)
        deploy(env)
        processes.append(start(prefect("worker", "start", "--pool", POOL), "worker", env))
        print(f"Prefect  http://127.0.0.1:{prefect_port}   (PREFECT_API_URL={url})", flush=True)
        if mlflow_port is not None:
            processes.append(start(mlflow_ui(mlflow_port), "mlflow", env))
            print(f"MLflow   http://127.0.0.1:{mlflow_port}", flush=True)
        print("Ctrl-C ends them; their logs are in .prefect/", flush=True)
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        raise SystemExit("a process ended; see the logs in .prefect/")
    finally:
        stop(processes)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Read the ports and bring everything up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefect-port", type=int, default=4200)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--no-mlflow", action="store_true", help="leave the MLflow UI out")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        up(options.prefect_port, None if options.no_mlflow else options.mlflow_port)
    except KeyboardInterrupt:
        print("ended")


if __name__ == "__main__":
    main()
