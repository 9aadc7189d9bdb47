"""The parts of a drift report over a user's own model, each carried out here."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows._drift_again import Call

if TYPE_CHECKING:
    from tasks.drift.own import OwnParams
    from tasks.drift.params import ScoringParams
    from tasks.learn.params import TaskParams


@dataclass(frozen=True)
class Run:
    """One call of `rawmill drift`: where things go and what they are made by."""

    call: Call
    file: Path
    raw: Path
    own: "OwnParams"
    task: "TaskParams"
    tile_px: int
    scoring: "ScoringParams"
    """Of the model that was given."""

    @property
    def out(self) -> Path:
        return self.call.out

    def repair(self, output: Path, *more: str, from_home: bool = False) -> str:
        """The command that makes `output` again; `from_home` where it tells scores from the model's home."""
        from tasks.learn.own_code import root_of

        call = self.call if from_home else replace(self.call, options=self.call.options.without_home)
        return call.drift(output, root_of(self.task.architecture), *more)

    @property
    def views(self) -> dict[str, Path]:
        return {name: self.out / "variants" / f"{name}.zarr" for name in self.own.scoring.data_models}


def carry_out_parts(run: Run, train: bool, one_camera: bool) -> dict[str, Path]:
    """Make all that the page is drawn from; returns the outputs by their role on it.

    What starts from a camera's parameters, forensics and optimisation, is left out unless the data are of one.
    """
    from flows._local import carry_out
    from tasks.drift import adopt
    from tasks.drift.synthesis import given

    out, adopted = run.out, run.out / "model"
    carry_out(adopt, lambda: adopt.prepare(run.call.model, adopted, run.task, run.repair(adopted)))
    develop(run)
    made = out / "given"
    repair = run.repair(made, from_home=True)
    carry_out(given, lambda: given.prepare(adopted, run.raw, run.views, made, run.scoring, repair))
    parts = {"given": made}
    parts |= searched(run, adopted) if one_camera else {}
    parts |= synthesised(run) if train else {}
    return parts | (optimised(run) if train and one_camera else {})


def searched(run: Run, adopted: Path) -> dict[str, Path]:
    """What the given model cannot bear."""
    from flows._local import carry_out
    from tasks.drift.forensics import step
    from tasks.drift.models import GIVEN

    out, params = run.out / "forensics", run.own.forensics
    carry_out(step, lambda: step.prepare(adopted, GIVEN, run.raw, out, params, run.repair(out)))
    return {"forensics": out}


def develop(run: Run) -> None:
    """The data by every data model."""
    from flows._local import carry_out
    from tasks.isp import step
    from tasks.isp.params import Common, load_variant
    from tasks.params import load, parse

    values = load(run.file, "develop.common", Common).model_dump() | {"intensities": (run.own.intensity,)}
    common = parse(Common, values, "develop.common")
    for name, place in run.views.items():
        chain, repair = load_variant(run.file, name), run.call.develop(place, run.raw, name)
        carry_out(step, lambda: step.prepare(run.raw, place, name, chain, common, repair))  # noqa: B023


def synthesised(run: Run) -> dict[str, Path]:
    """The network trained afresh on each data model."""
    from flows._local import carry_out
    from tasks.drift.synthesis import step

    out, params = run.out / "synthesis", run.own.synthesis(run.task)
    carry_out(step, lambda: step.prepare(run.raw, run.views, out, params, run.repair(out)))
    return {"synthesis": out}


def optimised(run: Run) -> dict[str, Path]:
    """The network trained afresh together with the parametrised data model."""
    from flows._local import carry_out
    from tasks.drift.optimisation import step

    out, params = run.out / "optimisation", run.own.learned(run.task)
    carry_out(step, lambda: step.prepare(run.raw, out, params, run.repair(out)))
    return {"optimisation": out}
