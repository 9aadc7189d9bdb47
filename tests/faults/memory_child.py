"""Ingests one slide as the command does and prints the most memory that this process held, in MB.

`python -m tests.faults.memory_child SLIDE OUT`
"""

import re
import sys
from pathlib import Path

from flows._local import carry_out
from tasks.ingest import step
from tasks.ingest.params import IngestParams
from tasks.params import load

PARAMS = Path(__file__).parents[2] / "params.yaml"


def peak_mb() -> float:
    """The most memory that this process held. Its ru_maxrss would hold its parent's too, from which it was forked."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def main(slide: Path, out: Path) -> None:
    params = load(PARAMS, "ingest.files", IngestParams)
    carry_out(step, lambda: step.prepare_files([slide], out, params, None, {}))
    print(peak_mb())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
