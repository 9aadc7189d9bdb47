"""Windows and ownership hold for every canvas."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.rng import generator
from tasks.synthesis.windows import LAWS, batches, owners

side = st.integers(1, 24)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(LAWS)), side, side, side, side, st.integers(0, 2**31), st.sampled_from([1, 2, 4]))
def test_windows_cover_the_canvas_inside_it_and_each_adds_something(law, h, w, more_h, more_w, seed, multiple):
    size = (h * multiple, w * multiple)
    canvas = (size[0] + more_h, size[1] + more_w)
    windows = LAWS[law](canvas, size, multiple, generator(seed, "s", "windows"))
    covered = np.zeros(canvas, bool)
    for window in windows:
        assert 0 <= window.y <= canvas[0] - window.height and 0 <= window.x <= canvas[1] - window.width
        assert window.height % multiple == 0 and window.width % multiple == 0
        assert not covered[window.place].all()
        covered[window.place] = True
    assert covered.all()
    owner = owners(canvas, windows)
    assert set(np.unique(owner)) == set(range(len(windows)))
    together = batches(windows, size, 3)
    assert sorted(window for batch in together for window in batch) == sorted(windows)
    assert all(len({(window.height, window.width) for window in batch}) == 1 for batch in together)
    assert all(len(b) == 1 or sum(v.height * v.width for v in b) <= 3 * size[0] * size[1] for b in together)
