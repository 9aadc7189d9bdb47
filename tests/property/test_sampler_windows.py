"""Windows and ownership hold for every canvas."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.rng import generator
from tasks.synthesis.windows import LAWS, owners

side = st.integers(1, 24)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LAWS)), side, side, side, side, st.integers(0, 2**31))
def test_windows_cover_the_canvas_inside_it_and_each_adds_something(law, h, w, more_h, more_w, seed):
    window, canvas = (h, w), (h + more_h, w + more_w)
    corners = LAWS[law](canvas, window, generator(seed, "s", "windows"))
    covered = np.zeros(canvas, bool)
    for y, x in corners:
        assert 0 <= y <= canvas[0] - h and 0 <= x <= canvas[1] - w
        here = covered[y : y + h, x : x + w]
        assert not here.all()
        here[...] = True
    assert covered.all()
    owner = owners(canvas, window, corners)
    assert set(np.unique(owner)) == set(range(len(corners)))
