"""One sample of a synthetic store made again from its recipe, elsewhere, and compared with what is stored.

The recipe names everything that a sample depends on: models by the digests of their own recipes, params, seed, code
and libraries. Where a model is gone or another there is nothing to compare. Where code or libraries are others than
then the sample is made all the same, and they are named: a difference may be due to them.
"""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tasks.errors import InputError, LineageError, fault
from tasks.lineage import contents
from tasks.lineage.audit import check_leaf
from tasks.lineage.code import code_digests, libraries
from tasks.lineage.digest import leaf_value, sha256_file, tree_of
from tasks.lineage.places import relative, resolve
from tasks.lineage.recipe import artefact, mend, plan_of, read, read_tree
from tasks.output import Job, receipt
from tasks.store import columns, open_array, read_attributes
from tasks.synthesis import folder as folder_of
from tasks.synthesis import networks, step
from tasks.synthesis.params import AutoencoderModel, SynthesiseParams
from tasks.synthesis.tolerance import Difference, Tolerance, difference, recorded

STAGE, CODE = "synthesise", "tasks.synthesis.step"


@dataclass(frozen=True)
class Stored:
    """A sample of a synthetic store, whose files are those that the store's recipe commits to."""

    path: Path
    sample: str
    recipe: Mapping[str, Any]
    tree: Mapping[str, Mapping[str, Any]]
    """Entries of the sample's own files, by their names below the image."""
    row: Mapping[str, Any]
    """Of `samples.parquet`."""

    @property
    def image(self) -> Path:
        return self.path / "samples" / self.sample

    @property
    def params(self) -> SynthesiseParams:
        return SynthesiseParams.model_validate(self.recipe["params"])

    def __str__(self) -> str:
        return f"{self.path}#{self.sample}"


@dataclass(frozen=True)
class Result:
    """What came of it. `files_alike` of `files` of the sample have the bytes that are stored."""

    sample: str
    pixels: str
    """What was compared, such as `256 x 384 px`."""
    image: Difference
    mask: Difference
    files: int
    files_alike: int
    tolerance: Tolerance
    device: str
    changed: tuple[str, ...]
    """Code and libraries that are others than those of the recipe, a line each."""
    latents_off: float | None = None
    """Of a crop: by how much its latents were off the recorded ones, at most."""

    @property
    def same(self) -> bool:
        return self.image.within(self.tolerance) and self.mask.within(self.tolerance)

    @property
    def state(self) -> str:
        """`same`, `same pixels` (in files of other bytes), `within tolerance` or `different`."""
        if self.image.differing or self.mask.differing:
            return "within tolerance" if self.same else "different"
        return "same" if self.files_alike == self.files else "same pixels"

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        own = {
            "state": self.state,
            "same": self.same,
            "tolerance": {**asdict(self.tolerance), "text": str(self.tolerance)},
        }
        shares = {"max_difference": self.image.largest, "share_different": self.image.share}
        return {**asdict(self), **own, **shares, "mask_share_different": self.mask.share, "changed": list(self.changed)}

    def line(self) -> str:
        """The result in one line."""
        files = f"{self.files_alike} of {self.files} files of the same bytes"
        files = files if self.latents_off is None else f"latents off by at most {self.latents_off:.3g}"
        found = f"max difference {self.image.largest} of 255, {self.image.share:.3%} of pixels"
        masked = f", mask {self.mask.share:.3%}" if self.mask.differing else ""
        made = f"{self.device}, tolerance {self.tolerance}"
        return f"{self.sample}: {self.state}; {self.pixels}, {found}{masked}; {files}; {made}"


def find(path: Path, sample: str) -> Stored:
    """The stored sample, each of its files hashed. Raises `InputError` where there is no such, and `LineageError` where
    the store is not what its recipe says."""
    recipe, tree = read(path), read_tree(path)
    if recipe["stage"] != STAGE or contents.kind_of(path) != "samples":
        wrong = f"an output of stage {recipe['stage']}"
        raise InputError(fault(path, wrong, "a synthetic store", "name one made by `rawmill synthesize`"))
    rows = {str(row["sample_id"]): row for row in contents.samples(path).to_dict("records")}
    if sample not in rows:
        some = ", ".join(sorted(rows)[:3])
        raise InputError(fault(f"{path}#{sample}", "no such sample", f"an id such as {some}", "name one of these"))
    place = f"samples/{sample}/"
    own = {name.removeprefix(place): tree[name] for name in contents.files_of_sample(tree, sample)}
    for name, entry in own.items():
        file = path / place / name
        present = sha256_file(file) if file.is_file() else "missing"
        if present != entry["sha256"]:
            raise LineageError(fault(file, f"sha256 {present}", f"sha256 {entry['sha256']}", mend(recipe)))
    stored = Stored(path, sample, recipe, own, {str(k): v for k, v in rows[sample].items()})
    check_inputs(stored)
    return stored


def check_inputs(stored: Stored) -> None:
    """Raises `LineageError` where a model or a mask is gone, damaged, or another than the sample was made from, or the
    params are not such as this rawmill reads."""
    for entry in stored.recipe["inputs"]:
        found = resolve(stored.path, entry)
        if entry["kind"] == "artefact":
            _check_model(found, entry, stored)
        else:
            check_leaf(found, entry, stored.recipe, str(found))
    try:
        _ = stored.params
    except ValueError as error:
        wrong = f"params of another rawmill ({str(error).splitlines()[0]})"
        raise LineageError(fault(stored.path, wrong, "params that it can read", mend(stored.recipe))) from None


def _check_model(found: Path, entry: Mapping[str, Any], stored: Stored) -> None:
    whose = f"the {entry['role']} of recipe {entry['recipe'][:16]}, which {stored} was made by"
    if not found.exists():
        raise LineageError(fault(found, "gone", whose, "put it back, e.g. with `dvc checkout`, or train it as it was"))
    present = artefact(str(entry["role"]), found, stored.path)
    if (present["recipe"], present["root"]) != (entry["recipe"], entry["root"]):
        wrong = f"trained anew, recipe {present['recipe'][:16]}, root {present['root'][:16]}"
        remedy = f"put that one back, e.g. with `dvc checkout`, or make the store anew with `{stored.recipe['repair']}`"
        raise LineageError(fault(found, wrong, f"{whose}, root {entry['root'][:16]}", remedy))


def changes(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Files of code and libraries that differ between the recipe and now, a line each."""
    parts = ((recipe["code"], code_digests(CODE), 16), (recipe["libraries"], libraries(CODE), None))
    return tuple(
        f"{name} {str(then.get(name, 'none'))[:short]} then, {str(now.get(name, 'none'))[:short]} now"
        for then, now, short in parts
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    )


def batches(stored: Stored) -> tuple[str, ...]:
    """That the stored sample was made in smaller batches, for want of memory: sums may differ in their last bits."""
    then, now = int(stored.row["batch_windows"]), stored.params.sampler.batch_windows
    return () if then == now else (f"batches of {then} windows then, of {now} as the params say now",)


def regenerate(path: Path, sample: str, out: Path | None = None) -> Result:
    """Make `sample` of the store at `path` again and compare; the store is not touched. The image that was made (an
    OME-Zarr with its mask) is kept at `out` where that is given.

    Raises `InputError` for an unknown sample or an `out` that exists, `LineageError` where the store or a model is not
    what the recipe says.
    """
    if out is not None and (out.exists() or out.is_symlink()):
        raise InputError(fault(out, "exists", "a new path", "choose another --out"))
    stored = find(path, sample)
    with workplace(out) as folder:
        made = make_again(stored, Path(folder))
        result = compare(stored, made)
        if out is not None:
            shutil.move(made, out)
    return result


def workplace(out: Path | None) -> AbstractContextManager[str]:
    """A folder that goes when the work is done: beside `out`, else where temporary files lie (TMPDIR)."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    return TemporaryDirectory(prefix=".rawmill-regenerate-", dir=out.parent if out else None)


def make_again(stored: Stored, folder: Path) -> Path:
    """Carry out the step for this one sample, by the very plan of the recipe, below `folder`; returns its image."""
    job = job_in(stored, folder)
    size = (int(stored.row["height_px"]), int(stored.row["width_px"]))
    pixel_size = networks.read_model(folder_of.input_path(job, "autoencoder"), AutoencoderModel).pixel_size_um
    job.content.mkdir(parents=True)
    (job.staging / "done").mkdir()
    step.lay_out(job.content, {stored.sample: size}, read_attributes(stored.path)["classes"], pixel_size)
    step.process(job, stored.sample)
    done = receipt(job, stored.sample)
    if done is None or done["facts"]["recipe"] != stored.row["recipe"]:
        wrong = f"recipe {done['facts']['recipe'] if done else 'none'} of the sample"
        raise LineageError(fault(str(stored), wrong, stored.row["recipe"], mend(stored.recipe)))
    return job.content / "samples" / stored.sample


def job_in(stored: Stored, folder: Path) -> Job:
    """The job of the recipe, as it would be in `folder`: with the same inputs, at their paths from there."""
    inputs = [{**entry, "path": relative(resolve(stored.path, entry), folder)} for entry in stored.recipe["inputs"]]
    ids = tuple(str(name) for name in contents.samples(stored.path)["sample_id"])
    return Job(folder / "again.zarr", {**plan_of(stored.recipe), "inputs": inputs}, ids)


def compare(stored: Stored, made: Path) -> Result:
    """The image at `made` and its mask against the stored, at full resolution, and all files by their digests."""
    bound = recorded(stored.recipe)
    found = tree_of(made)
    names = {*found, *stored.tree}
    alike = [n for n in names if n in found and n in stored.tree and leaf_value(found[n]) == leaf_value(stored.tree[n])]
    size = (int(stored.row["height_px"]), int(stored.row["width_px"]))
    return Result(
        sample=str(stored),
        pixels=f"{size[0]} x {size[1]} px",
        image=of_images(stored.image, made, bound.grey_levels),
        mask=of_images(stored.image / "labels" / "mask", made / "labels" / "mask", 0),
        files=len(names),
        files_alike=len(alike),
        tolerance=bound,
        device=stored.params.sampler.device,
        changed=(*changes(stored.recipe), *batches(stored)),
    )


def of_images(stored: Path, made: Path, grey_levels: int) -> Difference:
    """The difference of two images at full resolution, shard by shard. `LineageError` where their shapes differ."""
    one, other = open_array(stored / "0"), open_array(made / "0")
    if one.shape != other.shape:
        raise LineageError(fault(stored, f"shape {one.shape}", f"{other.shape}, as made again", "distrust this store"))
    parts = ((np.asarray(one[window]), np.asarray(other[window])) for window in columns(stored))
    return sum((difference(*pair, grey_levels) for pair in parts), start=Difference())
