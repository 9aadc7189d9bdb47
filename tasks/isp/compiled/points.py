"""Operations on single samples. `out` may be smaller than the input by a margin, the same on all sides."""

import numpy as np
from numpy.typing import NDArray

from tasks.isp.compiled.jit import IMAGE, LINE, PLANE, Dn, Plane, kernel

Line = NDArray[np.float64]
ZERO, ONE, FULL_SCALE = np.float32(0), np.float32(1), np.float32(65535)


@kernel("uint16[:, :]", PLANE)
def normalise(dn: Dn, out: Plane) -> None:
    """DN to [0, 1]; same shapes."""
    for y in range(out.shape[0]):
        line, target = dn[y], out[y]
        for x in range(target.size):
            target[x] = np.float32(line[x]) / FULL_SCALE


@kernel(IMAGE, "int64", "int64", "uint16[:, :, :]")
def quantise(image: Plane, top: int, left: int, out: Dn) -> None:
    """[0, 1] to DN, rounded half to even; `out` is the part of `image` that begins at (top, left)."""
    for c in range(out.shape[0]):
        for y in range(out.shape[1]):
            line, target = image[c, y + top, left:], out[c, y]
            for x in range(target.size):
                target[x] = np.uint16(np.rint(line[x] * FULL_SCALE))


@kernel(PLANE, PLANE, PLANE)
def subtract(mosaic: Plane, lines: Plane, out: Plane) -> None:
    """Less the two `lines` (2, x) that repeat from the first row of `mosaic`."""
    m = (mosaic.shape[0] - out.shape[0]) // 2
    for y in range(out.shape[0]):
        line, level, target = mosaic[y + m, m:], lines[(y + m) & 1, m:], out[y]
        for x in range(target.size):
            target[x] = line[x] - level[x]


@kernel(PLANE, PLANE, PLANE)
def divide(mosaic: Plane, lines: Plane, out: Plane) -> None:
    """Over the two `lines` (2, x) that repeat from the first row of `mosaic`."""
    m = (mosaic.shape[0] - out.shape[0]) // 2
    for y in range(out.shape[0]):
        line, span, target = mosaic[y + m, m:], lines[(y + m) & 1, m:], out[y]
        for x in range(target.size):
            target[x] = line[x] / span[x]


@kernel(IMAGE, LINE, IMAGE)
def scale(image: Plane, factors: Plane, out: Plane) -> None:
    """Each channel times its factor."""
    m = (image.shape[1] - out.shape[1]) // 2
    for c in range(3):
        factor = factors[c]
        for y in range(out.shape[1]):
            line, target = image[c, y + m, m:], out[c, y]
            for x in range(target.size):
                target[x] = line[x] * factor


@kernel(IMAGE, PLANE, IMAGE)
def mix(image: Plane, matrix: Plane, out: Plane) -> None:
    """`matrix` (3, 3) times each pixel."""
    m = (image.shape[1] - out.shape[1]) // 2
    for y in range(out.shape[1]):
        red, green, blue = image[0, y + m, m:], image[1, y + m, m:], image[2, y + m, m:]
        for c in range(3):
            of_red, of_green, of_blue, target = matrix[c, 0], matrix[c, 1], matrix[c, 2], out[c, y]
            for x in range(target.size):
                target[x] = red[x] * of_red + green[x] * of_green + blue[x] * of_blue


@kernel(IMAGE, IMAGE)
def clip(image: Plane, out: Plane) -> None:
    """To [0, 1]."""
    m = (image.shape[1] - out.shape[1]) // 2
    for c in range(3):
        for y in range(out.shape[1]):
            line, target = image[c, y + m, m:], out[c, y]
            for x in range(target.size):
                value = line[x]
                value = value if value > ZERO else ZERO
                target[x] = value if value < ONE else ONE


@kernel(IMAGE, "float32", IMAGE)
def limit(image: Plane, most: float, out: Plane) -> None:
    """Values above `most` set to it."""
    m = (image.shape[1] - out.shape[1]) // 2
    for c in range(3):
        for y in range(out.shape[1]):
            line, target = image[c, y + m, m:], out[c, y]
            for x in range(target.size):
                value = line[x]
                target[x] = value if value < most else most


@kernel(PLANE, "float64[::1]", "float64[::1]", "float64[::1]", PLANE)
def shade(mosaic: Plane, down: Line, across: Line, k: Line, out: Plane) -> None:
    """Times the polynomial `k` (5) of the sum of `down` and `across`, squared distances of the samples of `out`."""
    m = (mosaic.shape[0] - out.shape[0]) // 2
    k0, k1, k2, k3, k4 = k[0], k[1], k[2], k[3], k[4]
    for y in range(out.shape[0]):
        line, target, of_row = mosaic[y + m, m:], out[y], down[y]
        for x in range(target.size):
            r2 = of_row + across[x]
            gain = ((((k4 * r2 + k3) * r2 + k2) * r2 + k1) * r2 + k0) * r2 + 1.0
            target[x] = line[x] * np.float32(gain)


@kernel(IMAGE, PLANE, IMAGE)
def curve(image: Plane, table: Plane, out: Plane) -> None:
    """Through the segments (5, n) of a curve (tasks/isp/tone_curve.py)."""
    m = (image.shape[1] - out.shape[1]) // 2
    for c in range(3):
        for y in range(out.shape[1]):
            line, target = image[c, y + m, m:], out[c, y]
            for x in range(target.size):
                segment = 0
                for following in range(1, table.shape[1]):
                    segment += line[x] >= table[0, following]
                t = line[x] - table[0, segment]
                value = ((table[1, segment] * t + table[2, segment]) * t + table[3, segment]) * t + table[4, segment]
                value = value if value > ZERO else ZERO
                target[x] = value if value < ONE else ONE


@kernel(IMAGE, PLANE)
def luma(image: Plane, out: Plane) -> None:
    """Y' of the whole image (weights of ITU-R BT.601)."""
    for y in range(out.shape[0]):
        red, green, blue, target = image[0, y], image[1, y], image[2, y], out[y]
        for x in range(target.size):
            target[x] = red[x] * np.float32(0.299) + green[x] * np.float32(0.587) + blue[x] * np.float32(0.114)


@kernel(IMAGE, PLANE, PLANE, IMAGE)
def with_luma(image: Plane, before: Plane, after: Plane, out: Plane) -> None:
    """`image` with its luma `before` (as large) changed to `after` (as large as `out`)."""
    m = (image.shape[1] - out.shape[1]) // 2
    for y in range(out.shape[1]):
        old, new = before[y + m, m:], after[y]
        for c in range(3):
            line, target = image[c, y + m, m:], out[c, y]
            for x in range(target.size):
                target[x] = line[x] + (new[x] - old[x])
