"""`rawmill inpaint`: a region of real pictures made again by the trained models."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows._options import AsJson, Out, ParamsFile, make, params_file
from tasks.errors import ParamsError, fault

if TYPE_CHECKING:
    from tasks.output import Job
    from tasks.synthesis.params import InpaintParams

EXAMPLES = "  ·  ".join(
    [
        "Examples:  rawmill inpaint --model data/models --data data/raw/slides.zarr --count 4 --out inpainted.zarr",
        "rawmill inpaint --model data/models --data data/raw/slides.zarr --tiles slide4_128_001280_000384"
        " --class same,tumour,necrosis --guidance 0,1,3 --out other.zarr",
        "rawmill inpaint --model data/models --image biopsy.png --region mark.png --class stroma --out mine.zarr",
    ]
)

Model = Annotated[Path, typer.Option(help="Folder with `autoencoder` and `denoiser`.")]
Store = Annotated[Path | None, typer.Option("--data", help="A raw store of slides, whose tiles are the originals.")]
Tiles = Annotated[str | None, typer.Option(metavar="ID,ID,…", help="Tiles of the store.")]
Count = Annotated[int | None, typer.Option(min=1, help="Instead: the first so many annotated tiles of those held out.")]
Picture = Annotated[Path | None, typer.Option("--image", help="Instead of a store: your picture, 8-bit RGB.")]
Region = Annotated[Path | None, typer.Option(help="PNG as large as --image: what is not 0 is made again.")]
Target = Annotated[
    str | None,
    typer.Option(
        "--class", metavar="same|NAME,…", help="What the region is to show, a sample each; same: as annotated."
    ),
]
Guidance = Annotated[
    str | None, typer.Option(metavar="W,W,…", help="w of classifier-free guidance, a sample each from the same noise.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Else that of the params.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Sampling steps.")]


def inpaint(
    model: Model,
    out: Out,
    data: Store = None,
    tiles: Tiles = None,
    count: Count = None,
    image: Picture = None,
    region: Region = None,
    target: Target = None,
    guidance: Guidance = None,
    seed: Seed = None,
    steps: Steps = None,
    params: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a region of real pictures again, as the same or another class, at several w; the rest stays bit-identical.

    Of a tile the region is an annotated area (section inpaint of the params says which). OUT is a synthetic store: of
    each sample the image, its mask and region, the original's id in samples.parquet, and a sheet to look at.
    """
    from tasks.synthesis import inpaint_step as step

    _refuse_mixtures(data, tiles, count, image, region)
    options = {"targets": names(target), "guidances": numbers(guidance), "seed": seed, "steps": steps}
    section = _section(params_file(params), options)
    words = {"model": model, "data": data, "tiles": tiles, "count": count, "image": image, "region": region}
    words |= {"class": target, "guidance": guidance, "seed": seed, "steps": steps, "params": params, "out": out}
    given = [word for key, value in words.items() if value is not None for word in (f"--{key}", str(value))]
    repair = shlex.join(["rawmill", "inpaint", *given])

    def job() -> "Job":
        if image is not None and region is not None:
            return step.prepare_picture(model, image, region, out, section, repair)
        assert data is not None
        return step.prepare_tiles(model, data, count or names(tiles) or (), out, section, repair)

    make(step, job, as_json)


def _refuse_mixtures(
    data: Path | None, tiles: str | None, count: int | None, image: Path | None, region: Path | None
) -> None:
    """Raises `ParamsError` unless the originals are stated in one of the two ways."""
    if data is not None and image is not None:
        raise ParamsError(fault("--image", "given with --data", "one of the two", "leave one out"))
    if data is None and image is None:
        raise ParamsError(fault("--data", "not given, nor --image", "one of the two", "say what to inpaint"))
    if data is not None and (tiles is None) == (count is None):
        raise ParamsError(fault("--data", "not with one of --tiles and --count", "one of the two", "name one"))
    if data is not None and region is not None:
        raise ParamsError(fault("--region", "given with --data", "it with --image", "leave it out"))
    if image is not None and (region is None or tiles is not None or count is not None):
        raise ParamsError(
            fault("--image", "not with --region alone", "--image and --region", "name both, nothing else")
        )


def names(text: str | None) -> list[str] | None:
    """The names of a list with commas, once each. Raises `ParamsError` where one is empty."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ParamsError(fault(repr(text), "an empty name", "NAME,NAME,…", "write it so"))
    return list(dict.fromkeys(found))


def numbers(text: str | None) -> list[float] | None:
    """The numbers of a list with commas, once each. Raises `ParamsError`."""
    try:
        return None if text is None else list(dict.fromkeys(float(word) for word in text.split(",")))
    except ValueError:
        raise ParamsError(fault("--guidance", repr(text), "numbers such as 0,1,3", "write it so")) from None


def _section(file: Path, options: dict[str, Any]) -> "InpaintParams":
    """The section `inpaint` with what the command line says instead. Raises `ParamsError`."""
    from tasks.params import load, parse
    from tasks.synthesis.params import InpaintParams

    values = load(file, "inpaint", InpaintParams).model_dump()
    given = {key: value for key, value in options.items() if value is not None}
    values["sampler"] |= {"steps": given.pop("steps")} if "steps" in given else {}
    return parse(InpaintParams, values | given, "the options of inpaint")
