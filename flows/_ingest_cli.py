"""`rawmill ingest`: files, dataset folders, published datasets and URIs into a raw store, and its proof."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from flows._options import AsJson, Calibration, ParamsFile, params_file, show
from tasks.errors import BatchError, InputError, LineageError, ParamsError, fault

if TYPE_CHECKING:
    from tasks.ingest.params import IngestParams
    from tasks.output import Job

EXAMPLES = "  ·  ".join(
    [
        "Examples:  rawmill ingest *.svs --out s.zarr",
        "rawmill ingest a.tif --calibration cam.json --out a.zarr",
        "rawmill ingest 's3://bucket/2026/*.svs' https://host/b.ndpi --out s.zarr",
        "rawmill ingest a.svs a_mask.tif --classes tumour,stroma --out a.zarr",
        "rawmill ingest data/sources/drone --kind frames --out d.zarr",
        "rawmill ingest Raw-Microscopy --kind raw-microscopy --out m.zarr",
        "rawmill ingest --verify s.zarr",
    ]
)

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|URI|FOLDER",
        help="Camera raw, Bayer TIFF, microscopy TIFF or slides, each with at most one annotation beside it: a.geojson,"
        " a.png, a_mask.png or a_mask.tif (also -mask, .mask, -labels) of a.*; URIs (s3://, https://, …) and patterns"
        " of them; or one folder with manifest.csv or a published layout.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="The store to make; it must not exist, or be one of rawmill's.")
]
Kind = Annotated[
    str | None,
    typer.Option(help="crops, frames, slides, images, raw-microscopy, raw-drone or auto; else what the params say."),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,…", help="Names of the values 1, 2, … of PNG and TIFF masks: source_classes of the params."
    ),
]
Verify = Annotated[
    Path | None, typer.Option("--verify", metavar="STORE", help="Prove a raw store anew instead of making one.")
]


def ingest(
    files: Files = None,
    out: Out = None,
    kind: Kind = None,
    calibration: Calibration = None,
    classes: Classes = None,
    params: ParamsFile = None,
    verify: Verify = None,
    as_json: AsJson = False,
) -> None:
    """Decode files as they were into a verified raw store. Bad files are named, the others are done.

    Tags and pictures that may name a patient are left out, and receipts.jsonl says which; file and folder names stay.
    The section ingest.files of the params says this (deidentify) and all else: copy params.yaml, change it, and name
    it with --params. Values of masks need names: --classes, or source_classes there; with mask_values: nonzero there,
    every value but 0 is the first of them.

    What is fetched from URIs stays in .STORE.fetched beside the store, for later proofs against the source; it can
    be deleted.
    """
    began = time.monotonic()
    if verify is not None:
        given = {"files": files, "--out": out, "--kind": kind, "--calibration": calibration, "--classes": classes}
        given["--params"] = params
        _refuse("--verify", [name for name, value in given.items() if value])
        _verify(verify, as_json)
        return
    if not files or out is None:
        missing = "--out" if files else "the files"
        remedy = "see rawmill ingest --help"
        raise ParamsError(fault("rawmill ingest", f"{missing} missing", "FILES --out STORE, or --verify STORE", remedy))
    section = files_params(params_file(params), kind, classes)
    folders = [file for file in files if Path(file).is_dir()]
    if folders:
        _check_folder(folders[0], files, calibration)
        make_folder(Path(folders[0]), out, section, as_json, began)
    else:
        if section.kind in ("raw-microscopy", "raw-drone"):
            remedy = "name the folder that holds it"
            raise ParamsError(fault(f"--kind {section.kind}", "given with files", "one folder", remedy))
        make_files(files, out, section, calibration, as_json, began)


def _refuse(option: str, others: Sequence[str]) -> None:
    if others:
        raise ParamsError(fault(option, f"given with {', '.join(others)}", "it alone", "leave the others out"))


def _check_folder(folder: str, files: Sequence[str], calibration: Path | None) -> None:
    """Raise `ParamsError` for what does not go with a folder."""
    if len(files) > 1:
        remedy = f"ingest it apart, or name its files: {folder}/*"
        raise ParamsError(fault(folder, "a folder among other arguments", "one folder or files", remedy))
    if calibration is not None:
        remedy = "put it there as calibration.json"
        raise ParamsError(fault("--calibration", "given with a folder", "calibration.json in the folder", remedy))


def files_params(file: Path, kind: str | None, classes: str | None) -> "IngestParams":
    """The section of a user's own files, with what --kind and --classes say. Raises `ParamsError`."""
    from tasks.ingest.params import IngestParams, Published
    from tasks.ingest.params import Kind as OfStore
    from tasks.ingest.published import IMPLIED
    from tasks.params import load, parse

    section = load(file, "ingest.files", IngestParams)
    known = (*get_args(OfStore), *get_args(Published), "auto")
    if kind not in (None, *known):
        raise ParamsError(fault(f"--kind {kind}", "unknown", ", ".join(known), "name one of these"))
    implied = IMPLIED.get(kind, {}) if kind else {}  # type: ignore[call-overload]
    changes: dict[str, Any] = {} if kind is None else {"kind": kind, **implied}
    if classes is not None:
        changes["source_classes"] = _names(classes)
    return parse(IngestParams, {**section.model_dump(), **changes}, "the options of ingest")


def _names(classes: str) -> list[str]:
    """The names in --classes. Raises `ParamsError`."""
    names = [name.strip() for name in classes.split(",")]
    if "" in names:
        remedy = "name the values 1, 2, … in their order"
        raise ParamsError(fault(f"--classes {classes!r}", "an empty name", "names between commas", remedy))
    return names


def make_folder(folder: Path, out: Path, section: "IngestParams", as_json: bool, began: float) -> None:
    """Ingest a dataset's folder and show what came of it."""
    from tasks.ingest import step

    repair = f"rawmill ingest FOLDER --kind {section.kind} --out {out.name}"
    _make(lambda: step.prepare(folder, out, section, out.stem, repair), out, [], {}, as_json, began)


def make_files(
    files: Sequence[str], out: Path, section: "IngestParams", calibration: Path | None, as_json: bool, began: float
) -> None:
    """Fetch what is elsewhere, ingest all and show what came of it."""
    from tasks.ingest import step
    from tasks.ingest.elsewhere.remote import is_uri

    uris = [file for file in files if is_uri(file)]
    local = [Path(file) for file in files if not is_uri(file)]
    fetched, faults = _fetched(uris, out) if uris else ({}, [])
    if not local and not fetched:
        raise BatchError([str(error) for error in faults], 0)
    all_files, origins = [*local, *fetched.values()], {path: uri for uri, path in fetched.items()}
    named = {f"{path.parent.name}/{path.name}": uri for path, uri in origins.items()}
    if not local:  # what an earlier run has stored names files by their place in their common folder
        named |= {path.name: uri for path, uri in origins.items()}
    _make(lambda: step.prepare_files(all_files, out, section, calibration, origins), out, faults, named, as_json, began)


def _fetched(uris: Sequence[str], out: Path) -> tuple[dict[str, Path], list[InputError]]:
    """File by URI, in a hidden folder beside the store, and what could not be had."""
    from tasks.ingest.elsewhere import remote
    from tasks.output import refuse_foreign

    refuse_foreign(out)
    return remote.fetch(uris, out.with_name(f".{out.name}.fetched"))


def by_uri(line: str, uris: Mapping[str, str]) -> str:
    """`line` with the URI in place of the hidden copy that it is about; `uris` by `folder/name` or name of the copy."""
    where, colon, rest = line.partition(": ")
    uri = uris.get("/".join(Path(where).parts[-2:]))
    return f"{uri}{colon}{rest}" if uri else line


def _make(
    make_job: Callable[[], "Job"],
    out: Path,
    unfetched: Sequence[InputError],
    uris: Mapping[str, str],
    as_json: bool,
    began: float,
) -> None:
    """Carry the step out and show the store, also where some sources were bad. Raises `BatchError` then."""
    from flows._local import carry_out
    from tasks.ingest import step

    lines = [str(error) for error in unfetched]
    try:
        carry_out(step, make_job)
    except BatchError as error:
        lines += [by_uri(line, uris) for line in error.faults]
        if not error.done:
            raise BatchError(lines, 0) from None
    except (InputError, LineageError) as error:
        text = [by_uri(line, uris) for line in str(error).splitlines()]
        raise type(error)("\n".join([*lines, *text])) from None
    facts = summary(out)
    show({**facts, "unfetched": len(unfetched), "seconds": round(time.monotonic() - began, 2)}, as_json)
    if lines:
        raise BatchError(lines, facts["sources"])


def summary(store: Path) -> dict[str, Any]:
    """What a raw store holds, read from the store itself."""
    import pyarrow.parquet as pq

    from tasks.ingest import receipts
    from tasks.lineage.recipe import digest_of, read

    recipe: Mapping[str, Any] = read(store)
    stored = [receipt for receipt in receipts.read(store) if receipt.status == "stored"]
    return {
        "path": str(store),
        "root": recipe["output"]["root"],
        "recipe": digest_of(recipe),
        "sources": len(stored),
        "rejected": len(recipe["output"].get("rejected", ())),
        "tiles": pq.read_metadata(store / "tiles.parquet").num_rows,
        "receipts": str(store / receipts.RECEIPTS),
        "verify": f"rawmill ingest --verify {store}",
    }


def _verify(store: Path, as_json: bool) -> None:
    """Repeat a store's proof and show it. Raises `LineageError` with a line for each fault, which JSON holds too."""
    from tasks.ingest.proving.verify import verify

    began = time.monotonic()
    try:
        with _bar(store.name) as progress:
            verified = verify(store, progress)
    except LineageError as error:
        if as_json:
            show({"store": str(store), "state": "broken", "faults": str(error).splitlines()}, as_json)
        raise
    if as_json:
        show({**verified.document(), "state": "proved", "faults": []}, as_json)
    else:
        print("\n".join([*verified.lines, f"proved in {time.monotonic() - began:.2f} s"]))


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr where that is a terminal: told (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
