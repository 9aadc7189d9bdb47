"""The sampler against a plain sequential reading of algorithm 2, and against closed forms."""

import math
import threading

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis import noise
from tasks.synthesis.canvas import Canvas, State, Uniform
from tasks.synthesis.evaluate import fitting, guided, in_threads
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import advance, forward_process, plan_steps
from tasks.synthesis.windows import LAWS


def forward(schedule="scaled_linear", timesteps=100, prediction="epsilon"):
    return forward_process(DiffusionParams(timesteps=timesteps, schedule=schedule, prediction=prediction))


PROCESS = forward()
WINDOW = (8, 8)


def how(steps=7, solver="ddim", eta=0.0, law="random", batch=1, seed=5, name="s"):
    return Sampling(plan_steps(PROCESS, steps, solver, eta), law, WINDOW, 1, batch, seed, name)


def network():
    """A small convolutional predictor with fixed weights: depends on z, the condition and t."""
    draw = generator(3, "network", "weights")
    w = torch.from_numpy(draw.normal(0, 0.2, (3, 5, 3, 3)).astype(np.float32))

    def denoise(z, condition, t):
        x = torch.nn.functional.conv2d(torch.cat([z, condition], 1), w, padding=1)
        return torch.tanh(x + z * math.sqrt(t / 100))

    return denoise


def told(height, width):
    canvas = Canvas((2, height, width))
    canvas.write(
        slice(0, height), slice(0, width), generator(4, "condition", "values").random((2, height, width), "f4")
    )
    return canvas


def everything(canvas):
    return canvas.read(slice(0, canvas.shape[1]), slice(0, canvas.shape[2]))


def made(canvas, how, denoise=None, workers=None, state=None):
    return everything(sample(told(*canvas), 3, in_threads([denoise or network()], workers), how, state))


def algorithm_2(condition, denoise, how, channels):
    """Thesis A, algorithm 2, window by window with the replica of the previous step and the time map L."""
    height, width = condition.shape[1:]
    y = noise.field(channels, slice(0, height), slice(0, width), how.seed, how.name, "noise")
    level = np.full((height, width), len(how.steps))
    earlier = np.zeros_like(y)
    for k, step in enumerate(how.steps):
        replica, predicted = y.copy(), np.zeros_like(y)
        time = len(how.steps) - k - 1
        for window in LAWS[how.law]((height, width), how.window, 1, generator(how.seed, how.name, f"windows/{k}")):
            here = (slice(None), *window.place)
            z = torch.from_numpy(replica[here].copy())[None]
            c = torch.from_numpy(condition[here].copy())[None]
            z0 = denoise(z, c, step.t)[0].numpy()
            n = noise.field(channels, here[1], here[2], how.seed, how.name, "fresh", k) if step.fresh else None
            moved = advance(replica[here], z0, earlier[here], n, step)
            behind = level[here[1:]] == time + 1
            y[here][:, behind], predicted[here][:, behind] = moved[:, behind], z0[:, behind]
            level[here[1:]][behind] = time
        assert (level == time).all()
        earlier = predicted
    return y


@pytest.mark.parametrize("law", sorted(LAWS))
@pytest.mark.parametrize(("solver", "eta"), [("ddim", 0.0), ("ddim", 0.7), ("dpm_solver_pp", 0.0)])
@pytest.mark.parametrize(("canvas", "guidance"), [((16, 16), 0.0), ((8, 21), 1.5), ((19, 13), 1.5)])
def test_equals_the_sequential_algorithm_exactly(canvas, guidance, solver, eta, law):
    denoise = guided(network(), torch.zeros(2, 1, 1), guidance)
    one = how(solver=solver, eta=eta, law=law)
    expected = algorithm_2(everything(told(*canvas)), denoise, one, 3)
    for workers in (1, 2):
        assert np.array_equal(made(canvas, one, denoise, workers), expected)
    for batch in (2, 3, 64):
        found = made(canvas, how(solver=solver, eta=eta, law=law, batch=batch), denoise)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_batches_may_come_back_in_any_order():
    def backwards(snapshot, batches):
        return iter(list(in_threads([network()], 1)(snapshot, batches))[::-1])

    expected = made((19, 21), how(batch=2))
    assert np.array_equal(everything(sample(told(19, 21), 3, backwards, how(batch=2))), expected)


def test_a_canvas_of_one_window_is_the_plain_sampler():
    y = noise.field(3, slice(0, 8), slice(0, 8), 5, "s", "noise")
    c = torch.from_numpy(everything(told(8, 8)))[None]
    for step in how().steps:
        y = advance(y, network()(torch.from_numpy(y)[None], c, step.t)[0].numpy(), None, None, step)
    assert np.array_equal(made((8, 8), how(batch=4)), y)


def test_depends_on_seed_and_sample_only():
    first = made((12, 12), how(name="s1"))
    assert np.array_equal(first, made((12, 12), how(name="s1")))
    assert not np.array_equal(first, made((12, 12), how(name="s2")))
    assert not np.array_equal(first, made((12, 12), how(name="s1", seed=6)))


@pytest.mark.parametrize("stop", range(7))
@pytest.mark.parametrize("solver", ["ddim", "dpm_solver_pp"])
def test_a_run_that_stops_in_any_step_goes_on_to_the_same_values(stop, solver, tmp_path):
    calls = []

    def failing(snapshot, batches):
        calls.append(snapshot.t)
        found = list(in_threads([network()])(snapshot, batches))
        yield from found[:2]
        if len(calls) == stop + 1:
            raise KeyboardInterrupt
        yield from found[2:]

    expected = made((19, 13), how(solver=solver))
    with pytest.raises(KeyboardInterrupt):
        sample(told(19, 13), 3, failing, how(solver=solver), State((3, 19, 13), tmp_path))
    again = State((3, 19, 13), tmp_path)
    assert again.done() == stop
    assert np.array_equal(made((19, 13), how(solver=solver), state=again), expected)


@pytest.mark.parametrize("spoilt", ["state.json", "y-1.f32", "clean-0.f32"])
def test_a_state_of_which_a_part_is_gone_is_begun_anew(spoilt, tmp_path):
    """As where it was being removed: a canvas that is not there would be made afresh, of zeros."""
    expected = made((19, 13), how(solver="dpm_solver_pp"), state=State((3, 19, 13), tmp_path))
    assert State((3, 19, 13), tmp_path).done() == 7
    (tmp_path / spoilt).write_bytes(b"")
    again = State((3, 19, 13), tmp_path)
    assert again.done() == -1
    assert np.array_equal(made((19, 13), how(solver="dpm_solver_pp"), state=again), expected)


def test_a_state_that_records_keeps_the_canvas_of_every_step(tmp_path):
    state = State((3, 19, 13), tmp_path, record=True)
    expected = made((19, 13), how(), state=state)
    assert np.array_equal(everything(state.canvas(7)), expected)
    after_two = Sampling(how().steps[:2], "random", WINDOW, 1, 1, 5, "s")
    assert np.array_equal(everything(state.canvas(2)), made((19, 13), after_two))


def test_networks_on_several_devices_take_turns_and_never_meet():
    """Two networks, as on two GPUs: both are asked, each by one thread at a time, and the values are the same."""
    asked, busy = [], [threading.Lock(), threading.Lock()]

    def on(place):
        def denoise(z, condition, t):
            assert busy[place].acquire(blocking=False), "two threads on one device"
            asked.append(place)
            found = network()(z, condition, t)
            busy[place].release()
            return found

        return denoise

    found = everything(sample(told(40, 40), 3, in_threads([on(0), on(1)]), how()))
    assert np.array_equal(found, made((40, 40), how())) and set(asked) == {0, 1}


def test_a_pixel_left_behind_is_noticed():
    def lossy(snapshot, batches):
        return iter(list(in_threads([network()])(snapshot, batches))[1:])

    with pytest.raises(RuntimeError, match="exactly once"):
        sample(told(19, 13), 3, lossy, how())


@pytest.mark.parametrize("canvas", [(7, 8), (8, 7)])
def test_a_canvas_smaller_than_a_window_is_refused(canvas):
    with pytest.raises(ValueError, match="smaller than the window"):
        made(canvas, how())


def test_guidance_is_the_stated_mixture():
    def denoise(z, condition, t):
        return condition.mean(dim=(1, 2, 3), keepdim=True).expand_as(z)

    z, c = torch.zeros(2, 3, 4, 4), torch.full((2, 2, 4, 4), 0.5)
    null = torch.full((2, 1, 1), -1.0)
    assert torch.allclose(guided(denoise, null, 2.0)(z, c, 1), torch.full_like(z, 3 * 0.5 + 2 * 1.0))
    assert torch.equal(guided(denoise, null, 0.0)(z, c, 1), torch.full_like(z, 0.5))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_too_little_memory_makes_batches_smaller_and_says_so(error, caplog):
    def greedy(z, condition, t):
        if len(z) > 2:
            raise error
        return network()(z, condition, t)

    z, c = np.ones((7, 3, 8, 8), np.float32), np.ones((7, 2, 8, 8), np.float32)
    found = fitting(greedy, z, c, 3)
    assert np.allclose(found, fitting(network(), z, c, 3), atol=1e-6)
    assert "too little memory for a batch of 7 windows" in caplog.text

    def broken(z, condition, t):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        fitting(broken, z, c, 3)


def gaussian(process, mean, deviation):
    """The exact E[z_0 | z_t] for data N(mean, deviation^2)."""

    def denoise(z, condition, t):
        alpha, sigma = float(process.signal[t]), float(process.noise[t])
        gain = alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2)
        return mean + gain * (z - alpha * mean)

    return denoise


@pytest.mark.parametrize(
    ("schedule", "prediction", "solver", "eta", "steps"),
    [
        ("cosine", "epsilon", "ddim", 0.0, 250),
        ("cosine", "epsilon", "ddim", 1.0, 250),
        ("cosine", "epsilon", "dpm_solver_pp", 0.0, 40),
        ("flow", "flow", "ddim", 0.0, 250),
        ("flow", "flow", "dpm_solver_pp", 0.0, 40),
    ],
)
def test_a_gaussian_is_recovered_from_its_exact_score(schedule, prediction, solver, eta, steps):
    process = forward(schedule, 1000, prediction)
    one = Sampling(plan_steps(process, steps, solver, eta), "random", (32, 32), 1, 16, 1, "s")
    nothing = Uniform(np.zeros(1, np.float32), 64, 64)
    y = everything(sample(nothing, 2, in_threads([gaussian(process, 1.7, 0.4)]), one))
    assert abs(y.mean() - 1.7) < 0.02
    assert abs(y.std() - 0.4) < 0.02


def test_ddim_is_of_the_first_order_and_dpm_solver_is_nearer_with_half_the_steps():
    """The probability flow of a Gaussian is known: z ends at mean + deviation * z_T (nearly, as alpha_T is small)."""
    process = forward("cosine", 4000)
    exact = gaussian(process, 0.0, 0.5)

    def error(solver, steps):
        plan = plan_steps(process, steps, solver, 0.0)
        z, before = np.ones((1, 1, 1), np.float64), None
        first = math.hypot(float(process.signal[-1]) * 0.5, float(process.noise[-1]))
        for step in plan:
            z0 = np.asarray(exact(z, None, step.t))
            z, before = advance(z, z0, before, None, step), z0
        return abs(float(z[0, 0, 0]) - 0.5 / first)

    assert error("ddim", 20) / error("ddim", 40) == pytest.approx(2, abs=0.35)
    assert error("dpm_solver_pp", 20) < 0.5 * error("ddim", 20)
    assert error("dpm_solver_pp", 20) < error("ddim", 40)


def test_each_step_is_told_to_whoever_shows_progress(caplog, tmp_path):
    caplog.set_level("DEBUG", "rawmill")
    made((19, 13), how(steps=25), state=State((3, 19, 13), tmp_path))
    told_steps = [record for record in caplog.records if hasattr(record, "progress")]
    assert [record.progress for record in told_steps] == [("s", k, 25) for k in range(26)]
    assert [r.progress[1] for r in told_steps if r.levelname == "INFO"] == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert all("windows" in record.getMessage() for record in told_steps)
