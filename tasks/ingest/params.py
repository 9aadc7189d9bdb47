"""Params of the stage `ingest`: one model for every dataset."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from tasks.params import Params

Kind = Literal["crops", "frames", "slides", "images"]
Published = Literal["raw-microscopy", "raw-drone"]
"""Layouts of published datasets, read by name: see tasks/ingest/published.py."""
STORE_KIND: dict[str, Kind] = {
    **{kind: kind for kind in get_args(Kind)},
    "raw-microscopy": "crops",
    "raw-drone": "frames",
}
"""The kind of store that files of a kind become."""
Count = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Associated = Literal["thumbnail", "label", "macro"]


class TissueParams(Params):
    """Where a slide holds tissue: Otsu's threshold on the mean optical density of a small picture of it."""

    longest_side_px: Count
    """The pyramid level to work on: the largest whose longer side is at most this."""
    blur_sigma_px: NotNegative
    density_least: NotNegative
    """Otsu's threshold is kept within these two: a slide of tissue alone, or of glass alone, has no valley."""
    density_most: NotNegative
    hole_px: Annotated[int, Field(ge=0)]
    """Holes and specks of at most this many pixels of that level are closed and removed."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.density_least > self.density_most:
            raise ValueError("density_least is above density_most")
        return self


class CrateParams(Params):
    """What ro-crate-metadata.json says that no file can: RO-Crate 1.1 wants both of a crate that is published."""

    date_published: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None
    licence: str | None
    """A URL, best of spdx.org/licenses."""


class IngestParams(Params):
    """How one dataset becomes a raw store."""

    kind: Kind | Published | Literal["auto"]
    """What the files are; `auto` looks into them."""
    deidentify: bool
    """Leave out tags and pictures that may name a patient; the receipts say which."""
    jpeg: Literal["recode", "keep"]
    """Slides in JPEG tiles: decoded and stored without further loss, or their bytes kept as they are."""
    stack_axis: Literal["t", "z", "c"] | None
    """What the pages of a TIFF stack are that does not say it; null refuses such stacks."""
    mask_values: Literal["index", "nonzero"]
    """Values of label rasters: 1, 2, … name `source_classes`, or every value but 0 is the first of them."""
    classes: Annotated[tuple[str, ...], Field(max_length=255)] | None
    """Class index k is the k-th name, 0 is unknown; null takes the names found in the sources, sorted."""
    source_classes: Annotated[tuple[str, ...], Field(max_length=255)]
    """Names of the values 1, 2, … of label rasters."""
    merge: dict[str, str]
    """A name of the sources to the class it counts as; the empty name is unknown."""
    unknown_class: Literal["refuse", "ignore"]
    """What to do with a name that is neither a class nor merged."""
    tile_sides_px: tuple[Count, ...]
    tile_overlap_px: Annotated[int, Field(ge=0)]
    least_tissue: Fraction
    """A slide's tile stays when this much of it is tissue, or any of it is labelled."""
    least_label: Fraction
    """A tile has a label when its commonest class covers at least this much of it."""
    test_groups: Annotated[int, Field(ge=0)] | tuple[str, ...]
    """How many groups, or which, are held out."""
    folds: Count
    most_frame_pixels: Count
    most_slide_pixels: Count
    most_annotation_bytes: Count
    """Of a GeoJSON file, asked before it is read."""
    pixel_size_um: Annotated[float, Field(gt=0)] | None
    """For slides that do not say it themselves; null refuses them."""
    smallest_level_px: Count
    """A pyramid ends at the first level whose longer side is at most this."""
    associated: tuple[Associated, ...]
    """Pictures beside the slide to keep; a label may show a patient's name."""
    tissue: TissueParams
    crate: CrateParams

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.classes is not None:
            if len(set(self.classes)) < len(self.classes) or "" in self.classes:
                raise ValueError("classes must be different, non-empty names")
            lost = sorted(set(self.merge.values()) - {*self.classes, ""})
            if lost:
                raise ValueError(f"merge leads to {lost[0]!r}, which is not in classes")
        if self.tile_sides_px and self.tile_overlap_px >= min(self.tile_sides_px):
            raise ValueError("tile_overlap_px must be less than each of tile_sides_px")
        if len(set(self.tile_sides_px)) < len(self.tile_sides_px):
            raise ValueError("tile_sides_px names a side twice")
        if self.mask_values == "nonzero" and not self.source_classes:
            raise ValueError("mask_values nonzero needs the name of the class in source_classes")
        return self
