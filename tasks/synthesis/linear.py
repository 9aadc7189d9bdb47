"""The best linear autoencoder of pictures, in closed form: where an autoencoder with a linear path starts.

Into the latent: principal components of factor x factor blocks (Karhunen-Loeve transform). Back: least squares
from the latent pixel and its eight neighbours, given that the latents carry noise of known deviation (a Wiener
filter), so that neighbouring blocks meet without an edge, which projecting back alone does not give.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tasks.synthesis.networks import LinearPath
from tasks.synthesis.params import AutoencoderArchitecture
from tasks.synthesis.pictures import Stack, chunks, to_network


def fit_path(pictures: Stack, architecture: AutoencoderArchitecture) -> LinearPath:
    """The linear path of an architecture for pictures (n, 3, y, x)."""
    factor, count = architecture.factor, architecture.latent_channels
    mean, basis, deviation = principal(pictures, factor, count)
    into = basis / component_scale(deviation, architecture.whitening)[:, None, None, None]
    bias = -(into * mean).sum((1, 2, 3))
    back = interpolation(pictures, into, bias, mean, architecture.first_latent_noise)
    return LinearPath(into, bias, back, mean.ravel())


def interpolation(
    pictures: Stack,
    into: NDArray[np.float32],
    bias: NDArray[np.float32],
    mean: NDArray[np.float32],
    noise: float,
) -> NDArray[np.float32]:
    """Weights (3 f f, c, 3, 3) that give a block less `mean` from 3 x 3 latent pixels with least squared error.

    Expected over the blocks of `pictures` and over independent noise of deviation `noise` on each latent.
    """
    channels, factor = into.shape[0], into.shape[-1]
    size = channels * 9
    square, cross, seen = np.zeros((size, size)), np.zeros((size, 3 * factor**2)), 0
    for chunk in chunks(pictures):
        blocks = _blocks(to_network(chunk), factor) - mean.reshape(-1, 1)
        latents = (into.reshape(channels, -1) @ (blocks + mean.reshape(-1, 1)) + bias[:, None]).astype(np.float32)
        around = _around(latents, chunk.shape, factor)
        square, cross, seen = square + around @ around.T, cross + around @ blocks.T, seen + around.shape[1]
    weights = np.linalg.solve(square / seen + noise**2 * np.eye(size), cross / seen)
    return weights.T.reshape(-1, channels, 3, 3).astype(np.float32)


def _blocks(pictures: Tensor, factor: int) -> NDArray[np.float64]:
    """Flattened blocks as columns (3 f f, n * blocks), picture by picture, row by row."""
    columns: NDArray[np.float64] = functional.unfold(pictures, factor, stride=factor).double().numpy()
    return columns.transpose(1, 0, 2).reshape(columns.shape[1], -1)


def _around(latents: NDArray[np.float32], shape: tuple[int, ...], factor: int) -> NDArray[np.float64]:
    """Each latent pixel's 3 x 3 surroundings as columns (c * 9, n * blocks); borders repeat the last pixel."""
    grid = latents.reshape(len(latents), shape[0], shape[2] // factor, shape[3] // factor).transpose(1, 0, 2, 3)
    padded = functional.pad(Tensor(np.ascontiguousarray(grid)), (1, 1, 1, 1), mode="replicate")
    columns: NDArray[np.float64] = functional.unfold(padded, 3).double().numpy()
    return columns.transpose(1, 0, 2).reshape(columns.shape[1], -1)


def principal(
    pictures: Stack, factor: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean (3, f, f), the `count` leading principal components (count, 3, f, f) and their deviations (count,).

    Over the factor x factor blocks of pictures (n, 3, y, x) in network range; the mean is that of each colour, so
    that no block pattern enters. Components are signed so that their largest element is positive.
    """
    size = 3 * factor**2
    total, square, seen = np.zeros(size), np.zeros((size, size)), 0
    for chunk in chunks(pictures):
        rows = _blocks(to_network(chunk), factor)
        total, square, seen = total + rows.sum(1), square + rows @ rows.T, seen + rows.shape[1]
    mean = np.repeat((total / seen).reshape(3, -1).mean(1), factor**2)
    cross = np.outer(total / seen, mean)
    values, vectors = np.linalg.eigh(square / seen - cross - cross.T + np.outer(mean, mean))
    basis = vectors[:, ::-1][:, :count].T
    basis = basis * np.sign(basis[np.arange(count), np.abs(basis).argmax(1)])[:, None]
    deviation = np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    shape = (3, factor, factor)
    found = mean.reshape(shape), basis.reshape(count, *shape), deviation
    return found[0].astype(np.float32), found[1].astype(np.float32), found[2].astype(np.float32)


def component_scale(deviation: NDArray[np.float32], whitening: float) -> NDArray[np.float32]:
    """Divisors (c,) that leave components at deviations ~ deviation ** (1 - whitening), of unit mean square."""
    left = deviation ** (1 - whitening)
    return np.asarray(deviation / left * np.sqrt(np.mean(left**2)), np.float32)
