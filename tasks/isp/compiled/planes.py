"""Filters of one plane. `out` is smaller than `plane` by the same margin on all sides: the filter's reach or more."""

import numpy as np

from tasks.isp.compiled.jit import LINE, PLANE, Plane, kernel

FIVE = np.float32(5)


@kernel(PLANE, PLANE)
def sharpen(plane: Plane, out: Plane) -> None:
    """Five times the sample less its four neighbours."""
    m = (plane.shape[0] - out.shape[0]) // 2
    for y in range(out.shape[0]):
        above, below, target = plane[y + m - 1, m:], plane[y + m + 1, m:], out[y]
        left, centre, right = plane[y + m, m - 1 :], plane[y + m, m:], plane[y + m, m + 1 :]
        for x in range(target.size):
            target[x] = centre[x] * FIVE - (((above[x] + below[x]) + left[x]) + right[x])


@kernel(PLANE, PLANE)
def median_3(plane: Plane, out: Plane) -> None:
    """The median of 3x3 (N. Devillard, "Fast median search", 1998): columns sorted first."""
    m = (plane.shape[0] - out.shape[0]) // 2
    height, width = out.shape
    low, mid, high = (np.empty(width + 2, np.float32), np.empty(width + 2, np.float32), np.empty(width + 2, np.float32))
    for y in range(height):
        above, here, below = plane[y + m - 1, m - 1 :], plane[y + m, m - 1 :], plane[y + m + 1, m - 1 :]
        for x in range(width + 2):
            a, b, c = above[x], here[x], below[x]
            less, more = (a if a < b else b), (b if a < b else a)
            rest = less if less > c else c
            low[x] = less if less < c else c
            mid[x] = rest if rest < more else more
            high[x] = rest if rest > more else more
        low_1, low_2, mid_1, mid_2, high_1, high_2 = low[1:], low[2:], mid[1:], mid[2:], high[1:], high[2:]
        target = out[y]
        for x in range(width):
            floor = low[x] if low[x] > low_1[x] else low_1[x]
            floor = floor if floor > low_2[x] else low_2[x]
            roof = high[x] if high[x] < high_1[x] else high_1[x]
            roof = roof if roof < high_2[x] else high_2[x]
            a, b, c = mid[x], mid_1[x], mid_2[x]
            less, more = (a if a < b else b), (b if a < b else a)
            more = more if more < c else c
            centre = less if less > more else more
            less, more = (floor if floor < centre else centre), (centre if floor < centre else floor)
            more = more if more < roof else roof
            target[x] = less if less > more else more


@kernel(PLANE, LINE, "boolean", "float32", PLANE)
def gaussian(plane: Plane, weights: Plane, unsharp: bool, amount: float, out: Plane) -> None:
    """The symmetric window `weights` at distance 0 … r along y, then x.

    With `unsharp`, the plane plus `amount` times what that takes from it.
    """
    m = (plane.shape[0] - out.shape[0]) // 2
    height, width = out.shape
    radius = weights.size - 1
    down = np.empty(width + 2 * radius, np.float32)
    across = np.empty(width, np.float32)
    for y in range(height):
        centre = plane[y + m, m - radius :]
        for x in range(down.size):
            down[x] = centre[x] * weights[0]
        for d in range(1, radius + 1):
            above, below, weight = plane[y + m - d, m - radius :], plane[y + m + d, m - radius :], weights[d]
            for x in range(down.size):
                down[x] = down[x] + (above[x] + below[x]) * weight
        middle = down[radius:]
        for x in range(width):
            across[x] = middle[x] * weights[0]
        for d in range(1, radius + 1):
            left, right, weight = down[radius - d :], down[radius + d :], weights[d]
            for x in range(width):
                across[x] = across[x] + (left[x] + right[x]) * weight
        inner, target = plane[y + m, m:], out[y]
        if unsharp:
            for x in range(width):
                target[x] = (inner[x] - across[x]) * amount + inner[x]
        else:
            for x in range(width):
                target[x] = across[x]
