"""Bilinear demosaicing on quarter planes (tasks/isp/bilinear.py has its meaning).

Planes are flat (tasks/isp/bayer.py: `Quads`), so that a neighbour stands at a fixed distance; the first and last
row and one more quad at both ends stay as they were, as nobody reads them. Channels are (12, quads): red, green and
blue at the sites r, g1, g2, b.
"""

import numpy as np

from tasks.isp.compiled.jit import PLANE, Plane, kernel

HALF, QUARTER = np.float32(1 / 2), np.float32(1 / 4)
BLOCK = 1024
"""Quads worked on at once, so that all planes stay in the nearest cache."""


@kernel(PLANE, "int64", PLANE)
def bilinear(quads: Plane, columns: int, channels: Plane) -> None:
    guard, size = columns + 1, quads.shape[1]
    for start in range(guard, size - guard, BLOCK):
        n = min(BLOCK, size - guard - start)
        up, left, right, down = start - columns, start - 1, start + 1, start + columns
        r, r_right, r_down, r_across = quads[0, start:], quads[0, right:], quads[0, down:], quads[0, down + 1 :]
        g1, g1_left, g1_down = quads[1, start:], quads[1, left:], quads[1, down:]
        g2, g2_up, g2_right = quads[2, start:], quads[2, up:], quads[2, right:]
        b, b_left, b_up, b_across = quads[3, start:], quads[3, left:], quads[3, up:], quads[3, up - 1 :]
        for site in range(4):
            same, target = quads[site, start:], channels[(0, 5, 6, 11)[site], start:]
            for i in range(n):
                target[i] = same[i]
        red_1, red_2, red_b = channels[1, start:], channels[2, start:], channels[3, start:]
        green_r, green_b = channels[4, start:], channels[7, start:]
        blue_r, blue_1, blue_2 = channels[8, start:], channels[9, start:], channels[10, start:]
        for i in range(n):
            red_1[i] = (r[i] + r_right[i]) * HALF
            red_2[i] = (r[i] + r_down[i]) * HALF
        for i in range(n):
            red_b[i] = ((r[i] + r_right[i]) + (r_down[i] + r_across[i])) * QUARTER
        for i in range(n):
            green_r[i] = (((g1_left[i] + g1[i]) + g2_up[i]) + g2[i]) * QUARTER
        for i in range(n):
            green_b[i] = (((g2[i] + g2_right[i]) + g1[i]) + g1_down[i]) * QUARTER
        for i in range(n):
            blue_1[i] = (b[i] + b_up[i]) * HALF
            blue_2[i] = (b[i] + b_left[i]) * HALF
        for i in range(n):
            blue_r[i] = ((b[i] + b_left[i]) + (b_up[i] + b_across[i])) * QUARTER
