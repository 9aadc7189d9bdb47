"""Seeds and counter-based noise. There is no global random state anywhere in rawmill.

A stream is named by (stage seed, item id, purpose). Its numbers depend on nothing else: not on the order of
work, the number of workers, the batch or the clock. The generator is Philox-4x64-10 (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by 128 bits of SHA-256 of the name.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def key(seed: int, item: str, purpose: str) -> int:
    """The 128-bit key of a stream, as a non-negative integer."""
    name = f"{seed}\x00{item}\x00{purpose}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:16], "little")


def seed_for(seed: int, item: str, purpose: str) -> int:
    """A 63-bit seed for a library that wants an integer (e.g. `torch.Generator.manual_seed`)."""
    return key(seed, item, purpose) & (2**63 - 1)


def generator(seed: int, item: str, purpose: str) -> np.random.Generator:
    """A NumPy generator over the Philox stream named by the arguments."""
    return np.random.Generator(np.random.Philox(key=key(seed, item, purpose)))


def normal(shape: tuple[int, ...], seed: int, item: str, purpose: str) -> NDArray[np.float32]:
    """Standard normal noise, float32, of the given shape."""
    return generator(seed, item, purpose).standard_normal(shape, dtype=np.float32)
