"""Params of the stage `acquire`: one model a dataset."""

from itertools import product
from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.contracts import FULL_SCALE_DN, Pattern, Triple
from tasks.params import Params

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(gt=0)]
NotNegativeCount = Annotated[int, Field(ge=0)]
PICTURE_WIDTH_PX = 512
"""Of scikit-image's immunohistochemistry picture."""


class SensorParams(Params):
    """What turns photons into digital numbers."""

    photons_at_unit: Positive
    """Photons on a site that answers with 1 (65535 DN above black) at full exposure."""
    quantum_efficiency: Fraction
    gain_dn_per_e: Positive
    full_well_e: Positive
    read_noise_e: NotNegative
    white_level_dn: Annotated[float, Field(gt=0, le=FULL_SCALE_DN)]
    left_justified_bits: Annotated[int, Field(ge=0, le=15)]

    @model_validator(mode="after")
    def _unit_is_full_scale(self) -> Self:
        unit_dn = self.photons_at_unit * self.quantum_efficiency * self.gain_dn_per_e
        if abs(unit_dn / FULL_SCALE_DN - 1) > 1e-3:
            raise ValueError(
                f"photons_at_unit x quantum_efficiency x gain_dn_per_e is {unit_dn:.1f}, must be {FULL_SCALE_DN}: "
                "developing divides by that"
            )
        return self


class CameraParams(Params):
    """A sensor behind a Bayer filter; see `tasks.contracts.Calibration` for what the fields mean."""

    pattern: Pattern
    black_level_dn: tuple[NotNegative, NotNegative, NotNegative, NotNegative]
    white_balance: tuple[Positive, Positive, Positive]
    colour_matrix: tuple[Triple, Triple, Triple]
    exposure_s: Positive
    iso: Positive | None
    sensor: SensorParams


class MicroscopyParams(Params):
    """Blood smears: crops of single leukocytes."""

    seed: int
    crop_px: Annotated[int, Field(ge=64, multiple_of=2)]
    pixel_um: Positive
    psf_fwhm_um: NotNegative
    smears: Count
    crops_per_class_and_smear: Count
    intensities: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    stain_spread: NotNegative
    """Standard deviation of the log of a smear's stain strengths."""
    illumination_spread: NotNegative
    """Standard deviation of the log of a smear's lamp brightness, per colour."""
    camera: CameraParams


class DroneParams(Params):
    """Landscapes from above with cars."""

    seed: int
    frames: Count
    intensities: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    """Exposures relative to full; each is an exposure of its own."""
    height_px: Annotated[int, Field(ge=256, multiple_of=2)]
    width_px: Annotated[int, Field(ge=256, multiple_of=2)]
    ground_m: Positive
    """Ground sampling distance, metres a pixel."""
    psf_diameter_um: NotNegative
    pixel_um: Positive
    cars: Count
    """Cars that are tried a frame; one that would overlap another is left out."""
    camera: CameraParams


Columns = tuple[NotNegativeCount, Count]


class PictureParts(Params):
    """Bands of columns [first, end) of the real picture that slides take their texture from."""

    training: Annotated[tuple[Columns, ...], Field(min_length=1)]
    held_out: Annotated[tuple[Columns, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _share_no_pixel(self) -> Self:
        for ours, theirs in product(self.training, self.held_out):
            if ours[1] > theirs[0] and theirs[1] > ours[0]:
                raise ValueError(f"training {ours} and held_out {theirs} share columns, must not")
        return self


class TissueLayout(Params):
    """How the regions of one subtype of tissue lie."""

    slides: tuple[str, ...]
    region_scale: Positive
    """Size of a region, of `region_um`."""
    tumour_share: Fraction
    """Of the tissue."""
    necrosis_share: Fraction
    """Of the tumour."""


class SlidesParams(Params):
    """Whole slides of stained tissue."""

    seed: int
    slides: Count
    held_out: tuple[str, ...]
    """Slides whose texture no other slide has: those that `ingest.slides.test_groups` holds back."""
    picture_columns_px: PictureParts
    side_px: Annotated[int, Field(ge=512, multiple_of=256)]
    pixel_um: Positive
    psf_fwhm_um: NotNegative
    tile_px: Annotated[int, Field(multiple_of=16)]
    levels: Count
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]
    classes: tuple[str, str, str, str]
    """Names for glass, tumour, stroma and necrosis, in this order."""
    patch_px: Count
    """Side of the pieces of the real picture that are quilted together."""
    overlap_px: Count
    candidates: Count
    """Pieces tried at each place; the one that fits its neighbours best is taken."""
    region_um: Positive
    """Typical size of a region of one class."""
    subtypes: dict[str, TissueLayout]
    """Each slide is of one; its name stands in the manifest."""
    annotated_fraction: Fraction
    stain_spread: NotNegative
    scanner: SensorParams

    @model_validator(mode="after")
    def _pieces_overlap_in_part(self) -> Self:
        if 2 * self.overlap_px > self.patch_px:
            raise ValueError(f"overlap_px is {self.overlap_px}, must be at most half of patch_px {self.patch_px}")
        return self

    @model_validator(mode="after")
    def _parts_hold_pieces(self) -> Self:
        for first, end in (*self.picture_columns_px.training, *self.picture_columns_px.held_out):
            if end - first < self.patch_px or end > PICTURE_WIDTH_PX:
                raise ValueError(
                    f"picture_columns_px has columns {first} to {end}, must be at least patch_px {self.patch_px} wide "
                    f"and end at {PICTURE_WIDTH_PX} at most"
                )
        return self

    @model_validator(mode="after")
    def _each_slide_is_of_one_subtype(self) -> Self:
        named = sorted(name for layout in self.subtypes.values() for name in layout.slides)
        slides = sorted(f"slide{k + 1}" for k in range(self.slides))
        if named != slides:
            raise ValueError(
                f"subtypes name {', '.join(named) or 'no slide'}, must name each of {', '.join(slides)} once"
            )
        return self

    @model_validator(mode="after")
    def _held_out_slides_exist(self) -> Self:
        strange = sorted(set(self.held_out) - {f"slide{k + 1}" for k in range(self.slides)})
        if strange:
            raise ValueError(f"held_out names {', '.join(strange)}, must be among slide1 to slide{self.slides}")
        return self
