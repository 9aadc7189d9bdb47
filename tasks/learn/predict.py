"""Predictions of a stored task model: class probabilities of views, the same bits in whatever company.

Weights come from safetensors, the architecture from `model.json`: nothing is unpickled.
"""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.errors import LineageError, fault
from tasks.learn.checkpoint import read_tensors
from tasks.learn.data import resize_views, window_of
from tasks.learn.determinism import on_device, one_thread
from tasks.learn.networks import network_of, where
from tasks.learn.params import LearnParams
from tasks.lineage.recipe import check_files
from tasks.params import parse

BATCH = 8
"""Views go through the network in full batches of this many, the last one padded: kernels may differ by batch size."""


def probabilities(model: nn.Module, views: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the class axis of `model` on views (n, c, y, x) float32, at the network's size.

    Returns (n, classes) or (n, classes, y, x) float32, computed where the model lies. A view's result does not depend
    on the others.
    """
    model.eval()
    out, device = [], where(model)
    with on_device(device), torch.no_grad():
        for start in range(0, len(views), BATCH):
            part = np.ascontiguousarray(views[start : start + BATCH])
            full = np.zeros((BATCH, *part.shape[1:]), dtype=np.float32)
            full[: len(part)] = part
            out.append(model(torch.from_numpy(full).to(device)).softmax(1).cpu().numpy()[: len(part)])
    return np.concatenate(out)


def read_params(model_dir: Path) -> LearnParams:
    """The params in `model.json`. Raises `LineageError` where it is missing or broken."""
    file = model_dir / "model.json"
    try:
        values = json.loads(file.read_bytes())["params"]
    except (OSError, ValueError, KeyError, TypeError):
        raise LineageError(fault(file, "not a model description", "JSON of rawmill", "train it again")) from None
    return parse(LearnParams, values, file)


def read_model(model_dir: Path, fold: int) -> tuple[nn.Module, LearnParams]:
    """The network of `fold` below `model_dir`, in evaluation mode, and its params. Checks no recipe."""
    params = read_params(model_dir)
    model = network_of(params)
    model.load_state_dict(read_tensors(model_dir / f"fold{fold}.safetensors"))
    return model.eval(), params


def predict(model_dir: Path, fold: int, views: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities of square `views` (n, 3, y, x) float32 in [0, 1] by the model of `fold`.

    Of each the params' window is resized by area to the network's side. Returns (n, classes), or
    (n, classes, side, side) of a segmentation, float32. Raises `LineageError` where the model's files are not those of
    its recipe.
    """
    check_files(model_dir)
    model, params = read_model(model_dir, fold)
    with one_thread():
        seen = window_of(views.shape[-1], params.window_px)
        return probabilities(model, resize_views(np.ascontiguousarray(views[..., seen, seen]), params.input_px))
