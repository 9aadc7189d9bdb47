"""A stained tissue section: regions of glass, tumour, stroma and necrosis, textured after a real picture.

The picture is immunohistochemistry (haematoxylin and DAB). Its stains are separated by colour deconvolution
(Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001), the pieces are
quilted, and the section is stained again with haematoxylin and eosin: DAB, which marks the epithelium's
cytoplasm there, becomes eosin.

Held-out slides share no texture with the others. The picture is divided into bands of columns with a guard between
them (`PictureParts`), some for each of two parts, so that both are of one kind of tissue: a slide named in
`held_out` sees its part alone, every other slide the other one. A band is cut out of the picture before anything else
is done with it, so neither a piece nor the choice of the pieces depends on a pixel of the other part. The parts lie in
the same section of one patient, and the slides that are not held out share theirs: a fold of a cross-validation among
those is not free of common texture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter

from tasks import rng
from tasks.acquire import pictures, quilt
from tasks.acquire.fields import fractal, smooth
from tasks.acquire.params import Columns, SlidesParams, TissueLayout
from tasks.errors import ParamsError, fault

Array32 = NDArray[np.float32]

PICTURE_STAINS = ((0.650, 0.704, 0.286), (0.268, 0.570, 0.776))
"""Haematoxylin and DAB of the picture: optical density in R, G, B per unit, after Ruifrok and Johnston."""
HAEMATOXYLIN_OD = (0.650, 0.704, 0.286)
EOSIN_OD = (0.2159, 0.8012, 0.5581)
"""Of the section: haematoxylin as above, eosin after Macenko et al., "A method for normalizing histology
slides for quantitative analysis", ISBI 2009."""

GLASS, TUMOUR, STROMA, NECROSIS = 1, 2, 3, 4
"""Class indices; 0 is unknown."""

PIECES = 500
CLEAR = 0.95
"""Display value of plain glass."""
LN10 = float(np.log(10))


def separate(picture: NDArray[np.uint8]) -> tuple[Array32, Array32]:
    """Haematoxylin and DAB (y, x) of an RGB `picture` (y, x, 3), in units of the OD vectors, >= 0."""
    od = np.maximum(-np.log10(np.maximum(picture.astype(np.float64), 1) / 245), 0)
    stains = np.asarray(PICTURE_STAINS)
    unmix = np.linalg.inv(np.vstack([stains, np.cross(*stains)]))
    amounts = [sum(od[..., c] * unmix[c, k] for c in range(3)) for k in range(2)]
    return np.maximum(amounts[0], 0).astype(np.float32), np.maximum(amounts[1], 0).astype(np.float32)


def part_of(params: SlidesParams, name: str) -> tuple[Columns, ...]:
    """The bands of columns, first and the one after the last, that the slide `name` may use of the picture."""
    parts = params.picture_columns_px
    return parts.held_out if name in params.held_out else parts.training


def _share(mask: NDArray[np.bool_], side: int) -> Array32:
    """Of the square of `side` that starts at each pixel, how much is in `mask` (y, x): (y - side + 1, x - side + 1)."""
    mean = uniform_filter(mask.astype(np.float32), side, origin=-(side // 2))
    return np.asarray(mean[: -side + 1, : -side + 1])


def _starts(stains: Array32, side: int) -> NDArray[np.bool_]:
    """Where pieces of epithelium and of stroma may start in the `stains` (y, x, 2) of a band: (2, y - side + 1, x).

    Nowhere in the last side - 1 columns, so that a piece stays in its band.
    """
    epithelium = gaussian_filter(stains[..., 1], 6) > 0.22
    bare = gaussian_filter(stains.sum(axis=-1), 9) < 0.055
    inside = _share(epithelium, side)
    kinds = np.stack([inside > 0.97, (inside < 0.02) & (_share(bare, side) < 0.10)])
    return np.pad(kinds, [(0, 0), (0, 0), (0, side - 1)])


def exemplars(params: SlidesParams, name: str, source: np.random.Generator) -> tuple[quilt.Bank, quilt.Bank]:
    """Pieces of epithelium and of stroma for the slide `name`: two channels, haematoxylin and DAB.

    Both come from the slide's part of the picture; `corners` are positions in the whole picture.
    Raises `ParamsError` when the part has no piece of one of the two.
    """
    part, side = part_of(params, name), params.patch_px
    picture = pictures.load("tissue")
    bands = [np.stack(separate(picture[:, first:end]), axis=-1) for first, end in part]
    stains = np.concatenate(bands, axis=1)
    columns = np.concatenate([np.arange(first, end) for first, end in part])
    # quilt.bank wants no place for what starts beyond the last whole piece of the picture.
    starts = np.concatenate([_starts(band, side) for band in bands], axis=2)[..., : 1 - side]
    banks = []
    for kind, allowed in zip(("tumour", "stroma"), starts, strict=True):
        if not allowed.any():
            named = " and ".join(f"{first} to {end}" for first, end in part)
            wrong = f"no piece of {kind} of {side} px in columns {named} of the picture"
            raise ParamsError(fault(name, wrong, "at least one", "widen picture_columns_px or lower patch_px"))
        banks.append(quilt.bank(stains, allowed, side, PIECES, source).placed(columns))
    return banks[0], banks[1]


def subtype_of(params: SlidesParams, name: str) -> str:
    """The subtype that the slide `name` is of."""
    return next(subtype for subtype, layout in params.subtypes.items() if name in layout.slides)


def regions(params: SlidesParams, layout: TissueLayout, source: np.random.Generator) -> NDArray[np.uint8]:
    """The class of each pixel (y, x) uint8: tissue on glass, tumour in stroma, necrosis in tumour."""
    side, scale = params.side_px, params.region_um * layout.region_scale / params.pixel_um
    shape = (side, side)
    ragged = 0.02 * fractal(shape, scale / 6, 3, source)
    centred = np.abs(np.arange(side, dtype=np.float32) / (side - 1) * 2 - 1) ** 3
    outline = 0.93 - np.cbrt(centred[:, None] + centred) + 0.13 * smooth(shape, side / 4, source) + ragged
    lumen = smooth(shape, scale / 1.5, source)
    tissue = (outline > 0) & (lumen < 1.9)
    nests = smooth(shape, scale, source) + 6 * ragged
    tumour = tissue & (nests > np.quantile(nests[tissue], 1 - layout.tumour_share))
    starved = nests + 0.8 * smooth(shape, scale, source)
    necrosis = tumour & (starved > np.quantile(starved[tumour], 1 - layout.necrosis_share))
    out = np.full(shape, STROMA, np.uint8)
    out[~tissue], out[tumour], out[necrosis] = GLASS, TUMOUR, NECROSIS
    return out


@dataclass(frozen=True)
class Stained:
    """Amounts of haematoxylin and eosin, each (y, x) float32."""

    haematoxylin: Array32
    eosin: Array32


def _warped(layer: Array32, scale_px: float, source: np.random.Generator) -> tuple[Array32, Array32]:
    """Both channels of `layer`, bent smoothly so that repeats of a piece differ."""
    shape = layer.shape[:2]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    bend = 0.09 * scale_px
    at = [(axis + bend * smooth(shape, scale_px, source)).astype(np.float32) for axis in (rows, columns)]
    found = [map_coordinates(layer[..., k], at, order=1, mode="mirror") for k in range(2)]
    return found[0], found[1]


def _tumour(h: Array32, dab: Array32) -> Stained:
    """Crowded nuclei in purple cytoplasm; membranes, which DAB marks, a little darker."""
    return Stained(0.10 + 0.62 * np.minimum(h / 0.17, 1.5) + 0.05 * dab, 0.16 + 0.24 * np.clip(dab, 0, 1.2))


def _stroma(h: Array32, dab: Array32) -> Stained:
    """Pink fibres with few slender nuclei."""
    nuclei, fibres = np.clip((h - 0.105) / 0.12, 0, 1), np.clip(h + dab, 0, 0.30)
    return Stained(0.70 * nuclei, 0.09 + 1.35 * fibres)


def _necrosis(h: Array32, source: np.random.Generator) -> Stained:
    """Ghosts of nuclei in granular pink, and dark specks of what is left of them."""
    shape = (h.shape[0], h.shape[1])
    cloud, grain = fractal(shape, 47, 3, source), fractal(shape, 6, 2, source)
    specks = np.clip((fractal(shape, 7, 2, source) - 1.9) * 2.2, 0, 1.1)
    ghosts = 0.16 * gaussian_filter(np.minimum(h / 0.17, 1.3), 1.5)
    return Stained(ghosts + specks, np.clip(0.42 + 0.06 * cloud + 0.07 * grain, 0.1, 1.2))


def paint(params: SlidesParams, name: str, classes: NDArray[np.uint8]) -> Array32:
    """Linear RGB (3, y, x) float32 of the light through the section `name` whose regions are `classes`."""
    source = rng.generator(params.seed, name, "tissue")
    layers = [
        _warped(quilt.quilt(bank.pieces, params.side_px, params.overlap_px, params.candidates, source), 90, source)
        for bank in exemplars(params, name, source)
    ]
    h, dab = layers[0]
    stained = {TUMOUR: _tumour(h, dab), STROMA: _stroma(*layers[1]), NECROSIS: _necrosis(h, source)}
    haematoxylin = np.zeros(classes.shape, np.float32)
    eosin = np.full(classes.shape, 0.004, np.float32)
    for index, amounts in stained.items():
        weight = gaussian_filter((classes == index).astype(np.float32), 1.5)
        haematoxylin += weight * amounts.haematoxylin
        eosin += weight * amounts.eosin
    return through(params, name, Stained(haematoxylin, eosin))


def through(params: SlidesParams, name: str, stained: Stained) -> Array32:
    """Linear RGB (3, y, x) of white light through `stained`, with the stain strengths of slide `name`.

    The OD vectors are those of display values, so Beer-Lambert's law is applied there and then linearised.
    """
    source = rng.generator(params.seed, name, "stain")
    h_amount, e_amount = np.exp(source.normal(0, params.stain_spread, 2)).tolist()
    thickness = 1 + 0.06 * smooth(stained.eosin.shape, params.side_px / 5, source)
    planes = []
    for h_od, e_od in zip(HAEMATOXYLIN_OD, EOSIN_OD, strict=True):
        density = (h_amount * h_od) * stained.haematoxylin + (e_amount * e_od) * stained.eosin
        planes.append(linear(CLEAR * np.exp(-LN10 * density * thickness)))
    return np.stack(planes)


def linear(display: Array32) -> Array32:
    """sRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def display(light: Array32) -> Array32:
    """Linear light to sRGB values, clipped to [0, 1] (IEC 61966-2-1)."""
    v = np.clip(light, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)
