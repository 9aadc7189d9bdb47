"""Inpainting kernels: what is known stays known, what is free is sampled as ever, and no byte outside changes."""

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis import inpaint
from tasks.synthesis.canvas import Canvas, State
from tasks.synthesis.evaluate import in_threads
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import forward_process, plan_steps

WINDOW = (8, 8)
PROCESSES = {
    "cosine": forward_process(DiffusionParams(timesteps=100, schedule="cosine", prediction="epsilon")),
    "flow": forward_process(DiffusionParams(timesteps=100, schedule="flow", prediction="flow")),
}


def plan(schedule="cosine", steps=7, solver="ddim", eta=0.0, times=1):
    return inpaint.resampled(PROCESSES[schedule], plan_steps(PROCESSES[schedule], steps, solver, eta), times)


def how(steps, name="s"):
    return Sampling(steps, "random", WINDOW, 1, 3, 5, name)


def network(z, condition, t):
    """Depends on the neighbourhood, the condition and t."""
    near = torch.nn.functional.avg_pool2d(z, 3, 1, 1)
    return torch.tanh(near + condition.mean(1, keepdim=True) - t / 200)


def filled(values):
    canvas = Canvas(values.shape)
    canvas.write(slice(0, values.shape[1]), slice(0, values.shape[2]), values)
    return canvas


def everything(canvas):
    return canvas.read(slice(0, canvas.shape[1]), slice(0, canvas.shape[2]))


def told(value=0.3, size=(19, 13)):
    return filled(np.full((2, *size), value, np.float32))


def real(free, steps, schedule="cosine"):
    z0 = generator(3, "real", "latents").normal(0, 1, (3, *free.shape)).astype(np.float32)
    first, process = steps[0].t, PROCESSES[schedule]
    return inpaint.RealLatents(filled(z0), free, (float(process.signal[first]), float(process.noise[first])))


def hole(size=(19, 13)):
    free = np.zeros(size, bool)
    free[4:12, 3:11] = True
    return free


def made(known, steps, condition=None, state=None, evaluate=None):
    return everything(sample(condition or told(), 3, evaluate or in_threads([network]), how(steps), state, known))


def test_a_region_everywhere_is_plain_sampling_to_the_bit():
    steps = plan()
    assert np.array_equal(made(real(np.ones((19, 13), bool), steps), steps), made(None, steps))


def test_a_region_nowhere_is_the_original_to_the_bit():
    steps = plan()
    known = real(np.zeros((19, 13), bool), steps)
    assert np.array_equal(made(known, steps), everything(known.z0))


@pytest.mark.parametrize("schedule", sorted(PROCESSES))
@pytest.mark.parametrize("solver", ["ddim", "dpm_solver_pp"])
def test_what_is_known_follows_the_forward_process_at_every_step(schedule, solver, tmp_path):
    steps, process = plan(schedule, solver=solver), PROCESSES[schedule]
    known, state = real(hole(), steps, schedule), State((3, 19, 13), tmp_path, record=True)
    found = made(known, steps, state=state)
    z0, n = everything(known.z0), how(steps).first(3, slice(0, 19), slice(0, 13))
    for k, step in enumerate(steps):
        expected = float(process.signal[step.t]) * z0 + float(process.noise[step.t]) * n
        assert np.abs(everything(state.canvas(k)) - expected)[:, ~hole()].max() < 1e-5, k
    assert np.array_equal(found[:, ~hole()], z0[:, ~hole()])


@pytest.mark.parametrize("times", [1, 4])
def test_with_fresh_noise_and_jumps_what_is_known_has_the_level_of_its_step(times, tmp_path):
    """Its mean is alpha z_0 and its deviation sigma, over many pixels."""
    steps, free = plan(eta=0.8, times=times), np.zeros((96, 96), bool)
    known, state = real(free, steps), State((3, 96, 96), tmp_path, record=True)
    made(known, steps, told(size=(96, 96)), state)
    z0 = everything(known.z0)
    for k, step in enumerate(steps):
        alpha, sigma = float(PROCESSES["cosine"].signal[step.t]), float(PROCESSES["cosine"].noise[step.t])
        rest = everything(state.canvas(k)) - alpha * z0
        assert rest.std() == pytest.approx(sigma, rel=0.02)
        assert abs((rest * z0).mean()) < 0.03


def test_jumps_take_each_step_but_the_last_so_often_and_one_is_no_jump():
    once = plan_steps(PROCESSES["cosine"], 5, "ddim", 0.0)
    assert inpaint.resampled(PROCESSES["cosine"], once, 1) == once
    thrice = plan(steps=5, times=3)
    assert [s.t for s in thrice] == [s.t for step in once[:-1] for s in [step] * 3] + [once[-1].t]
    assert thrice[2::3] == once[:-1]


def test_jumps_recover_a_gaussian_from_its_exact_score():
    process = PROCESSES["cosine"]

    def exact(z, condition, t):
        alpha, sigma = float(process.signal[t]), float(process.noise[t])
        return 1.7 + alpha * 0.16 / (alpha**2 * 0.16 + sigma**2) * (z - alpha * 1.7)

    one = Sampling(plan(steps=100, times=2), "random", (32, 32), 1, 16, 1, "s")
    found = everything(sample(told(size=(64, 64)), 2, in_threads([exact]), one))
    assert abs(found.mean() - 1.7) < 0.03
    assert abs(found.std() - 0.4) < 0.03


def test_the_inside_depends_on_what_it_is_told_and_on_what_is_known():
    steps = plan()
    known = real(hole(), steps)
    first, other = made(known, steps), made(known, steps, told(0.9))
    assert np.abs(first - other)[:, hole()].min() > 0
    elsewhere = inpaint.RealLatents(filled(everything(known.z0) + 1), hole(), known.start)
    assert np.abs(first - made(elsewhere, steps))[:, hole()].max() > 0.01


@pytest.mark.parametrize("stop", range(7))
def test_a_run_that_stops_in_any_step_goes_on_to_the_same_values(stop, tmp_path):
    steps, calls = plan(solver="dpm_solver_pp"), []
    known = real(hole(), steps)

    def failing(snapshot, batches):
        calls.append(snapshot.t)
        yield from list(in_threads([network])(snapshot, batches))[: 1 if len(calls) == stop + 1 else None]
        if len(calls) == stop + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(known, steps, state=State((3, 19, 13), tmp_path), evaluate=failing)
    assert np.array_equal(made(known, steps, state=State((3, 19, 13), tmp_path)), made(known, steps))


def picture(height, width, key="p"):
    return generator(2, key, "pixels").integers(0, 256, (3, height, width)).astype(np.uint8)


def blocks_of(stack):
    """A stand-in for an encoder: the mean of each block of 4 x 4 pixels."""
    n, c, y, x = stack.shape
    return stack.reshape(n, c, y // 4, 4, x // 4, 4).mean(axis=(3, 5), dtype=np.float32)


def test_a_picture_of_one_window_is_encoded_as_it_is_and_a_larger_one_by_windows():
    small, large = picture(32, 32), picture(48, 72)
    assert np.array_equal(inpaint.encode(small, blocks_of, 8, 4), blocks_of(small[None])[0])
    sizes = []

    def watched(stack):
        sizes.append(stack.shape[2:])
        return blocks_of(stack)

    assert np.allclose(inpaint.encode(large, watched, 8, 4), blocks_of(large[None])[0], atol=1e-4)
    assert set(sizes) == {(32, 32)}


@pytest.mark.parametrize("size", [(13, 35), (5, 6), (33, 41)])
def test_an_odd_picture_is_filled_up_with_its_border(size):
    found = inpaint.encode(picture(*size), blocks_of, 8, 4)
    height, width = (max(-(-n // 4), 8) * 4 for n in size)
    whole = np.pad(picture(*size), [(0, 0), (0, height - size[0]), (0, width - size[1])], mode="edge")
    assert np.allclose(found, blocks_of(whole[None])[0], atol=1e-4)


def test_free_are_the_latents_whose_block_the_region_touches_and_no_others():
    region = np.zeros((13, 35), bool)
    region[3:5, 11] = True
    free = inpaint.free_latents(region, 2, 4)
    assert free.shape == (4, 9)
    assert sorted(map(tuple, np.argwhere(free))) == [(0, 2), (1, 2)]
    assert inpaint.free_latents(np.ones((13, 35), bool), 16, 4).all()


@pytest.mark.parametrize("size", [(32, 32), (13, 35), (33, 41)])
@pytest.mark.parametrize("feather", [0, 3])
def test_outside_the_region_every_pixel_is_the_originals(size, feather):
    region = generator(6, "r", "region").random(size) < 0.3
    region[3:9, 4:12] = True
    before, after = picture(*size), picture(*size, key="q")
    weight = inpaint.weights(region, feather)
    found = inpaint.compose(before, after, weight)
    assert found.dtype == np.uint8
    assert np.array_equal(found[:, ~region], before[:, ~region])
    assert (weight[region] > 0).all()
    if feather == 0:
        assert np.array_equal(found[:, region], after[:, region])


def test_the_crossfade_rises_evenly_from_the_border_of_the_region_not_of_the_picture():
    region = np.zeros((6, 12), bool)
    region[:, 4:] = True
    assert inpaint.weights(region, 3)[2].tolist() == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert (inpaint.weights(np.ones((4, 4), bool), 3) == 1).all()


def test_the_largest_area_is_connected_and_of_one_class():
    mask = np.array([[1, 1, 2, 2], [1, 0, 2, 2], [0, 1, 1, 2], [1, 1, 1, 2]], np.uint8)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert np.array_equal(inpaint.largest_area(mask), np.array(expected, bool))
    assert not inpaint.largest_area(np.zeros((3, 3), np.uint8)).any()


def test_a_seam_is_the_mean_step_across_the_regions_border():
    flat = np.full((3, 4, 6), 10, np.uint8)
    region = np.zeros((4, 6), bool)
    region[:, 3:] = True
    assert inpaint.seam(flat, region) == 0
    flat[:, :, 3:] = 17
    assert inpaint.seam(flat, region) == 7
    assert inpaint.seam(flat, np.ones((4, 6), bool)) == 0
