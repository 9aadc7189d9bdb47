"""Batches made ahead: in order, bounded, the same whatever the depth; errors surface; nothing is left running."""

import threading
import time

import numpy as np
import pytest
import torch

from tasks.synthesis import autoencoder, feed
from tasks.synthesis.tiles import Windows, read_tiles


def idle_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


@pytest.mark.parametrize(("depth", "threads"), [(0, 1), (1, 1), (3, 2), (9, 4)])
def test_batches_come_in_order_whoever_is_slow(depth, threads):
    def make(step):
        time.sleep(0.02 if step % 3 == 0 else 0)
        return step

    with feed.feed(make, 2, 14, depth, threads) as batches:
        assert list(batches) == list(range(2, 14))
    assert not idle_threads()


def test_no_more_than_the_depth_is_made_ahead():
    begun = []
    with feed.feed(lambda step: begun.append(step) or step, 0, 100, 3, 2) as batches:
        for step in batches:
            time.sleep(0.005)
            assert len(begun) <= step + 1 + 3
            if step == 10:
                break
    assert max(begun) <= 13 and not idle_threads()


def test_the_next_batches_are_made_while_one_is_used():
    made = threading.Event()
    with feed.feed(lambda step: made.set() if step == 1 else None, 0, 5, 2, 1) as batches:
        next(batches)
        assert made.wait(5)


def test_an_error_surfaces_with_its_own_batch_and_ends_the_feed():
    def make(step):
        if step == 3:
            raise ValueError("torn")
        return step

    taken = []
    with pytest.raises(ValueError, match="torn"), feed.feed(make, 0, 10) as batches:
        taken.extend(batches)
    with pytest.raises(ValueError, match="torn"), feed.feed(make, 0, 10) as batches:
        for step in batches:
            taken.append(step)
    assert taken[-3:] == [0, 1, 2] and not idle_threads()


def test_leaving_early_waits_for_what_is_in_the_making():
    done = []

    def make(step):
        time.sleep(0.05)
        done.append(step)
        return step

    with pytest.raises(KeyboardInterrupt), feed.feed(make, 0, 100, 2, 2) as batches:
        next(batches)
        raise KeyboardInterrupt
    count = len(done)
    time.sleep(0.15)
    assert len(done) == count <= 4


def test_batches_of_the_store_do_not_depend_on_depth_or_threads(raw, autoencoder_params):
    table = read_tiles(raw)
    found = []
    for depth, threads in ((0, 1), (4, 3)):
        pictures = Windows(raw, table[table["split"] == "train"])

        def make(step, pictures=pictures):
            return autoencoder.batch(pictures, autoencoder_params, step)

        with feed.feed(make, 0, 6, depth, threads) as batches:
            found.append([torch.cat([part.flatten() for part in batch]) for batch in batches])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not np.array_equal(found[0][0], found[0][1])
