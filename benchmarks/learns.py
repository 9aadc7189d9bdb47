"""Does the synthesis learn tissue? One command from a slide to a table of figures and a picture.

    RAWMILL_REAL_DATA=FOLDER python -m benchmarks.learns --out WORK            # the real slide
    python -m benchmarks.learns --dataset sample --out WORK                    # the embedded sample, trained long
    python -m benchmarks.learns --small --out WORK                             # seconds; figures mean nothing

All goes through the project's own steps with params.yaml and what benchmarks/learns.yaml changes in it. Run again with
the same `--out`, it goes on where it was stopped. Beside the models stand figures.json, figures.md and picture.jpg.
Costs are core seconds of this process, which another load on the machine does not change, summed over interrupted runs
as far as these could still write them down.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("RAWMILL_WORKERS", "1")

import torch  # noqa: E402
import yaml  # noqa: E402

from benchmarks import learns_report, learns_slide  # noqa: E402
from flows._local import carry_out  # noqa: E402
from tasks.acquire import step as acquire_step  # noqa: E402
from tasks.acquire.params import SlidesParams  # noqa: E402
from tasks.evaluation import encoder_step, segmenter_step  # noqa: E402
from tasks.evaluation import step as evaluate_step  # noqa: E402
from tasks.evaluation.params import EncoderParams, EvaluateParams, SegmenterParams  # noqa: E402
from tasks.ingest import step as ingest_step  # noqa: E402
from tasks.ingest.params import IngestParams  # noqa: E402
from tasks.lineage.digest import RECIPE  # noqa: E402
from tasks.params import parse  # noqa: E402
from tasks.synthesis import autoencoder_step, denoiser_step  # noqa: E402
from tasks.synthesis import step as synthesise_step  # noqa: E402
from tasks.synthesis.params import AutoencoderParams, DenoiserParams, SynthesiseParams  # noqa: E402

ROOT = Path(__file__).parents[1]
AGAIN = "python -m benchmarks.learns"
Values = dict[str, Any]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Values:
    """`base` with `changes`, mapping by mapping; anything else in `changes` replaces what is there."""
    found = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def settings(dataset: str, small: bool) -> Values:
    """params.yaml with what `dataset` and `small` change; its section `ingest` is that of the slides alone."""
    base = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load((ROOT / "benchmarks" / "learns.yaml").read_text(encoding="utf-8"))
    found = merged({**base, "ingest": base["ingest"]["slides"]}, changes[dataset])
    found = merged(found, changes["small"]) if small else found
    return {**found, "canvas": merged(found["synthesise"], found["canvas"])}


class Clock:
    """Core and wall seconds of each stage, kept in a file, so that a resumed run adds to them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, dict[str, float]] = json.loads(path.read_bytes()) if path.exists() else {}

    def stage(self, name: str, out: Path, work: Callable[[], Any]) -> None:
        """Do `work` and add what it took, also where it fails; nothing where it only found `out` made already."""
        before, core, wall = recipe_of(out), time.process_time(), time.monotonic()
        try:
            work()
        finally:
            if before is None or recipe_of(out) != before:
                taken = {"core_s": time.process_time() - core, "wall_s": time.monotonic() - wall}
                self._add(name, {} if before else self.seconds.get(name, {}), taken)

    def _add(self, name: str, earlier: Mapping[str, float], taken: Mapping[str, float]) -> None:
        self.seconds[name] = {key: round(earlier.get(key, 0.0) + value, 1) for key, value in taken.items()}
        self.path.write_text(json.dumps(self.seconds, indent=2))
        print(f"{name:12}{taken['core_s']:9.1f} core s{taken['wall_s']:9.1f} s", flush=True)


def recipe_of(out: Path) -> bytes | None:
    """The recipe of what is at `out`, None where nothing is."""
    path = out / RECIPE
    return path.read_bytes() if path.exists() else None


def slides(out: Path, values: Values, clock: Clock, dataset: str) -> None:
    """Sources and the raw store of the slides."""
    sources, store = out / "sources", out / "raw" / "slides.zarr"
    clock.stage("sources", sources, lambda: _sources(sources, values, dataset))
    ingest = parse(IngestParams, values["ingest"], "ingest")
    job = lambda: ingest_step.prepare(sources, store, ingest, dataset, AGAIN)  # noqa: E731
    clock.stage("ingest", store, lambda: carry_out(ingest_step, job))


def _sources(folder: Path, values: Values, dataset: str) -> None:
    """The real slide's bands and labels, moved into place whole, or the drawn slides of the embedded sample."""
    if dataset == "sample":
        params = parse(SlidesParams, values["acquire"]["slides"], "acquire.slides")
        carry_out(acquire_step, lambda: acquire_step.prepare(folder, params, "slides"))
        return
    if (folder / "manifest.csv").exists():
        return
    slide = Path(os.environ["RAWMILL_REAL_DATA"]) / values["slide"]
    rule = parse(learns_slide.LabelParams, values["label"], "label")
    part = folder.with_name(f".{folder.name}.part")
    learns_slide.cut(slide, part, parse(learns_slide.CutParams, values["cut"], "cut"), rule)
    part.replace(folder)


def models(out: Path, values: Values, clock: Clock) -> None:
    """The instruments, then the models of the synthesis."""
    store, folder = out / "raw" / "slides.zarr", out / "models"
    encoder = parse(EncoderParams, values["encoder"], "encoder")
    segmenter = parse(SegmenterParams, values["segmenter"], "segmenter")
    codec = parse(AutoencoderParams, values["train"]["autoencoder"], "train.autoencoder")
    denoiser = parse(DenoiserParams, values["train"]["denoiser"], "train.denoiser")
    jobs = {
        "encoder": (encoder_step, lambda to: encoder_step.prepare(store, to, encoder)),
        "segmenter": (segmenter_step, lambda to: segmenter_step.prepare(store, to, segmenter)),
        "autoencoder": (autoencoder_step, lambda to: autoencoder_step.prepare(store, to, codec)),
        "denoiser": (denoiser_step, lambda to: denoiser_step.prepare(store, folder / "autoencoder", to, denoiser)),
    }
    for name, (step, prepare) in jobs.items():
        to = folder / name
        clock.stage(name, to, lambda step=step, prepare=prepare, to=to: carry_out(step, lambda: prepare(to)))


def corpora(out: Path, values: Values, clock: Clock) -> None:
    """The corpus that is judged, the one large canvas, and the judgement."""
    for name, section in (("tissue", "synthesise"), ("canvas", "canvas")):
        params = parse(SynthesiseParams, values[section], section)
        to = out / "synthetic" / f"{name}.zarr"
        job = lambda to=to, params=params, name=name: synthesise_step.prepare(  # noqa: E731
            out / "models", to, params, name, AGAIN
        )
        clock.stage(section, to, lambda job=job: carry_out(synthesise_step, job))
    judged = parse(EvaluateParams, values["evaluate"], "evaluate")
    places = [out / "synthetic" / "tissue.zarr", out / "raw" / "slides.zarr"]
    places += [out / "models" / name for name in ("encoder", "segmenter")]
    to = out / "reports" / "evaluation"
    clock.stage("evaluate", to, lambda: carry_out(evaluate_step, lambda: evaluate_step.prepare(*places, to, judged)))


def main() -> None:
    """Parse the command line and carry all stages out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--dataset", choices=("real", "sample"), default="real")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that the clock is written down
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    values, clock = settings(arguments.dataset, arguments.small), Clock(out / "seconds.json")
    slides(out, values, clock, arguments.dataset)
    models(out, values, clock)
    corpora(out, values, clock)
    print(learns_report.write(out, clock.seconds))


if __name__ == "__main__":
    main()
