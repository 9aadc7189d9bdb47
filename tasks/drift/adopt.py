"""Adopting a user's own task model: weights from safetensors, strictly into the network that an import path names.

The output is laid out as `tasks.drift.models` wants it, with one row and one member, both `given`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks import output, rng
from tasks.contracts import Record
from tasks.drift.models import GIVEN, weights
from tasks.errors import InputError, LineageError, ParamsError, fault
from tasks.learn.checkpoint import write_tensors
from tasks.learn.determinism import on_device
from tasks.learn.networks import CHANNELS, Standardised, network_of, where
from tasks.learn.own_code import own_code
from tasks.learn.params import ModuleParams, TaskParams
from tasks.lineage.digest import pretty
from tasks.lineage.places import resolve
from tasks.lineage.recipe import Plan, source_file
from tasks.output import Job
from tasks.params import parse

PREFIX = "network."
PICKLES = (b"PK\x03\x04", b"\x80")
"""First bytes of what torch.save writes, now and before version 1.6."""
TRIED = (2, 3, 1)
"""Lengths of the batches that a network is tried on: stages batch by their params, and the last may hold one."""


def prepare(file: Path, out: Path, params: TaskParams, repair: str) -> Job:
    """Plan the adoption of the weights in the safetensors `file` for the network of `params.architecture`.

    The code that defines the network is an input too (`tasks.learn.own_code`). Raises `InputError` for a file that
    holds no safetensors, `ParamsError` for a network that cannot be had.
    """
    _shapes(file)
    own, values = own_code(params.architecture, out), params.model_dump(mode="json")
    inputs = [source_file("weights", file, out), *own.inputs]
    plan = Plan("adopt", out.name, inputs, values, __name__, repair, params.train.seed, own.notes)
    return output.start(out, plan, [GIVEN], lambda content: weights(content, GIVEN, GIVEN).parent.mkdir(parents=True))


def process(job: Job, item: str) -> None:
    """Load the weights, try the network on noise, and store what it computes with."""
    params = parse(TaskParams, job.plan["params"], job.out)
    file = _unchanged(job)
    with on_device(params.device):
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
    """Raise `ParamsError` unless `model` gives finite logits (n, classes), or (n, classes, y, x) of a segmentation, of
    batches of several lengths n, and their gradients in the views are finite and not all 0."""
    model.eval()
    named = params.architecture.path if isinstance(params.architecture, ModuleParams) else params.architecture.name
    for n in TRIED:
        views = _noise(params, "views", (n, CHANNELS, params.input_px, params.input_px)).to(where(model))
        logits = _logits_of(model, views.requires_grad_(), named, params)
        _check_gradient(logits, views, named, params)


def _noise(params: TaskParams, what: str, shape: tuple[int, ...]) -> Tensor:
    """Evenly drawn from [0, 1), float32."""
    return torch.from_numpy(rng.generator(params.train.seed, GIVEN, what).random(shape, dtype="float32"))


def _logits_of(model: nn.Module, views: Tensor, named: str, params: TaskParams) -> Tensor:
    """What `model` gives of `views`, with gradients. Raises `ParamsError` unless they are logits of the task."""
    spatial = tuple(views.shape[2:]) if params.task == "segmentation" else ()
    wanted = (len(views), len(params.classes), *spatial)
    expected, remedy = f"logits {wanted} of views {tuple(views.shape)}", "mend --arch, --classes, --task or --input-px"
    try:
        with torch.enable_grad():
            logits = model(views)
    except Exception as error:  # whatever a user's own code may raise
        raise ParamsError(fault(named, _told(error), expected, remedy)) from None
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or found != wanted:
        raise ParamsError(fault(named, f"gave {found}", expected, remedy))
    if not bool(logits.isfinite().all()):
        raise ParamsError(fault(named, "gave logits that are not finite", expected, remedy))
    return logits


def _check_gradient(logits: Tensor, views: Tensor, named: str, params: TaskParams) -> None:
    """Raise `ParamsError` unless `logits` have a finite gradient in `views` that is not 0 all over.

    It is of a sum with random weights: a plain sum is constant in any views where the classes share a whole.
    """
    weights = _noise(params, "weights of logits", tuple(logits.shape)).to(logits.device)
    try:
        (gradient,) = torch.autograd.grad((logits * weights).sum(), views, allow_unused=True)
    except Exception as error:  # of logits without any gradient, or a user's own backward pass
        gradient, wrong = None, _told(error)
    else:
        wrong = "gave logits that do not depend on the views by any gradient"
    if gradient is not None:
        finite, flat = bool(gradient.isfinite().all()), not bool(gradient.any())
        wrong = "" if finite and not flat else f"gave a gradient that is {'0 all over' if finite else 'not finite'}"
    if wrong:
        expected = "a finite gradient of the logits in the views, which forensics descends"
        raise ParamsError(fault(named, wrong, expected, "keep the network differentiable in its input"))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
