"""What a call of `rawmill train` says, the parts that it makes in turn, and the commands that make each again."""

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows._brought import params_words, seen_from

if TYPE_CHECKING:
    from tasks.output import Job
    from tasks.synthesis.mask_params import MaskDenoiserParams
    from tasks.synthesis.params import AutoencoderParams, DenoiserParams

PARTS = ("autoencoder", "mask_denoiser", "denoiser")
"""In the order of their need."""


@dataclass(frozen=True)
class Options:
    """What the command line says about the training; None where the params do."""

    steps: Mapping[str, int | None]
    """By part."""
    batch: int | None
    device: str | None
    processes: int | None
    unconditional: bool
    kind: str | None
    classes: str | None

    def fit(self, part: str) -> dict[str, Any]:
        """What is said about how the weights of `part` are fitted."""
        fit = {"steps": self.steps[part], "batch": self.batch, "device": self.device, "processes": self.processes}
        return {name: value for name, value in fit.items() if value is not None}

    def words(self, only: str | None) -> list[str]:
        """As they are written on the command line: all, or those that `only` that part or the raw store depends on."""
        given: dict[str, Any] = {"kind": self.kind, "classes": self.classes}
        if only != "raw":
            given |= {f"steps-{name.replace('_', '-')}": n for name, n in self.steps.items() if only in (None, name)}
            given |= {"batch": self.batch, "device": self.device, "processes": self.processes}
        words = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
        return [*words, *(["--unconditional"] if self.unconditional and only in (None, "denoiser") else [])]


@dataclass(frozen=True)
class Call:
    """Where things lie that a call names; `params` is None for the file that rawmill ships."""

    source: Path
    out: Path
    params: Path | None
    encoder: Path | None
    options: Options

    def again(self, output: Path, only: str) -> str:
        """Makes `output` again, which is the part `only`, or the raw store: typed in the folder that holds it."""
        words = ["rawmill", "train", seen_from(output, self.source), "--out", seen_from(output, self.out)]
        words += ["--only", only, *params_words(output, self.params), *self.options.words(only)]
        encoder = self.encoder if only == "autoencoder" else None
        return shlex.join([*words, *(["--encoder", seen_from(output, encoder)] if encoder else [])])

    def onward(self) -> str:
        """Makes what is not made yet: typed here."""
        paths = {"--out": self.out, "--params": self.params, "--encoder": self.encoder}
        words = [word for name, path in paths.items() if path is not None for word in (name, str(path))]
        return shlex.join(["rawmill", "train", str(self.source), *words, *self.options.words(None)])

    def synthesize(self, side_px: int) -> str:
        """Samples from what was trained: typed here."""
        params = [] if self.params is None else ["--params", str(self.params)]
        size = f"{2 * side_px}x{2 * side_px}"
        words = ["rawmill", "synthesize", "--model", str(self.out), "--size", size, "--out", "synthetic.zarr"]
        return shlex.join([*words, *params])


@dataclass(frozen=True)
class Run:
    """One call of `rawmill train` once its options, params and pictures are checked."""

    call: Call
    raw: Path
    autoencoder: "AutoencoderParams"
    mask_denoiser: "MaskDenoiserParams"
    denoiser: "DenoiserParams"


@dataclass(frozen=True)
class Made:
    """A part that is there: what it measured, and how long it took in this call."""

    path: Path
    reused: bool
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        from tasks.lineage.recipe import digest_of, read

        recipe = read(self.path)
        digests = {"root": recipe["output"]["root"], "recipe": digest_of(recipe)}
        facts = {"path": str(self.path), "reused": self.reused, "seconds": self.seconds}
        return {**facts, **digests, "metrics": dict(self.metrics)}


def make_part(run: Run, name: str) -> Made:
    """Train one part, or go on with it, or find it done."""
    from flows._local import carry_out
    from tasks.synthesis import autoencoder_step, denoiser_step, mask_denoiser_step

    out, began = run.call.out / name, time.monotonic()
    before = _stamp(out)
    repair = run.call.again(out, name)

    def job() -> "Job":
        if name == "autoencoder":
            return autoencoder_step.prepare(run.raw, out, run.autoencoder, run.call.encoder, repair)
        if name == "mask_denoiser":
            return mask_denoiser_step.prepare(run.raw, out, run.mask_denoiser, repair)
        return denoiser_step.prepare(run.raw, run.call.out / "autoencoder", out, run.denoiser, repair)

    steps = {"autoencoder": autoencoder_step, "mask_denoiser": mask_denoiser_step, "denoiser": denoiser_step}
    carry_out(steps[name], job)
    metrics = json.loads((out / "metrics.json").read_bytes())
    return Made(out, _stamp(out) == before, round(time.monotonic() - began, 2), metrics)


def _stamp(out: Path) -> tuple[int, int] | None:
    """Which recipe file stands in `out`: another one after it was made anew."""
    file = out / "recipe.json"
    return (file.stat().st_ino, file.stat().st_mtime_ns) if file.is_file() else None
