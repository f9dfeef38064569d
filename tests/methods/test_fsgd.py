"""FSGD: against SciPy's minimiser, in pieces, with windows deactivated, through kill -9."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from problems import random_points, twin_problem
from scipy.optimize import minimize

import pyvda
import pyvda.io.netcdf
import pyvda.methods
import pyvda.models.presets
from pyvda.errors import InputError
from pyvda.methods import METHODS, Problem, Status
from pyvda.methods.descent_state import _described
from pyvda.methods.fsgd import FSGDOptions, solve
from pyvda.models.registry import get_model
from pyvda.state.batch import Batch

MODEL = get_model("lorenz63")


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 6)


def test_descends_to_the_minimum_that_scipy_finds(problem: Problem) -> None:
    # 40 steps of one window that is well observed, so that both converge.
    batch = problem.batch[:1]._map(lambda a: a[:, :40])
    truth = np.asarray(batch.truth)
    batch = replace(batch, observation=truth + 0.1, mask=np.ones_like(truth))
    short = replace(problem, batch=batch)
    found = solve(short, FSGDOptions(iterations=200_000, tolerance=1e-9))

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        state = flat.reshape(batch.observation.shape)
        r = problem.engine.cost(MODEL, problem.cost, state, batch.observation, batch.mask)
        return r.total[0], r.gradient.ravel()

    best = minimize(
        cost,
        batch.first_guess.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 30_000, "ftol": 1e-16, "gtol": 1e-12},
    )
    assert cost(found.x.ravel())[0] == pytest.approx(best.fun, rel=1e-6)
    np.testing.assert_allclose(found.x.ravel(), best.x, atol=0.02)


def test_is_the_plain_loop_of_equation_5(problem: Problem) -> None:
    alpha = 0.1 * 597
    x = problem.batch.first_guess
    for _ in range(7):
        g = problem.engine.cost(
            MODEL, problem.cost, x, problem.batch.observation, problem.batch.mask
        ).gradient
        x = x - alpha * g
    found = solve(problem, FSGDOptions(iterations=7, step=alpha))
    np.testing.assert_allclose(found.x, x, rtol=1e-12, atol=1e-12)
    assert (found.status == Status.ITERATION_LIMIT).all()
    assert (found.iterations == 7).all()


def test_history_records_cost_and_error(problem: Problem) -> None:
    found = solve(problem, FSGDOptions(iterations=300))
    history = found.history
    assert history is not None
    assert history["iteration"][0] == 0
    assert history["iteration"][-1] == 300
    assert (found.iterations == 300).all()
    assert np.all(np.diff(history["cost"]) < 0)
    error = np.mean((found.x - problem.batch.truth) ** 2)
    assert history["r_score"][-1] == pytest.approx(error)


def test_tolerance_stops_each_window_on_its_own(problem: Problem) -> None:
    options = FSGDOptions(iterations=4000, tolerance=0.02, check_every=100)
    found = solve(problem, options)
    assert (found.status == Status.CONVERGED).all()
    assert len(set(found.iterations.tolist())) > 1
    alone = solve(replace(problem, batch=problem.batch[2:3]), options)
    np.testing.assert_array_equal(alone.x[0], found.x[2])
    assert alone.iterations[0] == found.iterations[2]


def test_a_window_without_observations_is_left_and_flagged(problem: Problem) -> None:
    mask = problem.batch.mask.copy()
    mask[1] = 0
    batch = Batch(problem.batch.observation * (mask > 0), mask, problem.batch.first_guess)
    found = solve(replace(problem, batch=batch), FSGDOptions(iterations=50))
    assert found.status.tolist() == [1, Status.NO_OBSERVATIONS, 1, 1, 1, 1]
    np.testing.assert_array_equal(found.x[1], problem.batch.first_guess[1])


def test_a_window_that_diverges_leaves_the_others_alone(problem: Problem) -> None:
    observation = problem.batch.observation.copy()
    observation[3, 0, 0] = 1e200
    batch = replace(problem.batch, observation=observation)
    found = solve(replace(problem, batch=batch), FSGDOptions(iterations=600, check_every=10))
    assert found.status[3] == Status.DIVERGED
    kept = [0, 1, 2, 4, 5]
    expected = solve(problem, FSGDOptions(iterations=600, check_every=10))
    np.testing.assert_array_equal(found.x[kept], expected.x[kept])


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_interrupted_and_resumed_gives_the_same_bits(problem, precision, tmp_path) -> None:
    options = FSGDOptions(iterations=2000, check_every=100, tolerance=0.05, precision=precision)
    whole = solve(problem, options)
    file = tmp_path / "state.npz"

    def interrupt(done: int, total: int, note: str) -> None:
        if done >= 700:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(replace(problem, report=interrupt), options, state=file)
    assert file.exists()
    seen = []
    resumed = solve(
        replace(problem, report=lambda done, *_: seen.append(done)), options, state=file
    )
    assert min(seen) > 700
    np.testing.assert_array_equal(resumed.x, whole.x)
    np.testing.assert_array_equal(resumed.iterations, whole.iterations)
    np.testing.assert_array_equal(resumed.history["cost"], whole.history["cost"])


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_within_a_piece_keeps_a_consistent_state(
    problem, signals, tmp_path, monkeypatch
) -> None:
    options = FSGDOptions(iterations=2000, check_every=500)
    whole = solve(problem, options)
    file, handler = tmp_path / "state.npz", signal.getsignal(signal.SIGINT)
    descend, pieces = problem.engine.descend, []

    def interrupted(*args, out, iterations, **settings):
        pieces.append(iterations)
        if sum(pieces) < 700:
            return descend(*args, out=out, iterations=iterations, **settings)
        out = descend(*args, out=out, iterations=iterations // 2, **settings)  # in its midst:
        for _ in range(signals):
            signal.raise_signal(signal.SIGINT)
        return descend(*args[:2], out, *args[3:], out=out, iterations=iterations - iterations // 2,
                       **settings)  # fmt: skip

    given = problem.engine

    class Interrupted:
        descend = staticmethod(interrupted)

        def __getattr__(self, name):
            return getattr(given, name)

    with pytest.raises(KeyboardInterrupt):
        solve(replace(problem, engine=Interrupted()), options, state=file)
    assert signal.getsignal(signal.SIGINT) is handler
    # The first one waits for the end of the piece and keeps it, the second throws it away.
    assert file.exists() == (signals == 1)
    resumed = solve(problem, options, state=file)
    np.testing.assert_array_equal(resumed.x, whole.x)
    np.testing.assert_array_equal(resumed.iterations, whole.iterations)


def test_a_checkpoint_of_something_else_is_refused(problem: Problem, tmp_path) -> None:
    file = tmp_path / "state.npz"
    solve(problem, FSGDOptions(iterations=10), state=file)
    with pytest.raises(InputError, match="other observations or options"):
        solve(problem, FSGDOptions(iterations=11), state=file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        solve(problem, FSGDOptions(iterations=10), state=file)


# The command, which receives a signal when it has written its state for the third time.
STOPPED = """
import os, sys
from pyvda.cli.main import main
from pyvda.methods import descent_state, fsgd
by, save, saved = int(sys.argv.pop(1)), descent_state.DescentState.save, []
def stopped(state, path):
    save(state, path)
    saved.append(state.done)
    if len(saved) == 3:
        os.kill(os.getpid(), by)
descent_state.DescentState.save = stopped
fsgd.solve.__kwdefaults__["save_seconds"] = 0.0
main()
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """Return a file of observations and its analysis by 40 iterations without interruption."""
    path = tmp_path_factory.mktemp("whole") / "obs.nc"
    truth = pyvda.simulate("lorenz63", 2, 5, steps=60)
    pyvda.save_analysis(pyvda.observe(truth, "lorenz63", 6), path)
    observed = pyvda.open_observations(path)
    analysis = pyvda.assimilate(observed, model="lorenz63", iterations=40, engine="torch")
    return path, analysis["analysis"].values


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_resumes_from_its_state(by, whole, tmp_path, monkeypatch) -> None:
    path, expected = whole
    state, output = tmp_path / "state.npz", tmp_path / "analysis.nc"
    arguments = [
        "assimilate", path, "--model", "lorenz63", "--engine", "torch", "-q",
        "--iterations", "40", "--state", state, "-o", output,
    ]  # fmt: skip
    command = [sys.executable, "-c", STOPPED, str(int(by)), *map(str, arguments)]
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if by is signal.SIGINT:
        assert (stopped.returncode, stopped.stderr) == (1, "pyvda: interrupted\n")
    else:
        assert stopped.returncode == -by
    assert not output.exists()
    with np.load(state) as stored:
        assert 0 < stored["done"] < 40
    assert run(monkeypatch, *arguments) == 0
    resumed = pyvda.io.netcdf.open_dataset(output)
    np.testing.assert_array_equal(resumed["analysis"].values, expected)


def test_options_are_checked() -> None:
    assert METHODS["fsgd"].options is FSGDOptions
    for bad in ({"iterations": -1}, {"step": 0.0}, {"precision": "float16"}, {"iteration": 3}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            FSGDOptions(**bad)


def test_a_built_in_model_is_described_as_by_earlier_versions() -> None:
    """Otherwise the states of their descents could not be resumed."""
    assert _described(get_model("lorenz96")) == (
        "Model(name='lorenz96', state_size=40, parameters=(8.0,), time_step=0.05)"
    )
    assert _described(get_model("lorenz96")) != _described(get_model("lorenz96", forcing=7.0))


def sparse(name: str, data: int, *, lambda1: float = 0.01, steps: int = 200) -> Problem:
    """Return windows of a model of which only `data` numbers were observed."""
    whole = twin_problem(name, 2, steps=steps)
    mask = np.zeros_like(np.asarray(whole.batch.mask))
    seen = np.argwhere(np.asarray(whole.batch.mask[0]) > 0)
    for step, component in seen[:: max(1, len(seen) // data)][:data]:
        mask[:, step, component] = 1.0
    observation = mask * np.asarray(whole.batch.truth)
    batch = replace(whole.batch, mask=mask, observation=observation)
    return replace(whole, batch=batch, cost=replace(whole.cost, lambda1=lambda1))


@pytest.mark.parametrize(
    ("name", "data", "lambda1"),
    [("lorenz96", 5, 0.01), ("lorenz96", 12, 0.01), ("lorenz63", 1, 0.01), ("lorenz63", 25, 1.0)],
)
def test_the_default_step_is_stable_with_few_data(name: str, data: int, lambda1: float) -> None:
    few = sparse(name, data, lambda1=lambda1)
    found = solve(few, FSGDOptions(iterations=1000))
    assert (found.status == Status.ITERATION_LIMIT).all()
    assert (np.diff(found.history["cost"]) <= 0).all()
    assert found.history["cost"][-1] < 0.2 * found.history["cost"][0]


def test_a_window_keeps_its_step_beside_one_with_fewer_data(problem: Problem) -> None:
    one = sparse("lorenz63", 1).batch
    both = problem.batch._map(lambda a: np.asarray(a)[:1])
    both = Batch(*(np.concatenate([getattr(each, name) for each in (both, one)])
                   for name in ("observation", "mask", "first_guess", "truth")))  # fmt: skip
    options = FSGDOptions(iterations=300)
    together = solve(replace(problem, batch=both), options)
    for rows in (slice(0, 1), slice(1, 3)):
        alone = solve(replace(problem, batch=both[rows]), options)
        np.testing.assert_array_equal(alone.x, together.x[rows])


def test_data_between_steps_count_for_the_default_step(problem: Problem) -> None:
    batch = problem.batch[:2]
    points = random_points(3, 2, 200, data=3)
    strong = replace(points, operator=10 * np.asarray(points.operator))
    none = np.zeros_like(np.asarray(batch.mask))
    few = replace(problem, batch=replace(batch, mask=none, observation=none, points=strong))
    found = solve(few, FSGDOptions(iterations=500))
    assert np.isfinite(found.x).all()
    assert (np.diff(found.history["cost"]) <= 0).all()
