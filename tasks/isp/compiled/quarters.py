"""The way between a mosaic and its quarter planes (tasks/isp/bayer.py: `Quads`)."""

from tasks.isp.compiled.jit import ANY_IMAGE, ANY_PLANE, PLANE, Plane, kernel


@kernel(ANY_PLANE, PLANE)
def split(mosaic: Plane, quads: Plane) -> None:
    """An RGGB `mosaic` to `quads` (4, quads): r, g1, g2, b."""
    columns = mosaic.shape[1] // 2
    for y in range(mosaic.shape[0]):
        line = mosaic[y]
        start, site = (y // 2) * columns, 2 * (y & 1)
        even, odd = quads[site, start:], quads[site + 1, start:]
        for x in range(columns):
            even[x] = line[2 * x]
            odd[x] = line[2 * x + 1]


@kernel(PLANE, "int64", "int64", ANY_IMAGE)
def join(channels: Plane, columns: int, margin: int, out: Plane) -> None:
    """`channels` to RGB, less `margin` quads on each side."""
    for c in range(3):
        for y in range(out.shape[1]):
            line = out[c, y]
            start, site = (y // 2 + margin) * columns + margin, 4 * c + 2 * (y & 1)
            even, odd = channels[site, start:], channels[site + 1, start:]
            for x in range(line.size // 2):
                line[2 * x] = even[x]
                line[2 * x + 1] = odd[x]
