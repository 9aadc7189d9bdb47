"""Malvar demosaicing on quarter planes (tasks/isp/malvar.py has its meaning).

Planes are flat (tasks/isp/bayer.py: `Quads`), so that a neighbour stands at a fixed distance; the first and last
row and one more quad at both ends stay as they were, as nobody reads them. Channels are (12, quads): red, green and
blue at the sites r, g1, g2, b.
"""

import numpy as np

from tasks.isp.compiled.jit import PLANE, Plane, kernel

HALF, EIGHTH = np.float32(1 / 2), np.float32(1 / 8)
ONE_AND_HALF, TWO, FOUR, FIVE, SIX = np.float32(1.5), np.float32(2), np.float32(4), np.float32(5), np.float32(6)
BLOCK = 1024
"""Quads worked on at once, so that all planes stay in the nearest cache."""


@kernel(PLANE, "int64", PLANE)
def malvar(quads: Plane, columns: int, channels: Plane) -> None:
    guard, size = columns + 1, quads.shape[1]
    for start in range(guard, size - guard, BLOCK):
        n = min(BLOCK, size - guard - start)
        up, left, right, down = start - columns, start - 1, start + 1, start + columns
        r, r_up, r_left = quads[0, start:], quads[0, up:], quads[0, left:]
        r_right, r_down, r_across = quads[0, right:], quads[0, down:], quads[0, down + 1 :]
        g1, g1_up, g1_left = quads[1, start:], quads[1, up:], quads[1, left:]
        g1_right, g1_down, g1_across = quads[1, right:], quads[1, down:], quads[1, down - 1 :]
        g2, g2_up, g2_left = quads[2, start:], quads[2, up:], quads[2, left:]
        g2_right, g2_down, g2_across = quads[2, right:], quads[2, down:], quads[2, up + 1 :]
        b, b_up, b_left = quads[3, start:], quads[3, up:], quads[3, left:]
        b_right, b_down, b_across = quads[3, right:], quads[3, down:], quads[3, up - 1 :]
        for site in range(4):
            same, target = quads[site, start:], channels[(0, 5, 6, 11)[site], start:]
            for i in range(n):
                target[i] = same[i]
        green_r, green_b = channels[4, start:], channels[7, start:]
        blue_r, red_b = channels[8, start:], channels[3, start:]
        for i in range(n):
            plus = (r_left[i] + r_right[i]) + (r_up[i] + r_down[i])
            cross = ((g1_left[i] + g1[i]) + g2_up[i]) + g2[i]
            green_r[i] = (FOUR * r[i] + TWO * cross - plus) * EIGHTH
        for i in range(n):
            plus = (b_left[i] + b_right[i]) + (b_up[i] + b_down[i])
            cross = ((g2[i] + g2_right[i]) + g1[i]) + g1_down[i]
            green_b[i] = (FOUR * b[i] + TWO * cross - plus) * EIGHTH
        for i in range(n):
            plus = (b_left[i] + b_right[i]) + (b_up[i] + b_down[i])
            corners = (r[i] + r_right[i]) + (r_down[i] + r_across[i])
            red_b[i] = (SIX * b[i] + TWO * corners - ONE_AND_HALF * plus) * EIGHTH
        for i in range(n):
            plus = (r_left[i] + r_right[i]) + (r_up[i] + r_down[i])
            corners = (b[i] + b_left[i]) + (b_up[i] + b_across[i])
            blue_r[i] = (SIX * r[i] + TWO * corners - ONE_AND_HALF * plus) * EIGHTH
        red_1, red_2 = channels[1, start:], channels[2, start:]
        blue_1, blue_2 = channels[9, start:], channels[10, start:]
        for i in range(n):
            row, column = g1_left[i] + g1_right[i], g1_up[i] + g1_down[i]
            diagonal = ((g2_up[i] + g2_across[i]) + g2[i]) + g2_right[i]
            of_red, of_blue = FOUR * (r[i] + r_right[i]), FOUR * (b[i] + b_up[i])
            red_1[i] = (FIVE * g1[i] + of_red - row - diagonal + HALF * column) * EIGHTH
            blue_1[i] = (FIVE * g1[i] + of_blue - column - diagonal + HALF * row) * EIGHTH
        for i in range(n):
            row, column = g2_left[i] + g2_right[i], g2_up[i] + g2_down[i]
            diagonal = ((g1_left[i] + g1[i]) + g1_across[i]) + g1_down[i]
            of_red, of_blue = FOUR * (r[i] + r_down[i]), FOUR * (b[i] + b_left[i])
            red_2[i] = (FIVE * g2[i] + of_red - column - diagonal + HALF * row) * EIGHTH
            blue_2[i] = (FIVE * g2[i] + of_blue - row - diagonal + HALF * column) * EIGHTH
