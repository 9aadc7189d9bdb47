"""Step `acquire`: the embedded sample, one dataset an output, in the formats that real instruments write."""

from pathlib import Path
from types import ModuleType

from tasks import output
from tasks.acquire import drone, files, microscopy, pictures, slides
from tasks.acquire.params import DroneParams, MicroscopyParams, SlidesParams
from tasks.contracts import Record
from tasks.errors import ParamsError, fault
from tasks.lineage.recipe import Plan
from tasks.params import parse

AcquireParams = MicroscopyParams | DroneParams | SlidesParams
MAKERS: dict[str, tuple[ModuleType, type[AcquireParams]]] = {
    "microscopy": (microscopy, MicroscopyParams),
    "drone": (drone, DroneParams),
    "slides": (slides, SlidesParams),
}
"""Per dataset: the module that makes its items (`PICTURES`, `items`, `setup`, `make`) and its params model."""


def params_model(dataset: str) -> type[AcquireParams]:
    """The model of the section `acquire.<dataset>`. Raises `ParamsError` for a dataset that there is not."""
    if dataset not in MAKERS:
        raise ParamsError(
            fault("acquire", f"no dataset {dataset!r}", f"one of {', '.join(MAKERS)}", "name one of them")
        )
    return MAKERS[dataset][1]


def prepare(out: Path, params: AcquireParams, dataset: str) -> output.Job:
    """A job that makes the sources of `dataset` at `out`; one item a smear, frame or slide.

    Raises `ParamsError` when `params` are not those of `dataset`.
    """
    if not isinstance(params, params_model(dataset)):
        raise ParamsError(fault("acquire", type(params).__name__, params_model(dataset).__name__, "load its section"))
    maker, _ = MAKERS[dataset]
    plan = Plan(
        stage="acquire",
        name=dataset,
        inputs=[pictures.entry(name) for name in maker.PICTURES],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=f"rawmill repro acquire@{dataset}",
        seed=params.seed,
    )
    return output.start(out, plan, maker.items(params), lambda content: maker.setup(content, params))


def process(job: output.Job, item: str) -> None:
    """Make the files of `item`; the receipt carries its lines of the manifest."""
    maker, model = MAKERS[job.plan["name"]]
    params = parse(model, job.plan["params"], f"params of {job.out}")
    written, rows = maker.make(job.content, params, item)
    output.mark_done(job, item, written, {"rows": rows})


def finish(job: output.Job) -> Record:
    """Write the manifest from all receipts and publish."""
    receipts = [output.receipt(job, item) for item in job.items]
    rows = [row for document in receipts if document for row in document["facts"]["rows"]]
    files.write_manifest(job.content, rows)
    return output.publish(job, metrics={"files": float(len(rows)), "groups": float(len(job.items))})
