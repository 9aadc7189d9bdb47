"""Raw-Microscopy and Raw-Drone: a made folder of the published layout gives the entries that it was made of."""

from pathlib import Path

import numpy as np
import pytest

from tasks.contracts import FULL_SCALE_DN
from tasks.errors import InputError
from tasks.ingest import published
from tasks.ingest.formats import mosaic
from tasks.ingest.manifest import Entry
from tests import makers
from tests.published_layouts import LABELS, A, B, C, drone, microscopy, write_labels


def lines(bad: list, folder: Path) -> list[str]:
    return [error.line(folder) for error in bad]


def test_every_crop_at_every_intensity_that_is_there_has_its_smear_class_and_exposure(tmp_path: Path) -> None:
    entries, bad, _ = published.find(microscopy(tmp_path / "m"), "raw-microscopy")
    expected = [
        Entry(f"images/raw_scale{percent:03d}/{name}.tiff", f"{name}_i{percent:03d}", smear, label, "", percent / 100)
        for name, smear, label in ((A, "lame1", "BAS"), (C, "lame10", "BAS"), (B, "lame3", "NGS"))
        for percent in (1, 50, 100)
    ]
    assert entries == sorted(expected, key=lambda e: e.id)
    assert bad == []


def test_one_intensity_is_enough(tmp_path: Path) -> None:
    entries, bad, _ = published.find(microscopy(tmp_path / "m", (10,)), "raw-microscopy")
    assert {entry.intensity for entry in entries} == {0.1}
    assert (len(entries), bad) == (3, [])


def test_the_microscopes_constants_are_the_published_ones(tmp_path: Path) -> None:
    folder = microscopy(tmp_path / "m")
    entries, _, calibration = published.find(folder, "raw-microscopy")
    assert calibration.pattern == "RGGB"
    assert calibration.black_level_dn == pytest.approx((0.644495,) * 4, rel=1e-6)
    assert calibration.white_level_dn == FULL_SCALE_DN
    assert calibration.white_balance == (-0.6567, 1.9673, 3.5304)
    # Balance and matrix are one fit: their signs cancel, and a grey scene stays in the first octant.
    scene = np.array(calibration.colour_matrix) @ (np.array(calibration.white_balance) * 0.2)
    assert scene.min() > 0
    assert (calibration.gain_dn_per_e, calibration.left_justified_bits) == (None, 0)
    found = mosaic.decode(folder / entries[0].file, calibration, makers.params("crops"))
    assert found.calibration == calibration


def test_the_drones_constants_are_the_published_ones(tmp_path: Path) -> None:
    _, _, calibration = published.find(drone(tmp_path / "d"), "raw-drone")
    assert calibration.black_level_dn == pytest.approx((4095.9375, 4102.491, 4095.9375, 4102.491))
    assert calibration.white_balance == (2.86653646, 1.0, 1.73079425)
    assert np.sum(calibration.colour_matrix, axis=1) == pytest.approx(1.0, abs=1e-7)
    assert (calibration.gain_dn_per_e, calibration.iso, calibration.left_justified_bits) == (8.448, 200.0, 4)


@pytest.mark.parametrize("ending", ["tif", "dng"])
def test_frames_have_the_mask_that_names_them_whatever_the_intensity(tmp_path: Path, ending: str) -> None:
    entries, bad, calibration = published.find(drone(tmp_path / "d", ending=ending), "raw-drone")
    found = {(e.file, e.id, e.group, e.label, e.mask, e.intensity) for e in entries}
    assert found == {
        (f"images_full/raw_scale{p:03d}/{s}.{ending}", f"{s}_i{p:03d}", s, "", f"masks_full/{s}_mask.png", p / 100)
        for s in ("f1", "f2", "f10")
        for p in (25, 100)
    }
    assert [e.id for e in entries] == sorted(e.id for e in entries)
    assert bad == []
    assert calibration.pattern == ("GRBG" if ending == "dng" else "RGGB")


def remove_label(folder: Path) -> None:
    write_labels(folder, [f"{name} {label}" for name, label in LABELS.items() if name != A])


def cut_off(folder: Path) -> None:
    (folder / "elsewhere.tiff").write_bytes(b"")
    path = folder / f"images/raw_scale050/{A}.tiff"
    path.unlink()
    path.symlink_to(folder.parent / "outside.tiff")
    (folder.parent / "outside.tiff").write_bytes(b"II*\x00")


MICROSCOPY_FAULTS = {
    "no label": (remove_label, 6, [f"{A}.tiff: no label"]),
    "a class nobody published": (
        lambda f: write_labels(f, [f"{n} {'XYZ' if n == A else label}" for n, label in LABELS.items()]),
        6,
        ["line 1: the class 'XYZ'", f"{A}.tiff: no label"],
    ),
    "three words": (
        lambda f: write_labels(f, [*(f"{n} {label}" for n, label in LABELS.items()), "a b c"]),
        9,
        ["line 6: 3 words"],
    ),
    "two classes": (
        lambda f: write_labels(f, [*(f"{n} {label}" for n, label in LABELS.items()), f"{A} NGS"]),
        9,
        [f"line 6: {A} is BAS too"],
    ),
    "label without a crop": (
        lambda f: write_labels(f, [*(f"{n} {label}" for n, label in LABELS.items()), "Ma190c_lame7_z NGS"]),
        9,
        ["a label of Ma190c_lame7_z, which is in no folder"],
    ),
    "a crop missing at one intensity": (
        lambda f: (f / f"images/raw_scale001/{B}.tiff").unlink(),
        8,
        [f"images/raw_scale001/{B}.tiff: not there"],
    ),
    "foreign name": (
        lambda f: makers.write_tiff(f / "images/raw_scale001/holiday.tiff", makers.mosaic_of(8, 8)),
        9,
        ["holiday.tiff: the name 'holiday' does not tell the smear"],
    ),
    "foreign ending": (
        lambda f: (f / "images/raw_scale001/notes.txt").write_text("x"),
        9,
        ["notes.txt: not a file of this layout"],
    ),
    "another intensity": (lambda f: (f / "images/raw_scale033").mkdir(), 9, ["raw_scale033: an intensity"]),
    "twice": (
        lambda f: makers.write_tiff(f / f"images/raw_scale001/{A}.tif", makers.mosaic_of(8, 8)),
        8,
        [f"{A}.tif: another file", f"{A}.tiff: another file", f"raw_scale001/{A}.tiff: not there"],
    ),
    "a link out of the folder": (cut_off, 8, [f"raw_scale050/{A}.tiff: a link", f"raw_scale050/{A}.tiff: not there"]),
}


@pytest.mark.parametrize("case", MICROSCOPY_FAULTS)
def test_what_does_not_fit_is_a_line_and_the_other_crops_go_on(tmp_path: Path, case: str) -> None:
    spoil, left, words = MICROSCOPY_FAULTS[case]
    folder = microscopy(tmp_path / "m")
    spoil(folder)
    entries, bad, _ = published.find(folder, "raw-microscopy")
    found = sorted(lines(bad, folder))
    assert len(entries) == left
    assert len(found) == len(words), found
    assert all(any(word in line for line in found) for word in words), found


DRONE_FAULTS = {
    "no mask": (lambda f: (f / "masks_full/f1_mask.png").unlink(), 4, ["f1.tif: no mask"] * 2),
    "two masks": (
        lambda f: makers.write_png(f / "masks_full/f1-b.png", np.zeros((4, 4), np.uint8)),
        4,
        ["f1.tif: 2 masks"] * 2,
    ),
    "mask of no frame": (
        lambda f: makers.write_png(f / "masks_full/f3_mask.png", np.zeros((4, 4), np.uint8)),
        6,
        ["f3_mask.png: a mask without a frame"],
    ),
    "frame at one intensity only": (lambda f: (f / "images_full/raw_scale025/f2.tif").unlink(), 5, []),
}


@pytest.mark.parametrize("case", DRONE_FAULTS)
def test_what_does_not_fit_is_a_line_and_the_other_frames_go_on(tmp_path: Path, case: str) -> None:
    spoil, left, words = DRONE_FAULTS[case]
    folder = drone(tmp_path / "d")
    spoil(folder)
    entries, bad, _ = published.find(folder, "raw-drone")
    found = lines(bad, folder)
    assert (len(entries), len(found)) == (left, len(words)), found
    assert all(word in line for word, line in zip(words, found, strict=True)), found


def remove(path: Path) -> None:
    for child in sorted(path.rglob("*"), reverse=True):
        child.rmdir() if child.is_dir() else child.unlink()
    path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("make", "kind", "lost"),
    [
        (microscopy, "raw-microscopy", "images"),
        (microscopy, "raw-microscopy", published.LABELS),
        (drone, "raw-drone", "images_full"),
        (drone, "raw-drone", "masks_full"),
    ],
)
def test_a_folder_without_the_layout_is_one_line(tmp_path: Path, make, kind: str, lost: str) -> None:
    folder = make(tmp_path / "x")
    remove(folder / lost)
    with pytest.raises(InputError, match=r"no such file or directory; expected .*published-datasets") as caught:
        published.find(folder, kind)
    assert lost in str(caught.value)
    assert "\n" not in str(caught.value)


def test_archives_that_were_not_unpacked_are_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "raw_scale100.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"no intensities in it.*unpack"):
        published.find(tmp_path, "raw-microscopy")
