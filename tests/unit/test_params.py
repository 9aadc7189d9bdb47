"""Params are frozen, complete, and say which key is wrong."""

from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.params import Params, load


class Blur(Params):
    sigma_px: float
    size_px: int


def write(folder: Path, text: str) -> Path:
    file = folder / "params.yaml"
    file.write_text(text)
    return file


def test_a_section_becomes_a_frozen_model(tmp_path: Path) -> None:
    blur = load(write(tmp_path, "isp:\n  blur: {sigma_px: 0.5, size_px: 5}\n"), "isp.blur", Blur)
    assert blur == Blur(sigma_px=0.5, size_px=5)
    with pytest.raises(ValueError, match="frozen"):
        blur.sigma_px = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blur: {sigma_px: 0.5, size_px: 5, sgima: 1}", ["sgima", "extra inputs", "the keys sigma_px, size_px"]),
        ("blur: {sigma_px: 0.5}", ["size_px", "required"]),
        ("blur: {sigma_px: wide, size_px: 5}", ["sigma_px", "'wide'"]),
        ("blur: {sigma_px: .nan, size_px: 5}", ["sigma_px", "finite"]),
        ("blurr: {}", ["no section 'blur'", "blurr"]),
        ("blur: [", ["valid YAML"]),
        ("- 1", ["no section 'blur'; expected rawmill's sections; start from a copy of rawmill's params.yaml"]),
        ("", ["no section 'blur'; expected rawmill's sections", "--params"]),
        ("1: 2", ["no section 'blur'; expected one of 1; start"]),
    ],
)
def test_a_bad_section_names_the_file_the_key_and_what_is_known(tmp_path: Path, text: str, words: list[str]) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ParamsError) as caught:
        load(file, "blur", Blur)
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in [str(file), *words]), line


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"absent\.yaml: not there"):
        load(tmp_path / "absent.yaml", "blur", Blur)
