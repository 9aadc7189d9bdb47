"""What a large canvas costs by each way to sample it, with the same network, steps and noise, in one run.

    python -m benchmarks.synthesis --model data/models

* `reference`: thesis A, algorithm 2, as published: one window after the other, 2 L - 1 forwards each for L labels;
* `sliding`: half-overlapping windows from the centre outwards, each through all steps (RePaint's replacement);
* `diffcollage`: Zhang et al. 2023, windows less their overlaps in every step;
* `random`: ours, the thesis's law, windows in batches; the whole one-hot mask in 2 forwards a window;
* `grid`: ours, the shifted grid; `limit`: one forward for each tile of the least cover, in batches.

The tile minimum in the table is that cover with the forwards that guidance needs, 2 a window.

Without --model the network is the sample's with drawn weights: costs are the same, but seams mean nothing. Each runs
in a process of its own; times are of the sampling alone, peak memory (VmHWM) is the process's before any decoding,
`+MB` what sampling added to it. Forwards are counted in the network, weighed by the window's pixels. Baselines hold the
canvas in memory, ours in files. `s` is wall time, `cpu s` that of all threads; on a machine that does other work only
the second can be compared. Seams: mean gradient across window borders of the last step over that elsewhere on the
decoded image, 95 % interval of the bootstrap; `decode` the same across the borders of the decoder's windows, `one
piece` at the same places where the canvas is decoded in one piece.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, str(len(os.sched_getaffinity(0))))
ROOT = Path(__file__).parents[1]
CONTESTANTS = ("reference", "sliding", "diffcollage", "random", "grid", "limit")
COUNTED_PX = (1024, 2048, 4096, 8192, 16384)
PUBLISHED = {1024: 7.9, 2048: 35.7, 4096: 143.0, 8192: 574.0}
"""Windows a step of the published code (512 px windows), measured; FACTS.md."""


def run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one contestant in a process of its own; the fastest of `repeats`. Exits where it fails."""
    runs = []
    for _ in range(1 if name == "reference" else arguments.repeats):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            command = [sys.executable, "-m", "benchmarks.synthesis_contestants", name, "--scratch", scratch]
            for key in ("canvas_px", "steps", "guidance", "batch", *(["model"] if arguments.model else [])):
                command += [f"--{key.replace('_', '-')}", str(getattr(arguments, key))]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name} failed with exit code {done.returncode}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return dict(min(runs, key=lambda one: float(one["seconds"])))


def table(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run the contestants and print a line each."""
    print(
        f"{'':12}{'windows':>9}{'forwards':>10}{'x tile':>8}{'s':>9}{'cpu s':>9}{'peak MB':>9}{'+MB':>7}"
        "  seams, decode, one piece"
    )
    print(f"{'':12}{'a step':>9}{'a px,step':>10}{'minimum':>8}", flush=True)
    found = {}
    for name in arguments.only or CONTESTANTS:
        one = found[name] = run(name, arguments)
        print(
            f"{name:12}{one['windows_per_step']:9.1f}{one['forwards_per_px']:10.2f}{one['times_tile_minimum']:8.2f}"
            f"{one['seconds']:9.2f}{one['cpu_s']:9.2f}{one['peak_mb']:9.0f}{one['added_mb']:7.0f}"
            f"  {_seam(one['seam'])}, {_seam(one['decode_seam'])}, {_seam(one['one_piece_seam'])}",
            flush=True,
        )
    return found


def _seam(values: list[float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*values)


def ratios(found: dict[str, dict[str, Any]]) -> None:
    """What is aimed at: tile minimum within 1.15, half the reference's forwards, twice its speed on two cores."""
    for name in ("random", "grid"):
        for other in ("reference", "sliding", "diffcollage", "limit"):
            if name in found and other in found:
                times = {key: found[other][key] / found[name][key] for key in ("forwards_per_px", "seconds", "cpu_s")}
                print("{} against {}: {forwards_per_px:.2f}x fewer forwards, {seconds:.2f}x as fast, "
                      "{cpu_s:.2f}x less processor time".format(name, other, **times))  # fmt: skip


def counts(largest_px: int) -> dict[int, dict[str, float]]:
    """Windows of 512 px a step (in latents of factor 8) by each way to place them; a line for each canvas."""
    from benchmarks.synthesis_contestants import placed

    print("windows of 512 px a step; in brackets DiffCollage's pieces by their pixels, in windows")
    found = {}
    for side in (n for n in COUNTED_PX if n <= largest_px):
        one = found[side] = placed(side // 8, 64, 16 if side <= 2048 else 4 if side <= 8192 else 2)
        published = f"{PUBLISHED[side]:.1f}" if side in PUBLISHED else "-"
        print("  {:6} px: least {least:5.0f}  grid {grid:7.1f}  random {random:7.1f}  published {:>5}  sliding "
              "{sliding:6.0f}  diffcollage {diffcollage:6.0f} ({diffcollage_windows:.1f})"
              .format(side, published, **one), flush=True)  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder with a trained autoencoder and denoiser")
    parser.add_argument(
        "--canvas-px", type=int, default=1024, help="side of the canvas; the sample's windows are 128 px"
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=16, help="windows at a time, but for the reference")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each but the reference; the fastest counts")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--small", action="store_true", help="a smoke test of seconds; its figures mean nothing")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--scratch", type=Path, help="where canvases in files lie")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.canvas_px, arguments.steps = 256, 2
    arguments.model = arguments.model and arguments.model.resolve()
    counted = counts(1024 if arguments.small else max(COUNTED_PX))
    print(f"{arguments.canvas_px} x {arguments.canvas_px} px, {arguments.steps} steps, w = {arguments.guidance}, "
          f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    found = table(arguments)
    ratios(found)
    if arguments.json:
        figures = {"contestants": found, "windows": counted}
        arguments.json.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
