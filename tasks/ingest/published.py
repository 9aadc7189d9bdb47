"""Raw-Microscopy and Raw-Drone as their publishers lay them out: entries, and the camera that made them.

The layouts, the usable classes, the invalid file and the cameras' constants are those of the publishers' reference
code (Oala et al. 2021, "From Lens to Logit", github.com/aiaudit-org/raw2logit, dataset.py), data at
doi.org/10.5281/zenodo.5235536. docs/published-datasets.md says how to get them.

    raw-microscopy: images/raw_scale{001,005,010,025,050,075,100}/<name>.tiff, labels/Ma190c_annotations.dat
    raw-drone:      images_full/raw_scale<...>/<stem>.{tif,dng}, masks_full/*<stem>*.png
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.contracts import FULL_SCALE_DN, Calibration, Pattern
from tasks.errors import InputError, ParamsError, fault
from tasks.ingest.bad import BadFile
from tasks.ingest.manifest import SAFE_ID, Entry, leaves, safe_id
from tasks.ingest.params import IngestParams, Published

SCALES_PERCENT = (1, 5, 10, 25, 50, 75, 100)
"""Intensities that were published, as the folders' names have them."""
CLASSES = ("BAS", "EOS", "KSC", "LYA", "LYT", "MON", "NGB", "NGS", "UNC")
RARE_CLASSES = ("EBO", "MMZ", "MOB", "MYB", "MYO", "PMB", "PMO")
"""Of at most four crops each, which the publishers leave out too."""
INVALID = ("Ma190c_lame3_zone13_composite_Mcropped_2",)
"""Crops that the publishers leave out."""
CROP_NAME = re.compile(r"[A-Za-z0-9]+_(lame\d+)_[A-Za-z0-9._-]{1,80}")
LABELS = "labels/Ma190c_annotations.dat"
MOST_LABEL_BYTES = 10_000_000
IMPLIED: Mapping[Published, Mapping[str, Any]] = {
    "raw-microscopy": {},
    "raw-drone": {"mask_values": "nonzero", "source_classes": ("car",)},
}
"""Params that follow from the layout: the drone's masks are 0 or a car."""

MICROSCOPY = Calibration(
    pattern="RGGB",
    black_level_dn=(9.834368e-6 * FULL_SCALE_DN,) * 4,
    white_level_dn=FULL_SCALE_DN,
    white_balance=(-0.6567, 1.9673, 3.5304),
    colour_matrix=((-2.0338, 0.0933, 0.4157), (-0.0286, 2.6464, -0.0574), (-0.5516, -0.0947, 2.9308)),
    exposure_s=None,
    iso=None,
    gain_dn_per_e=None,
    left_justified_bits=0,
)
"""A fitted balance and matrix, whose negative signs cancel."""
DRONE = Calibration(
    pattern="RGGB",
    black_level_dn=(0.0625 * FULL_SCALE_DN, 0.0626 * FULL_SCALE_DN, 0.0625 * FULL_SCALE_DN, 0.0626 * FULL_SCALE_DN),
    white_level_dn=FULL_SCALE_DN,
    white_balance=(2.86653646, 1.0, 1.73079425),
    colour_matrix=(
        (1.50768983, -0.33571374, -0.17197604),
        (-0.23048614, 1.70698738, -0.47650126),
        (-0.03119153, -0.32803956, 1.35923111),
    ),
    exposure_s=None,
    iso=200.0,
    gain_dn_per_e=8.448,
    left_justified_bits=4,
)

Pictures = dict[int, dict[str, Path]]
"""Files by intensity in percent and by name without ending."""


def check(kind: Published, params: IngestParams) -> None:
    """Raise `ParamsError` where `params` are not what the layout implies: a recipe holds them as they were given."""
    for key, value in IMPLIED[kind].items():
        found = getattr(params, key)
        if found != value:
            raise ParamsError(fault(f"{kind}: {key}", found, value, f"set {key} so in the params"))


def find(folder: Path, kind: Published) -> tuple[list[Entry], list[BadFile], Calibration]:
    """The entries of the published dataset in `folder` sorted by id, what is wrong with others, and its camera.

    The group is the smear (`lame3`) or the frame, the same for all intensities of one picture. Crops of rare
    classes and those that the publishers declare invalid are left out. Raises `InputError` where the folder has
    not the layout at all.
    """
    bad: list[BadFile] = []
    if kind == "raw-microscopy":
        return sorted(_crops(folder, bad), key=lambda e: e.id), bad, MICROSCOPY
    frames = _scales(folder / "images_full", (".tif", ".tiff", ".dng"), folder, bad)
    entries = sorted(_frames(folder, frames, bad), key=lambda e: e.id)
    return entries, bad, DRONE.model_copy(update={"pattern": _pattern(folder, entries)})


def _listed(folder: Path) -> list[Path]:
    """What is in `folder`, sorted by name, hidden files left out. Raises `InputError`."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        remedy = "name the folder that holds the published layout, see docs/published-datasets.md"
        raise InputError(fault(folder, os.strerror(error.errno or 0).lower(), "a folder", remedy)) from None


def _scales(images: Path, endings: Sequence[str], root: Path, bad: list[BadFile]) -> Pictures:
    """The pictures in each `raw_scale<percent>` below `images`; other folders hold developed pictures."""
    found: Pictures = {}
    known = {f"raw_scale{percent:03d}": percent for percent in SCALES_PERCENT}
    for path in _listed(images):
        if path.is_dir() and path.name in known:
            found[known[path.name]] = _pictures(path, endings, root, bad)
        elif path.name.startswith("raw_scale") and path.is_dir():
            bad.append(BadFile(path, "an intensity that was not published", ", ".join(known), "leave it out"))
    if not found:
        remedy = "unpack the archives there, see docs/published-datasets.md"
        raise InputError(fault(images, "no intensities in it", f"at least one of {', '.join(known)}", remedy))
    return found


def _pictures(folder: Path, endings: Sequence[str], root: Path, bad: list[BadFile]) -> dict[str, Path]:
    """Files by name without ending; what is no picture, leads away or shares its name becomes a fault."""
    files = []
    for path in _listed(folder):
        if path.suffix.lower() not in endings or not path.is_file():
            bad.append(
                BadFile(path, "not a file of this layout", " or ".join(f"*{e}" for e in endings), "leave it out")
            )
        elif leaves(root, path):
            bad.append(BadFile(path, "a link that leaves the folder", "a file inside it", "copy the file there"))
        else:
            files.append(path)
    stems = Counter(path.stem for path in files)
    for path in files:
        if stems[path.stem] > 1:
            bad.append(BadFile(path, f"another file is named {path.stem} too", "one", "leave one of them out"))
    return {path.stem: path for path in files if stems[path.stem] == 1}


def _crops(folder: Path, bad: list[BadFile]) -> Iterator[Entry]:
    pictures = _scales(folder / "images", (".tif", ".tiff"), folder, bad)
    labels = _labels(folder / LABELS, bad)
    there = {name for files in pictures.values() for name in files}
    for name in sorted(there | set(labels)):
        smear = CROP_NAME.fullmatch(name)
        path = next((files[name] for files in pictures.values() if name in files), folder / LABELS)
        if name in INVALID or labels.get(name) in RARE_CLASSES:
            continue
        if smear is None:
            expected = "a name such as Ma190c_lame3_zone13_composite_Mcropped_1"
            bad.append(BadFile(path, f"the name {name!r} does not tell the smear", expected, "leave it out"))
        elif name not in labels:
            bad.append(BadFile(path, "no label", f"a line `{name} CLASS` in {LABELS}", "add it or leave the file out"))
        elif name not in there:
            bad.append(BadFile(path, f"a label of {name}, which is in no folder", "its picture", "unpack it again"))
        else:
            yield from _intensities(folder, pictures, name, smear[1], labels[name], bad)


def _intensities(
    folder: Path, pictures: Pictures, name: str, smear: str, label: str, bad: list[BadFile]
) -> Iterator[Entry]:
    """One crop at each intensity that is there."""
    for percent, files in sorted(pictures.items()):
        if name in files:
            file = files[name].relative_to(folder).as_posix()
            yield Entry(file, f"{name}_i{percent:03d}", smear, label, "", percent / 100)
        else:
            path = folder / "images" / f"raw_scale{percent:03d}" / f"{name}.tiff"
            bad.append(BadFile(path, "not there", "the crop at this intensity too", "unpack it again"))


def _labels(path: Path, bad: list[BadFile]) -> dict[str, str]:
    """Class by crop, of lines `<name> CLASS`. Raises `InputError` where the file cannot be read."""
    remedy = "download the labels again, see docs/published-datasets.md"
    try:
        if path.stat().st_size > MOST_LABEL_BYTES:
            raise InputError(fault(path, "larger than any list of labels", f"{MOST_LABEL_BYTES} bytes", remedy))
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(fault(path, os.strerror(error.errno or 0).lower(), "the labels", remedy)) from None
    except UnicodeDecodeError:
        raise InputError(fault(path, "not a text in UTF-8", "lines `<name> CLASS`", remedy)) from None
    found: dict[str, str] = {}
    for number, words in enumerate(map(str.split, lines), start=1):
        wrong = _wrong_label(words, found)
        if wrong:
            bad.append(BadFile(path, f"line {number}: {wrong}", "`<name> CLASS` once a crop", "mend the line"))
        elif words:
            found[words[0]] = words[1]
    return found


def _wrong_label(words: Sequence[str], found: Mapping[str, str]) -> str:
    if not words:
        return ""
    if len(words) != 2:
        return f"{len(words)} words"
    name, label = words
    if label not in (*CLASSES, *RARE_CLASSES):
        return f"the class {label!r}"
    return f"{name} is {found[name]} too" if found.get(name, label) != label else ""


def _frames(folder: Path, pictures: Pictures, bad: list[BadFile]) -> Iterator[Entry]:
    stems = {stem for files in pictures.values() for stem in files}
    ids = Counter(safe_id(stem) for stem in stems)
    masks = _masks(folder, stems, bad)
    for percent, files in sorted(pictures.items()):
        for stem, path in sorted(files.items()):
            frame = safe_id(stem)
            if ids[frame] > 1 or not SAFE_ID.fullmatch(f"{frame}_i{percent:03d}"):
                bad.append(BadFile(path, f"its name gives the id {frame}", "a short one of its own", "rename it"))
            elif len(masks[stem]) != 1:
                wrong = "no mask" if not masks[stem] else f"{len(masks[stem])} masks"
                bad.append(BadFile(path, wrong, f"one masks_full/*{stem}*.png", "put it there or leave the frame out"))
            else:
                file, mask = path.relative_to(folder).as_posix(), masks[stem][0].relative_to(folder).as_posix()
                yield Entry(file, f"{frame}_i{percent:03d}", frame, "", mask, percent / 100)


def _masks(folder: Path, stems: set[str], bad: list[BadFile]) -> Mapping[str, list[Path]]:
    """Masks by frame: each belongs to the longest stem that its name contains, `f1` not being in `f10`."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _pictures(folder / "masks_full", (".png",), folder, bad).values():
        inside = [stem for stem in stems if re.search(rf"(?<![0-9]){re.escape(stem)}(?![0-9])", path.stem)]
        if inside:
            found[max(inside, key=len)].append(path)
        else:
            expected = "the name of a file in images_full in its own"
            bad.append(BadFile(path, "a mask without a frame", expected, "unpack the frame or leave the mask out"))
    return found


def _pattern(folder: Path, entries: Sequence[Entry]) -> Pattern:
    """What the first readable DNG says; TIFF cannot. A DNG that disagrees with it is met when it is decoded."""
    from tasks.ingest.formats import camera_raw

    for entry in entries:
        if entry.file.lower().endswith(".dng"):
            try:
                with camera_raw.opened(folder / entry.file) as raw:
                    return camera_raw.pattern_of(raw, folder / entry.file)
            except BadFile:
                continue  # named in its turn, when it is decoded
    return DRONE.pattern
