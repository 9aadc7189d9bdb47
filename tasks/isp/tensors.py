"""A chain on torch: batched, differentiable, float32 or float64, on any device, and with the same borders.

The operators themselves are those of the CPU (tasks/isp/arrays.py). Nothing here is imported where no tensor is.
"""

import torch
from torch import Tensor

from tasks.contracts import Calibration
from tasks.isp.border import mirror_indices
from tasks.isp.chain import Chain
from tasks.isp.engine import Span, even_span
from tasks.isp.operator import Place


def continued(mosaic: Tensor, rows: Span, columns: Span) -> Tensor:
    """The window `rows` x `columns` of the mirrored continuation of `mosaic` (…, y, x); spans may leave it."""
    y = torch.from_numpy(mirror_indices(*rows, mosaic.shape[-2])).to(mosaic.device)
    x = torch.from_numpy(mirror_indices(*columns, mosaic.shape[-1])).to(mosaic.device)
    return mosaic[..., y[:, None], x]


def view_tensor(chain: Chain, mosaic: Tensor, calibration: Calibration) -> Tensor:
    """The views (…, 3, y, x) in [0, 1] of whole mosaics (…, y, x), normalised to full scale 1, of one camera.

    Equal to `engine.view_of` on every pixel within 1e-5 in float32; differentiable in `mosaic`.
    """
    height, width = mosaic.shape[-2:]
    rows, columns = even_span((0, height), chain.halo_px), even_span((0, width), chain.halo_px)
    place = Place(calibration, rows[0], columns[0], (height, width))
    image: Tensor = chain(continued(mosaic, rows, columns), place)
    down, right = -rows[0] - chain.halo_px, -columns[0] - chain.halo_px
    return image[..., down : down + height, right : right + width]
