"""The `rawmill` command.

Exit codes: 0 done · 1 a bug or a failed stage · 2 wrong usage or params · 3 bad input (what is good is done) ·
4 lineage is broken · 5 storage failed · 130 interrupted (run again to go on).

Heavy libraries are imported inside the commands, so that `--help` and a no-op `repro` take no time.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import _drift_cli, _ingest_cli, _inpaint_cli, _regenerate_cli, _synthesize_cli, _train_cli
from flows._options import AsJson, Calibration, Data, Out, ParamsFile, make, params_file, show
from tasks.errors import InputError, ParamsError, RawmillError, fault

app = typer.Typer(
    name="rawmill",
    help="Raw sensor files into versioned datasets, faithful variants and audited synthetic corpora.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    epilog="Examples:  rawmill repro  ·  rawmill repro develop@microscopy-bi,s,me  ·  rawmill repro -j 1 report"
)
def repro(
    stages: Annotated[list[str] | None, typer.Argument(help="Stages of dvc.yaml; all where none is named.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Stages side by side; the cores.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the DVC pipeline here up to date, independent stages side by side."""
    if not Path("dvc.yaml").is_file():
        raise ParamsError(fault(Path.cwd(), "no dvc.yaml", "a rawmill project", "change into the project's folder"))
    from flows._graph import read_graph

    began = time.monotonic()
    done = run_stale(stages or [], jobs) if read_graph(stages or []).stale else []
    seconds = round(time.monotonic() - began, 2)
    show({"stages": len(done), "seconds": seconds, "state": "up to date"}, as_json)


def run_stale(stages: list[str], jobs: int | None) -> list[str]:
    """Run what is stale; Prefect, which takes seconds to import, comes in only here."""
    from flows.repro import GraphFailed, repro_here

    try:
        return repro_here(stages, jobs)
    except GraphFailed as error:
        raise RawmillError(str(error)) from None


app.command(epilog=_ingest_cli.EXAMPLES)(_ingest_cli.ingest)


@app.command(epilog="Examples:  rawmill develop raw.zarr --variant bi,u,ga --out v.zarr  ·  rawmill develop a.dng …")
def develop(
    source: Annotated[Path, typer.Argument(help="A raw store, or a file to ingest first.")],
    variant: Annotated[str, typer.Option(help="A name under develop.variants of the params.")],
    out: Out,
    calibration: Calibration = None,
    params: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Develop mosaics to display RGB by one static data model."""
    from tasks.ingest import step as ingest_step
    from tasks.ingest.params import IngestParams
    from tasks.isp import step
    from tasks.isp.params import Common, load_variant
    from tasks.params import load

    file = params_file(params)
    common, chain = load(file, "develop.common", Common), load_variant(file, variant)
    raw = source
    if source.is_dir() and calibration is not None:
        raise ParamsError(fault("--calibration", "given with a store", "it with a file", "leave it out"))
    if not source.is_dir():
        raw = out.with_name(f"{out.stem}-raw.zarr")
        from flows._local import carry_out

        section = load(file, "ingest.files", IngestParams)
        carry_out(ingest_step, lambda: ingest_step.prepare_files([source], raw, section, calibration, {}))
    repair = f"rawmill develop {raw.name} --variant {variant} --out {out.name}"
    make(step, lambda: step.prepare(raw, out, variant, chain, common, repair), as_json)


app.command(epilog=_drift_cli.EXAMPLES)(_drift_cli.drift)
app.command(epilog=_drift_cli.RECOMMEND_EXAMPLES)(_drift_cli.recommend)


app.command(epilog=_train_cli.EXAMPLES)(_train_cli.train)
app.command(epilog=_synthesize_cli.EXAMPLES)(_synthesize_cli.synthesize)
app.command(epilog=_inpaint_cli.EXAMPLES)(_inpaint_cli.inpaint)
app.command(epilog=_regenerate_cli.EXAMPLES)(_regenerate_cli.regenerate)


@app.command(epilog="Examples:  rawmill audit  ·  rawmill audit data/synthetic/tissue.zarr --json")
def audit(
    path: Annotated[Path | None, typer.Argument(help="An output; all below --data where none is named.")] = None,
    data: Data = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Walk outputs back to their source files and check every digest on the way."""
    from tasks.lineage import audit as audits

    began = time.monotonic()
    result = audits.audit_all(data, project_here()) if path is None else audits.audit(path, project_here())
    if as_json:
        show(result.document(), as_json)
    else:
        outputs = sum(node.kind == "output" for node in result.nodes)
        facts = {"outputs": outputs, "files": result.files, "bytes": result.bytes, "edges": len(result.edges)}
        show({**facts, "seconds": round(time.monotonic() - began, 2), "state": "every digest holds"}, as_json)


def project_here() -> Any:
    """The project in this folder, whose params and code outputs must agree with; None outside one."""
    from tasks.lineage.stale import load_project

    file = Path("params.yaml")
    return load_project(file) if file.is_file() and Path("dvc.yaml").is_file() else None


@app.command(epilog="Examples:  rawmill trace data/synthetic/tissue.zarr#s00000  ·  rawmill trace raw.zarr#TILE --json")
def trace(
    sample: Annotated[str, typer.Argument(metavar="PATH#ID", help="A store and the id of a sample or tile in it.")],
    as_json: AsJson = False,
) -> None:
    """Tell where one image comes from: its files with their proof, weights, training tiles, source files."""
    from tasks.lineage import trace as traces

    path, mark, name = sample.rpartition("#")
    if not (mark and path and name):
        raise InputError(fault(sample, "no id", "PATH#ID", "name one sample, e.g. data/synthetic/tissue.zarr#s00000"))
    story = traces.trace(Path(path), name)
    if as_json:
        show(story.document(), as_json)
    else:
        print("\n".join(traces.lines(story)))


@app.command(epilog="Examples:  rawmill uses data/sources/slides/slide1.tif")
def uses(
    source: Annotated[Path, typer.Argument(help="A source file.")], data: Data = Path("data"), as_json: AsJson = False
) -> None:
    """List all that was made from a source file: what must go when it is withdrawn."""
    from tasks.lineage.uses import uses as find

    found = find(source, data)
    if as_json:
        print(json.dumps([use.document() for use in found], indent=2, sort_keys=True))
    else:
        for use in found:
            print(f"{use.path}  {'all of it' if use.whole else f'{len(use.parts)} parts'}")


@app.command(epilog="Examples:  rawmill report  ·  rawmill report --data data --out page")
def report(
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("data/reports/html"),
    data: Data = Path("data"),
    params: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Write the HTML report over the outputs below --data."""
    from tasks.params import load
    from tasks.report import step
    from tasks.report.params import ReportParams

    section = load(params_file(params), "report", ReportParams)
    make(step, lambda: step.prepare(data, out, section, "rawmill report"), as_json)


def main() -> None:
    """Run the command; errors that a user can act on are one line each on stderr, with an exit code."""
    try:
        app()
    except RawmillError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        where = error.filename or "a file"
        print(fault(where, str(error.strerror or error).lower(), "it usable", "mend it and run again"), file=sys.stderr)
        raise SystemExit(5) from None
    except SystemExit as end:
        if end.code == 130:
            print("interrupted; run it again to go on where it stopped", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
