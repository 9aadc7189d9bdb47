"""Frozen types that travel between the parts: calibration of a mosaic, and the record of a finished output.

Array conventions, everywhere:

| name    | dtype   | axes    | range and unit                                                       |
|---------|---------|---------|----------------------------------------------------------------------|
| mosaic  | uint16  | y, x    | digital numbers (DN), left-justified in 16 bits                      |
| scene   | float32 | c, y, x | linear radiance, 1 = a white that just saturates at full exposure    |
| view    | float32 | c, y, x | display RGB in [0, 1]                                                |
| mask    | uint8   | y, x    | class index, 0 = unknown or background                               |
| latent  | float32 | c, y, x | unit variance                                                        |
| picture | uint8   | c, y, x | display RGB, 255 = white                                             |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DATA_MODEL_VERSION = 2
"""Version of docs/data-model.md that this code reads and writes."""

FULL_SCALE_DN = 65535
"""A raw value is normalised by this (thesis A, eq. 3.4)."""

Pattern = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
Triple = tuple[float, float, float]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Calibration(BaseModel):
    """What must be known of a camera to develop its mosaic; see docs/data-model.md for each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pattern: Pattern
    black_level_dn: tuple[Finite, Finite, Finite, Finite]
    """Mosaic order: (0,0), (0,1), (1,0), (1,1)."""
    white_level_dn: Annotated[float, Field(gt=0, le=FULL_SCALE_DN)]
    white_balance: tuple[Finite, Finite, Finite]
    colour_matrix: tuple[Triple, Triple, Triple]
    exposure_s: float | None
    iso: float | None
    gain_dn_per_e: float | None
    left_justified_bits: Annotated[int, Field(ge=0, le=15)]


@dataclass(frozen=True)
class Record:
    """What a step returns: where the output is, its digests, and what is worth tracking.

    `metrics` are scalars; `curves` map a name to (step, value) pairs; `figures` and `models` are paths below
    `path`. Runs are tracked from the record alone, so that steps know nothing of the tracker.
    """

    path: Path
    root: str
    recipe: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    figures: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    rejected: tuple[str, ...] = ()
    """One line for each input that was bad; the output holds the others, whole."""
    accepted: int = 0
    """How many inputs are in, where some were rejected."""
