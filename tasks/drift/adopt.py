"""Adopting a user's own task model: weights from safetensors, strictly into the network that an import path names.

The output is laid out as `tasks.drift.models` wants it, with one row and one member, both `given`.
"""

import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks import output, rng
from tasks.contracts import Record
from tasks.drift.models import GIVEN, weights
from tasks.errors import InputError, LineageError, ParamsError, fault
from tasks.learn.checkpoint import write_tensors
from tasks.learn.determinism import one_thread
from tasks.learn.networks import CHANNELS, Standardised, network_of
from tasks.learn.params import ModuleParams, TaskParams
from tasks.lineage.digest import pretty
from tasks.lineage.places import resolve
from tasks.lineage.recipe import Plan, package_file, source_file
from tasks.output import Job
from tasks.params import parse

PREFIX = "network."
PICKLES = (b"PK\x03\x04", b"\x80")
"""First bytes of what torch.save writes, now and before version 1.6."""


def prepare(file: Path, out: Path, params: TaskParams, repair: str) -> Job:
    """Plan the adoption of the weights in the safetensors `file` for the network of `params.architecture`.

    The file that defines the network is an input too; what it imports is not. Raises `InputError` for a file that
    holds no safetensors, `ParamsError` for a network that cannot be had.
    """
    _shapes(file)
    inputs = [source_file("weights", file, out)]
    if isinstance(params.architecture, ModuleParams):
        inputs.append(_architecture(params.architecture, out))
    plan = Plan("adopt", out.name, inputs, params.model_dump(mode="json"), __name__, repair, params.train.seed)
    return output.start(out, plan, [GIVEN], lambda content: weights(content, GIVEN, GIVEN).parent.mkdir(parents=True))


def _architecture(architecture: ModuleParams, out: Path) -> dict[str, Any]:
    """Input entry of the file that defines a user's network: theirs, or one of an installed package."""
    name = architecture.path.partition(":")[0]
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        remedy = "mend the path, or put its folder on PYTHONPATH"
        raise ParamsError(fault(name, " ".join(str(error).split()), "a module", remedy)) from None
    file = Path(module.__file__ or "")
    if file.suffix != ".py":
        raise ParamsError(fault(name, "has no source file", "a Python module", "name one that defines the network"))
    top = name.partition(".")[0]
    folder = Path(str(getattr(importlib.import_module(top), "__file__", None) or file)).parent
    if "site-packages" in file.parts and folder.name == top:
        return package_file("architecture", top, file, file.relative_to(folder).as_posix())
    return source_file("architecture", file, out)


def process(job: Job, item: str) -> None:
    """Load the weights, try the network on noise, and store what it computes with."""
    params = parse(TaskParams, job.plan["params"], job.out)
    file = _unchanged(job)
    with one_thread():
        model = network_of(params)
        load_strictly(model, file)
        check_logits(model, params)
    stored = weights(job.content, GIVEN, GIVEN)
    write_tensors(stored, model.state_dict())
    (job.content / "model.json").write_bytes(pretty({"params": params.model_dump(mode="json")}))
    facts = {"parameters": sum(p.numel() for p in model.parameters())}
    output.mark_done(job, item, [stored, job.content / "model.json"], facts)


def _unchanged(job: Job) -> Path:
    """The weights' file; `LineageError` where an input's bytes changed since the plan was made."""
    for entry in job.plan["inputs"]:
        file = resolve(job.out, entry)
        if entry["kind"] == "file" and source_file(entry["role"], file, job.out) != dict(entry):
            raise LineageError(fault(file, "changed meanwhile", entry["sha256"], "run it again"))
    return resolve(job.out, job.plan["inputs"][0])


def finish(job: Job) -> Record:
    """Publish the adopted model."""
    metrics = {"parameters": float(output.facts(job, [GIVEN])[GIVEN]["parameters"])}
    return output.publish(job, metrics=metrics, models=[f"models/{GIVEN}/{GIVEN}.safetensors"])


def load_strictly(model: Standardised, file: Path) -> None:
    """Load the safetensors `file` into `model`, each tensor of it and no other.

    Names are those of the user's network, or with `network.`, `mean` and `sd` those of rawmill's own models. Raises
    `InputError` naming the first that is missing, unknown, or of another shape.
    """
    shapes = _shapes(file)
    own = not any(name.startswith(PREFIX) for name in shapes) or any(
        name.startswith(PREFIX) and name in model.network.state_dict() for name in shapes
    )
    target: nn.Module = model.network if own else model
    _compare(file, shapes, target)
    target.load_state_dict({**target.state_dict(), **load_file(file)})


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor in `file`, whose data are not read."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(fault(file, "not there", "a safetensors file", "name the model's weights")) from None
    except (OSError, SafetensorError) as error:
        wrong = "pickled weights, which are not opened" if _is_pickled(file) else " ".join(str(error).split())
        remedy = "save them by safetensors.torch.save_file(model.state_dict(), FILE)"
        raise InputError(fault(file, wrong, "safetensors", remedy)) from None


def _is_pickled(file: Path) -> bool:
    """Whether a file that holds no safetensors begins as torch.save begins one, which can run code when opened."""
    with file.open("rb") as opened:
        return opened.read(4).startswith(PICKLES)


def _compare(file: Path, shapes: Mapping[str, tuple[int, ...]], target: nn.Module) -> None:
    """`InputError` unless `shapes` are those of `target`, whose tied tensors need one of their names alone."""
    wanted = target.state_dict()
    remedy = "name the network and --arguments that it was trained with"
    strange = sorted(set(shapes) - set(wanted))
    if missing := _missing(wanted, set(shapes)):
        wrong = f"has no tensor {missing[0]} ({len(missing)} missing, {len(strange)} unknown)"
        raise InputError(fault(file, wrong, f"the {len(wanted)} tensors of the network", remedy))
    if strange:
        wrong = f"tensor {strange[0]}, which the network does not have ({len(strange)} such)"
        raise InputError(fault(file, wrong, f"the {len(wanted)} tensors of the network", remedy))
    for name, shape in sorted(shapes.items()):
        if shape != tuple(wanted[name].shape):
            expected = f"shape {tuple(wanted[name].shape)}, as the network has it"
            raise InputError(fault(file, f"{name} of shape {shape}", expected, remedy))


def _missing(wanted: Mapping[str, Tensor], given: set[str]) -> list[str]:
    """Names of `wanted` that are not given, nor tied to one that is: safetensors stores shared memory once."""
    there = {wanted[name].data_ptr() for name in given & set(wanted) if wanted[name].numel()}
    return sorted(name for name in set(wanted) - given if wanted[name].data_ptr() not in there)


def check_logits(model: nn.Module, params: TaskParams) -> None:
    """Raise `ParamsError` unless `model` gives finite logits (n, classes), or (n, classes, y, x) of a segmentation."""
    side = params.input_px
    noise = rng.generator(params.train.seed, GIVEN, "views").random((2, CHANNELS, side, side), dtype="float32")
    spatial = (side, side) if params.task == "segmentation" else ()
    expected = f"logits {(2, len(params.classes), *spatial)} of views {noise.shape}"
    where = params.architecture.path if isinstance(params.architecture, ModuleParams) else params.architecture.name
    remedy = "mend --arch, --classes, --task or --input-px"
    try:
        with torch.no_grad():
            logits = model.eval()(torch.from_numpy(noise))
    except Exception as error:  # whatever a user's own code may raise
        wrong = " ".join(str(error).split())[:300]
        raise ParamsError(fault(where, wrong, expected, remedy)) from None
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != (2, len(params.classes), *spatial):
        raise ParamsError(fault(where, f"gave {found}", expected, remedy))
    if not bool(logits.isfinite().all()):
        raise ParamsError(fault(where, "gave logits that are not finite", expected, remedy))
