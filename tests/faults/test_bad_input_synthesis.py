"""What a user may bring to `synthesize`: odd sizes are handled, masks and models that do not fit are one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks import store
from tasks.errors import InputError, LineageError, RawmillError
from tests import synthetic_models

LITTLE = {"steps": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return synthetic_models.train(tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (31, 33), (33, 257), (32, 1)])
def test_sizes_that_the_factor_does_not_divide_or_below_a_window_are_made_exactly(models, tmp_path, size) -> None:
    """A latent pixel is 4 px, a window 32 px."""
    out = tmp_path / "o.zarr"
    synthetic_models.synthesise(models, out, 1, size, LITTLE)
    image = out / "samples" / "s00000"
    assert store.open_array(image / "0").shape == (3, *size)
    assert store.open_array(image / "labels" / "mask" / "0").shape == size


def png(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("size", [(3, 70), (45, 30)])
def test_a_mask_of_any_size_is_followed_to_its_last_pixel(models, tmp_path, size) -> None:
    mask = (np.indices(size).sum(0) % 3).astype(np.uint8)
    out = tmp_path / "o.zarr"
    synthetic_models.synthesise(models, out, 1, (8, 8), LITTLE, png(tmp_path / "mask.png", mask))
    image = out / "samples" / "s00000"
    assert np.array_equal(store.open_array(image / "labels" / "mask" / "0")[:], mask)
    assert store.open_array(image / "0").shape == (3, *size)


MASKS = {
    "a class of no name": (np.full((40, 40), 3, np.uint8), "class 3"),
    "ignored as 255": (np.full((40, 40), 255, np.uint8), "class 255"),
    "three channels": (np.zeros((40, 40, 3), np.uint8), "RGB"),
    "16 bits": (np.zeros((40, 40), np.uint16), "I;16"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_that_are_no_classes_of_the_model_are_one_line(models, tmp_path, kind) -> None:
    values, words = MASKS[kind]
    refused(models, tmp_path, png(tmp_path / "mask.png", values), InputError, words)


def test_a_mask_that_is_no_picture_is_one_line(models, tmp_path) -> None:
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"?" * 40)
    refused(models, tmp_path, tmp_path / "mask.png", InputError, "mask.png")


@pytest.mark.parametrize("name", ["autoencoder", "denoiser"])
def test_weights_of_another_architecture_are_one_line(models, tmp_path, name) -> None:
    """A user copies weights from one model's folder into another's."""
    copy = shutil.copytree(models, tmp_path / "models")
    other = {"autoencoder": "denoiser", "denoiser": "autoencoder"}[name]
    shutil.copyfile(models / other / "weights.safetensors", copy / name / "weights.safetensors")
    refused(copy, tmp_path, None, LineageError, f"{name}/weights.safetensors")


def test_models_in_each_others_places_are_one_line(models, tmp_path) -> None:
    shutil.copytree(models / "autoencoder", tmp_path / "models" / "denoiser")
    shutil.copytree(models / "denoiser", tmp_path / "models" / "autoencoder")
    refused(tmp_path / "models", tmp_path, None, InputError, "denoiser/model.json")


def test_half_of_the_models_is_one_line(models, tmp_path) -> None:
    shutil.copytree(models / "autoencoder", tmp_path / "models" / "autoencoder")
    refused(tmp_path / "models", tmp_path, None, LineageError, "models/denoiser: not there")


def refused(models: Path, folder: Path, mask: Path | None, error: type[RawmillError], words: str) -> None:
    out = folder / "out" / "o.zarr"
    with pytest.raises(error) as caught:
        synthetic_models.synthesise(models, out, 1, (8, 8), LITTLE, mask)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "; expected " in str(caught.value)
    assert not out.exists() and not list(folder.glob("out/.o.zarr.staging-*"))
