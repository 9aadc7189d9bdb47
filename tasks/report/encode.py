"""Pictures as files and as `data:` URIs; the same pixels give the same bytes."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.report.figures import Picture

TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def png(picture: Picture) -> bytes:
    """Lossless: for masks and for single sensor sites."""
    return _encoded(picture, "PNG", {"optimize": True})


def jpeg(picture: Picture, quality: int) -> bytes:
    """For pictures of things, without chroma subsampling: colours of neighbouring pixels matter here."""
    return _encoded(picture, "JPEG", {"quality": quality, "subsampling": 0, "optimize": True})


def _encoded(picture: Picture, form: str, options: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, form, **options)
    return stream.getvalue()


def data_uri(file: Path) -> str:
    """The bytes of a PNG or JPEG file as a `data:` URI."""
    return f"data:{TYPES[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def size_px(file: Path) -> tuple[int, int]:
    """Width and height of a picture file."""
    with Image.open(file) as picture:
        return picture.size
