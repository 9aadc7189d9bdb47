"""The table of hostile files, second half: annotations, manifests, names, links, permissions."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import hostile_makers as hostile
from tests import makers
from tests.faults.hostile_rows import FRAME, Make, Row, frame, mask, raw, text
from tests.hostile_makers import cut, mosaic_tile

BOX = makers.box(5, 5, 40, 30)
LINE = "bad.dng,bad,bad,,,1.0\n"
TOO_LARGE = 60_000_000


def grey(bits: int = 8, **sizes: int) -> Callable[[], bytes]:
    """A PNG of zeros, whose header may claim other sizes."""
    height, width = FRAME
    data = zlib.compress(bytes((width * bits // 8 + 1) * height))
    return lambda: hostile.png(sizes.get("width", width), sizes.get("height", height), [(b"IDAT", data)], bits)


def features(names: list[str]) -> Make:
    return lambda path: makers.write_geojson(path, [makers.feature(name, "Polygon", [BOX]) for name in names])


def crowd(path: Path) -> Path:
    """50,000 squares of a pixel."""
    places = ((i % FRAME[1], i // FRAME[1] % FRAME[0]) for i in range(50_000))
    return makers.write_geojson(
        path, [makers.feature("a", "Polygon", [makers.box(x, y, x + 1, y + 1)]) for x, y in places]
    )


def zigzag(path: Path) -> Path:
    """One ring that crosses all rows 20,000 times."""
    ring = [[i / 200, (i % 2) * 96.0] for i in range(20_000)]
    return makers.write_geojson(path, [makers.feature("a", "Polygon", [[*ring, ring[0]]])])


def sparse(size: int, head: bytes = b"") -> Make:
    """A file that is large and takes no room."""

    def spoil(path: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return spoil


def ring(corners: str) -> str:
    geometry = '{"type": "Polygon", "coordinates": [' + corners + "]}"
    return '[{"type": "Feature", "properties": {"label": "a"}, "geometry": ' + geometry + "}]"


MASKS = {
    "PNG of 3.6 billion pixels": (".png", raw(grey(width=60000, height=60000)), "60000 x 60000 pixels"),
    "PNG of 196 million pixels": (".png", raw(grey(width=14000, height=14000)), "14000 x 14000 pixels"),
    "PNG that expands": (
        ".png", raw(lambda: hostile.png(128, 96, [(b"IDAT", hostile.deflated(hostile.BOMB_BYTES))])), ""
    ),
    "PNG with text that expands": (
        ".png", raw(lambda: hostile.png(128, 96, [(b"zTXt", b"a\0\0" + hostile.deflated(hostile.BOMB_BYTES))])), "dam"
    ),
    "PNG of no width": (".png", raw(grey(width=0)), "; expected "),
    "PNG in colour": (".png", lambda p: makers.write_png(p, np.zeros((*FRAME, 3), np.uint8)), "PNG mode RGB"),
    "PNG cut": (".png", cut(lambda p: raw(grey())(p), lambda d: len(d) - 30), "truncated or damaged"),
    "PNG of a value without a name": (".png", lambda p: makers.write_png(p, np.full(FRAME, 9, np.uint8)), "value 9"),
    "PNG of another size": (".png", lambda p: makers.write_png(p, np.zeros((96, 127), np.uint8)), "96 x 127 pixels"),
    "TIFF in a circle": (".tif", lambda p: hostile.circle(makers.write_tiff(p, np.zeros(FRAME, np.uint8))), "circle"),
    "TIFF that expands": (".tif", raw(lambda: mosaic_tile(hostile.zstd_bomb(), 50000)), "; expected "),
    "GeoJSON nested deep": (".geojson", text("[" * 200_000), "not GeoJSON"),
    "GeoJSON nested deep in a feature": (".geojson", text('{"features": [' + "[" * 200_000), "not GeoJSON"),
    "GeoJSON of 4 million lists": (".geojson", text("[" + "[]," * 4_000_000 + "[]]"), "4000002 lists"),
    "GeoJSON of 60 MB": (".geojson", sparse(TOO_LARGE, b"["), "60000000 bytes; expected at most"),
    "GeoJSON that is not UTF-8": (".geojson", raw(lambda: b'{"features": ["\xff\xfe"]}'), "not GeoJSON"),
    "GeoJSON with no numbers": (".geojson", text(ring("[[NaN, 0], [1, 1], [2, 0]]")), "a corner that is no place"),
    "GeoJSON with 1e300": (".geojson", text(ring("[[1e300, 0], [1, 1], [2, 0]]")), "a corner that is no place"),
    "GeoJSON with a number of 5000 digits": (".geojson", text(ring(f"[[{'9' * 5000}, 0], [1, 1], [2, 0]]")), "not "),
    "GeoJSON of a point": (".geojson", text(ring("[[1, 1]]")), "feature 0 is not a polygon"),
    "GeoJSON of 300 classes": (".geojson", features([f"c{i}" for i in range(300)]), "the class 'c0'"),
    "GeoJSON cut": (".geojson", cut(features(["a"]), lambda d: len(d) - 1), "not GeoJSON"),
    "GeoJSON of 50000 features": (".geojson", crowd, ""),
    "GeoJSON of a zigzag": (".geojson", zigzag, ""),
}  # fmt: skip


def linked(target: str, name: str = "bad.dng") -> Make:
    return lambda folder: (folder / name).symlink_to(target)


MANIFESTS: dict[str, tuple[str, str, Make]] = {
    "a path that leads up": ("../bad.dng,bad,bad,,,1.0\n", "leaves the folder", lambda f: frame(f.parent / "bad.dng")),
    "a path that leads up and back": ("x/../good.dng,bad,bad,,,1.0\n", "leaves the folder", lambda f: None),
    "an absolute path": ("/etc/passwd,bad,bad,,,1.0\n", "leaves the folder", lambda f: None),
    "a device": ("/dev/zero,bad,bad,,,1.0\n", "leaves the folder", lambda f: None),
    "a Windows path": ("..\\bad.dng,bad,bad,,,1.0\n", "leaves the folder", lambda f: None),
    "a NUL": ("bad\0.dng,bad,bad,,,1.0\n", "leaves the folder", lambda f: None),
    "a URI": ("file:///etc/passwd,bad,bad,,,1.0\n", "is not there", lambda f: None),
    "a link out of the folder": (LINE, "leaves the folder", linked("/etc/passwd")),
    "a link through a folder": ("sub/etc/passwd,bad,bad,,,1.0\n", "leaves the folder", linked("/", "sub")),
    "a link to itself": (LINE, "is not there", linked("bad.dng")),
    "a link to nothing": (LINE, "is not there", linked("nothing.dng")),
    "a folder": (LINE, "is not there", lambda f: (f / "bad.dng").mkdir()),
    "a pipe": (LINE, "is not there", lambda f: os.mkfifo(f / "bad.dng")),
    "a name of 5000 letters": (f"{'b' * 5000},bad,bad,,,1.0\n", "is not there", lambda f: None),
    "an annotation that leads up": ("bad.dng,bad,bad,,../m.png,1.0\n", "leaves", lambda f: frame(f / "bad.dng")),
    "an id that is a path": ("bad.dng,../../o,bad,,,1.0\n", "id '../../o'", lambda f: frame(f / "bad.dng")),
    "an id of two lines": ('bad.dng,"a\nb",bad,,,1.0\n', "id 'a\\nb'", lambda f: frame(f / "bad.dng")),
    "an id of escapes": ("bad.dng,\x1b[2J,bad,,,1.0\n", "id '\\x1b[2J'", lambda f: frame(f / "bad.dng")),
    "no group": ("bad.dng,bad,,,,1.0\n", "no group", lambda f: frame(f / "bad.dng")),
    "an intensity of NaN": ("bad.dng,bad,bad,,,nan\n", "intensity 'nan'", lambda f: frame(f / "bad.dng")),
    "an intensity of 1e999": ("bad.dng,bad,bad,,,1e999\n", "intensity '1e999'", lambda f: frame(f / "bad.dng")),
    "a line of eight fields": ("bad.dng,bad,bad,,,1.0,x,y\n", "8 fields", lambda f: frame(f / "bad.dng")),
    "a line of two fields": ("bad.dng,bad\n", "no group", lambda f: frame(f / "bad.dng")),
}
HEAD = "file,id,group,label,mask,intensity\n"
BESIDE: dict[str, tuple[str, Make, str]] = {
    "manifest of nothing": ("manifest.csv", text(""), "columns "),
    "manifest of a header": ("manifest.csv", text(HEAD), "no lines"),
    "manifest in UTF-16": ("manifest.csv", raw(lambda: (HEAD + LINE).encode("utf-16")), "not a CSV file in UTF-8"),
    "manifest without a column": ("manifest.csv", text("file,id\nbad.dng,bad\n"), "columns file,id"),
    "manifest of 60 MB": ("manifest.csv", sparse(TOO_LARGE), "60000000 bytes"),
    "manifest of one field": ("manifest.csv", text(HEAD + "x" * 2_000_000), "not a CSV file"),
    "manifest that is a folder": ("manifest.csv", lambda p: p.mkdir(), "is a directory"),
    "manifest that is a pipe": ("manifest.csv", os.mkfifo, "not a file"),
    "calibration of NaN": ("calibration.json", text('{"pattern": "RGGB", "black_level_dn": [NaN, 0, 0, 0]}'), "black_"),
    "calibration nested deep": ("calibration.json", text("[" * 200_000), "not JSON"),
    "calibration of 2 GB": ("calibration.json", sparse(2**31), "2147483648 bytes"),
    "calibration that is not UTF-8": ("calibration.json", raw(lambda: b"\xff\xfe{}"), "not JSON"),
    "calibration of a list": ("calibration.json", text("[1, 2]"), "it: "),
}


def beside(name: str, spoil: Make) -> Make:
    """A manifest or calibration that is bad itself."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        spoil(folder / name)

    return make


def files(words: str, names: tuple[str, ...], make: Make, **more: Any) -> Row:
    return Row("frames", make, words, names, **more)


def named(*names: str) -> Make:
    """Good frames of these names."""

    def make(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            frame(folder / name)

    return make


def bytes_named(folder: Path) -> None:
    """A good frame whose name is no UTF-8."""
    frame(folder / "bad.dng")
    (folder / "bad.dng").rename(folder / os.fsdecode(b"bad\xff.dng"))


def locked(name: str, make: Make) -> Make:
    """A file that no one may read."""

    def spoil(folder: Path) -> None:
        make(folder / name)
        (folder / name).chmod(0)

    return spoil


def orphan(folder: Path) -> None:
    raw(grey())(folder / "bad.png")


def twice_annotated(folder: Path) -> None:
    frame(folder / "bad.dng")
    orphan(folder)
    features(["a"])(folder / "bad.geojson")


LONG = "l" * 251 + ".dng"
FILES = {
    "names that are not ASCII": files(
        "", (), named("切片.dng", "标本.dng", "schnitt ä.dng", "😀.dng"),
        also=("schnitt__-6f6801e3", "x_-f0443a34", "x__-d8dbfa09", "x__-e1b4f02f"),
    ),
    "names with signs": files(
        "", (), named("a#1 %20.dng", "b'\"x\".dng", "-c.dng", "d\ne.dng"), also=("a_1__20", "b__x_", "d_e", "x-c")
    ),
    "a name of 255 bytes": files("", (), named(LONG), also=("l" * 91 + "-473034f2",)),
    "a name that is no UTF-8": files("not UTF-8", ("bad\\udcff.dng",), bytes_named),
    "one stem in two folders": files("named bad too", ("a/bad.dng", "b/bad.dng"), named("a/bad.dng", "b/bad.dng")),
    "one stem with two endings": files(
        "named bad too", ("bad.dng", "bad.DNG"), named("bad.dng", "bad.DNG")
    ),
    "a link to nothing": files("not there", ("bad.dng",), linked("nothing.dng")),
    "a link to itself": files("; expected ", ("bad.dng",), linked("bad.dng")),
    "a pipe": files("not a file", ("bad.dng",), lambda f: os.mkfifo(f / "bad.dng")),
    "a folder": files("not a file", ("bad.dng",), lambda f: (f / "bad.dng").mkdir()),
    "an annotation alone": files("no picture with this name", ("bad.png",), orphan),
    "two annotations": files("2 annotations", ("bad.dng",), twice_annotated),
    "a file that may not be read": files(
        "permission denied", ("bad.dng",), locked("bad.dng", frame), unprivileged=True
    ),
}  # fmt: skip
PRIVATE: dict[str, Row] = {
    "manifest: a file that may not be read": Row(
        "frames", locked("bad.dng", frame), "permission denied", ("bad.dng",), lines=LINE, unprivileged=True
    ),
    "manifest: a folder that may not be entered": Row(
        "frames", locked("shut", lambda p: (p.mkdir(), frame(p / "bad.dng"))), "is not there", ("manifest.csv",),
        lines="shut/bad.dng,bad,bad,,,1.0\n", unprivileged=True,
    ),
    "manifest that may not be read": Row(
        "frames", lambda f: (f / "manifest.csv").chmod(0), "permission denied", ("manifest.csv",), lines="",
        nothing=True, unprivileged=True,
    ),
    "calibration that may not be read": Row(
        "frames", locked("calibration.json", text("{}")), "permission denied", ("calibration.json",), lines="",
        nothing=True, unprivileged=True,
    ),
    "mask that may not be read": mask(".png", lambda p: (raw(grey())(p), p.chmod(0)), "permission denied",
                                      unprivileged=True),
}  # fmt: skip


def rows() -> dict[str, Row]:
    """All of them by name; those of an unprivileged user last, when all modules are loaded."""
    found = {f"mask: {name}": mask(end, spoil, words) for name, (end, spoil, words) in MASKS.items()}
    for name, (lines, words, make) in MANIFESTS.items():
        found[f"manifest: {name}"] = Row("frames", make, words, ("manifest.csv",), lines=lines)
    found["manifest: one id twice"] = Row(
        "frames", named("bad.dng"), "more than once", ("manifest.csv",) * 2, lines=LINE * 2
    )
    for name, (file, spoil, words) in BESIDE.items():
        found[name] = Row("frames", beside(file, spoil), words, (file,), lines="", nothing=True)
    return {**found, **{f"files: {name}": row for name, row in FILES.items()}, **PRIVATE}
