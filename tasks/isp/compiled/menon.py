"""Menon demosaicing on quarter planes (tasks/isp/menon.py has its meaning; the order of every sum is the same).

Planes are flat, so that a neighbour stands at a fixed distance. Each stage leaves the first and last row and one
more quad at both ends as they were; what stands there stays within the halo. `work` holds 14 planes.
"""

import numpy as np

from tasks.isp.compiled.jit import LINE, PLANE, Flags, Plane, kernel
from tasks.isp.scratch import Take

HALF, THIRD, QUARTER = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
TWO, THREE = np.float32(2), np.float32(3)
PLANES = 14


@kernel(PLANE, "int64", PLANE)
def estimates(quads: Plane, columns: int, work: Plane) -> None:
    """Planes 0-3 of `work`: green at r and b by rows, at r and b by columns; 4-7: the own colour less it."""
    guard, size = columns + 1, quads.shape[1]
    n = size - 2 * guard
    up, left, right, down = guard - columns, guard - 1, guard + 1, guard + columns
    r, r_left, r_right, r_up, r_down = (
        quads[0, guard:],
        quads[0, left:],
        quads[0, right:],
        quads[0, up:],
        quads[0, down:],
    )
    b, b_left, b_right, b_up, b_down = (
        quads[3, guard:],
        quads[3, left:],
        quads[3, right:],
        quads[3, up:],
        quads[3, down:],
    )
    g1, g1_left, g1_down = quads[1, guard:], quads[1, left:], quads[1, down:]
    g2, g2_right, g2_up = quads[2, guard:], quads[2, right:], quads[2, up:]
    row_r, row_b, column_r, column_b = work[0, guard:], work[1, guard:], work[2, guard:], work[3, guard:]
    off_row_r, off_row_b = work[4, guard:], work[5, guard:]
    off_column_r, off_column_b = work[6, guard:], work[7, guard:]
    for i in range(n):
        green = (g1_left[i] + g1[i]) * HALF + (TWO * r[i] - r_left[i] - r_right[i]) * QUARTER
        row_r[i] = green
        off_row_r[i] = r[i] - green
    for i in range(n):
        green = (g2[i] + g2_right[i]) * HALF + (TWO * b[i] - b_left[i] - b_right[i]) * QUARTER
        row_b[i] = green
        off_row_b[i] = b[i] - green
    for i in range(n):
        green = (g2_up[i] + g2[i]) * HALF + (TWO * r[i] - r_up[i] - r_down[i]) * QUARTER
        column_r[i] = green
        off_column_r[i] = r[i] - green
    for i in range(n):
        green = (g1[i] + g1_down[i]) * HALF + (TWO * b[i] - b_up[i] - b_down[i]) * QUARTER
        column_b[i] = green
        off_column_b[i] = b[i] - green


@kernel("int64", "int64", LINE, LINE, LINE, LINE, LINE, LINE, LINE, LINE)
def activity(
    columns: int,
    step: int,
    off_r: Plane,
    off_b: Plane,
    gradient_r: Plane,
    gradient_b: Plane,
    pair_r: Plane,
    pair_b: Plane,
    at_r: Plane,
    at_b: Plane,
) -> None:
    """At r and b: gradients of the differences `off_r`, `off_b` along `step` (1 or `columns`) over a 5x5 window.

    The four planes between are for work.
    """
    guard, size = columns + 1, off_r.size
    n = size - 2 * guard
    other = columns + 1 - step
    here_r, next_r, here_b, next_b = off_r[guard:], off_r[guard + step :], off_b[guard:], off_b[guard + step :]
    target_r, target_b = gradient_r[guard:], gradient_b[guard:]
    for i in range(n):
        target_r[i] = abs(here_r[i] - next_r[i])
    for i in range(n):
        target_b[i] = abs(here_b[i] - next_b[i])
    here_r, back_r, over_r = gradient_r[guard:], gradient_r[guard - step :], gradient_r[guard + other :]
    here_b, back_b, corner_b = gradient_b[guard:], gradient_b[guard - step :], gradient_b[guard - columns - 1 :]
    target_r, target_b = pair_r[guard:], pair_b[guard:]
    for i in range(n):
        target_r[i] = here_r[i] + back_r[i]
    for i in range(n):
        target_b[i] = here_b[i] + back_b[i]
    middle_r, before_r, after_r = pair_r[guard:], pair_r[guard - other :], pair_r[guard + other :]
    middle_b, before_b, after_b = pair_b[guard:], pair_b[guard - other :], pair_b[guard + other :]
    target_r, target_b = at_r[guard:], at_b[guard:]
    for i in range(n):
        target_r[i] = THREE * middle_r[i] + before_r[i] + after_r[i] + corner_b[i] + back_b[i]
    for i in range(n):
        target_b[i] = THREE * middle_b[i] + before_b[i] + after_b[i] + here_r[i] + over_r[i]


@kernel(LINE, LINE, LINE, LINE, LINE, LINE, LINE, LINE, "uint8[::1]")
def choose(
    by_row: Plane,
    by_column: Plane,
    off_row: Plane,
    off_column: Plane,
    along: Plane,
    across: Plane,
    green: Plane,
    off: Plane,
    rows: Flags,
) -> None:
    """`green` and the own colour less it, `off`, by the less active direction; equal ones count as `rows` (1)."""
    for i in range(by_row.size):
        row = across[i] >= along[i]
        one, two = by_row[i], by_column[i]
        green[i] = one if row else two
        one, two = off_row[i], off_column[i]
        off[i] = one if row else two
        rows[i] = np.uint8(row)


@kernel(PLANE, "int64", LINE, LINE, LINE, LINE, LINE, LINE)
def at_green(
    quads: Plane, columns: int, red: Plane, blue: Plane, red_1: Plane, red_2: Plane, blue_1: Plane, blue_2: Plane
) -> None:
    """Red and blue at g1 and g2 from the colour differences `red` at r and `blue` at b."""
    guard, size = columns + 1, red.size
    n = size - 2 * guard
    g1, g2 = quads[1, guard:], quads[2, guard:]
    here, right, down = red[guard:], red[guard + 1 :], red[guard + columns :]
    one, two = red_1[guard:], red_2[guard:]
    for i in range(n):
        one[i] = g1[i] + (here[i] + right[i]) * HALF
        two[i] = g2[i] + (here[i] + down[i]) * HALF
    here, left, up = blue[guard:], blue[guard - 1 :], blue[guard - columns :]
    one, two = blue_1[guard:], blue_2[guard:]
    for i in range(n):
        one[i] = g1[i] + (here[i] + up[i]) * HALF
        two[i] = g2[i] + (here[i] + left[i]) * HALF


@kernel("int64", LINE, LINE, LINE, LINE, "uint8[::1]", "uint8[::1]", LINE, LINE, LINE, LINE)
def beside(
    columns: int,
    plus_1: Plane,
    minus_1: Plane,
    plus_2: Plane,
    minus_2: Plane,
    rows_r: Flags,
    rows_b: Flags,
    one: Plane,
    two: Plane,
    at_r: Plane,
    at_b: Plane,
) -> None:
    """At r and b: the two values of (plus - minus), known at g1 and g2, added along the decided direction.

    `one` and `two` are for work.
    """
    guard, size = columns + 1, one.size
    n = size - 2 * guard
    for i in range(size):
        one[i] = plus_1[i] - minus_1[i]
    for i in range(size):
        two[i] = plus_2[i] - minus_2[i]
    here_1, left_1, down_1 = one[guard:], one[guard - 1 :], one[guard + columns :]
    here_2, right_2, up_2 = two[guard:], two[guard + 1 :], two[guard - columns :]
    row, target = rows_r[guard:], at_r[guard:]
    for i in range(n):
        along, across = left_1[i] + here_1[i], up_2[i] + here_2[i]
        target[i] = along if row[i] else across
    row, target = rows_b[guard:], at_b[guard:]
    for i in range(n):
        along, across = here_2[i] + right_2[i], here_1[i] + down_1[i]
        target[i] = along if row[i] else across


@kernel(LINE, LINE, LINE, LINE, LINE, LINE)
def other_colour(r: Plane, b: Plane, at_r: Plane, at_b: Plane, blue_r: Plane, red_b: Plane) -> None:
    """Blue at r and red at b, from red less blue beside them."""
    for i in range(r.size):
        blue_r[i] = r[i] - at_r[i] * HALF
        red_b[i] = b[i] + at_b[i] * HALF


@kernel(LINE, LINE, LINE, LINE)
def refined_green(own: Plane, sum_of_two: Plane, green: Plane, difference: Plane) -> None:
    """`green` at its own colour's site from three differences (`own` - green); `difference`: `own` less it."""
    for i in range(own.size):
        value = own[i] - (sum_of_two[i] + (own[i] - green[i])) * THIRD
        green[i] = value
        difference[i] = own[i] - value


@kernel(LINE, LINE, LINE, LINE, LINE, LINE)
def refined_other(r: Plane, b: Plane, at_r: Plane, at_b: Plane, blue_r: Plane, red_b: Plane) -> None:
    """Blue at r and red at b again, from three differences of red less blue."""
    for i in range(r.size):
        blue_r[i] = r[i] - (at_r[i] + (r[i] - blue_r[i])) * THIRD
        red_b[i] = b[i] + (at_b[i] + (red_b[i] - b[i])) * THIRD


def menon(quads: Plane, columns: int, channels: Plane, take: Take, refine: bool) -> None:
    """`channels` (12, quads) of `quads` (4, quads); `take` gives memory for work."""
    size = quads.shape[1]
    work = take(PLANES, size)
    rows = take(2 * size).view(np.uint8)[: 2 * size].reshape(2, size)
    r, b = quads[0], quads[3]
    between = channels[0], channels[1], channels[2], channels[3]
    estimates(quads, columns, work)
    activity(columns, 1, work[4], work[5], *between, work[8], work[9])
    activity(columns, columns, work[6], work[7], *between, work[10], work[11])
    choose(work[0], work[2], work[4], work[6], work[8], work[10], channels[4], work[12], rows[0])
    choose(work[1], work[3], work[5], work[7], work[9], work[11], channels[7], work[13], rows[1])
    _colours(quads, columns, channels, work, rows)
    other_colour(r, b, work[2], work[3], channels[8], channels[3])
    if refine:
        _refine(quads, columns, channels, work, rows)
    for plane, site in zip(quads, (0, 5, 6, 11), strict=True):
        np.copyto(channels[site], plane)


def _colours(quads: Plane, columns: int, channels: Plane, work: Plane, rows: Flags) -> None:
    """Red and blue at green, and in planes 2 and 3 of `work` the sum of the two red less blue beside r and b."""
    red_1, red_2, blue_1, blue_2 = channels[1], channels[2], channels[9], channels[10]
    at_green(quads, columns, work[12], work[13], red_1, red_2, blue_1, blue_2)
    beside(columns, red_1, blue_1, red_2, blue_2, rows[0], rows[1], *work[:4])


def _refine(quads: Plane, columns: int, channels: Plane, work: Plane, rows: Flags) -> None:
    """The paper's refining step, in place."""
    r, g1, g2, b = quads
    beside(columns, channels[1], g1, channels[2], g2, rows[0], rows[1], *work[:4])
    beside(columns, channels[9], g1, channels[10], g2, rows[0], rows[1], work[0], work[1], work[4], work[5])
    refined_green(r, work[2], channels[4], work[12])
    refined_green(b, work[5], channels[7], work[13])
    _colours(quads, columns, channels, work, rows)
    refined_other(r, b, work[2], work[3], channels[8], channels[3])
