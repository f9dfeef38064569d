"""Incremental 4D-Var against the dense strong constraint, a linear solution, and itself."""

import kalman
import numpy as np
import pytest
import xarray as xr
from linear_torch import linear_windows

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.names import Status
from pyvda.operators import Dense, Spectral, power

ENGINES = ["torch", pytest.param("julia", marks=pytest.mark.julia)]
B = np.diag([9.0, 9.0, 9.0]) + 2.0


def lorenz(steps=41, windows=2, seed=3):
    return twin("lorenz63", steps, windows, seed)


def twin(name, steps, windows=2, seed=3, variance=1.0, every=4):
    truth = pyvda.simulate(name, windows=windows, steps=steps, seed=seed)
    return truth, pyvda.observe(truth, variance=variance, every=every, seed=4)


def covariance(name):
    return B if name == "lorenz63" else np.eye(40) + 0.1


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("torch", "lorenz63"),
        pytest.param("julia", "lorenz63", marks=pytest.mark.julia),
        pytest.param("julia", "lorenz96", marks=pytest.mark.julia),
    ],
)
def test_the_minimum_is_that_of_the_dense_method(engine, name) -> None:
    truth, observed = twin(name, steps=11, windows=1, variance=0.01, every=2)
    start = truth["truth"].values[:, 0].mean(0) + 0.3
    how = {"model": name, "background": (start, covariance(name)), "engine": engine}
    dense = pyvda.assimilate(
        observed, method="strong-constraint", starts="mean", growth=0, tolerance=1e-20, **how
    )
    found = pyvda.assimilate(
        observed, method="incremental", inner_tolerance=1e-14, inner_iterations=100,
        tolerance=1e-16, iterations=60, members=0, **how,
    )  # fmt: skip
    np.testing.assert_allclose(found["objective"], dense["objective"], rtol=1e-9)
    np.testing.assert_allclose(found["analysis"], dense["analysis"], rtol=0, atol=1e-9)


def test_a_linear_model_has_the_analysis_of_the_normal_equations() -> None:
    import torch

    M = torch.tensor([[0.9, 0.3, 0.0], [-0.3, 0.9, 0.1], [0.0, -0.1, 1.0]], dtype=torch.float64)
    model = pyvda.torch_model(step=lambda x: x @ M.T, variables=("a", "b", "c"), time_step=1.0)
    rng = np.random.default_rng(2)
    y = np.where(rng.random((6, 3)) < 0.5, rng.normal(size=(6, 3)), np.nan)
    ds = xr.Dataset({"observation": (("time", "state"), y)}, {"time": np.arange(6.0)})
    start, R = np.array([1.0, -1.0, 0.5]), 0.3
    found = pyvda.assimilate(
        ds, model=model, method="incremental", background=(start, Dense(B)), members=0,
        observation_variance=R, inner_tolerance=1e-14, tolerance=1e-15,
    )  # fmt: skip
    hessian, right, power_ = np.linalg.inv(B), np.linalg.solve(B, start), np.eye(3)
    for row in y:
        seen = np.isfinite(row)
        H = power_[seen]
        hessian, right = hessian + H.T @ H / R, right + H.T @ row[seen] / R
        power_ = M.numpy() @ power_
    np.testing.assert_allclose(
        found["analysis"].values[0], np.linalg.solve(hessian, right), atol=1e-10
    )


@pytest.mark.julia
def test_an_ocean_is_analysed_better_than_its_background() -> None:
    """A quick version of the cycled experiment with the quasi-geostrophic model."""
    n = 33
    model = pyvda.get_model("quasi-geostrophic", n=n)
    truth = pyvda.simulate(model, windows=1, steps=11, seed=1)
    psi = np.nan_to_num(truth["psi"].values[0])
    observed = pyvda.observe(truth, variance=1.0, every=2, seed=2).isel(window=0)
    B = Spectral((n, n), power(2.0, 3.0), 1.0, boundary="wall", uniform=False)
    start = psi[0] + B.sample(np.random.default_rng(3), 1).reshape(n, n)
    found = pyvda.assimilate(
        observed, model=model, method="incremental", background=start, covariance=B, growth=4,
        members=20, observation_variance=1.0,
    )  # fmt: skip
    inside = np.s_[:, 1:-1, 1:-1]
    error = (found["psi"].values - psi)[inside]
    free = get_engine("julia").run(model, CostSettings(5.0), start.reshape(1, -1), 11)
    unseen = free[0].reshape(psi.shape)
    assert np.sqrt((error**2).mean()) < 0.5 * np.sqrt(((unseen - psi)[inside] ** 2).mean())
    assert int(found["status"].values.ravel()[0]) == Status.CONVERGED
    spread = found["psi_stdev"].values[inside]
    assert 0.5 < (error**2).mean() / (spread**2).mean() < 2.0


@pytest.mark.parametrize("growth", [0, 3])
def test_with_a_model_error_a_linear_model_has_the_analysis_of_the_smoother(growth) -> None:
    """The states given all data, and their deviation, by dense matrices."""
    windows, R = linear_windows(2, 8, 3, seed=4), 0.3
    p, y = windows.problem, np.where(windows.weight > 0, windows.observation, np.nan)
    ds = xr.Dataset({"observation": (("window", "time", "state"), y)}, {"time": np.arange(8.0)})
    found = pyvda.assimilate(
        ds, model=windows.model, method="incremental", background=(p.mean, p.B),
        model_error=p.Q, observation_variance=R, inner_tolerance=1e-14, tolerance=1e-15,
        growth=growth, members=2000,
    )  # fmt: skip
    for window in range(2):
        variance = np.where(np.isfinite(y[window]), R, np.inf)
        expected = kalman.of_mask(p.M, p.mean, p.B, y[window], variance, p.Q)
        np.testing.assert_allclose(found["analysis"].values[window], expected.mean, atol=1e-9)
        ratio = found["state_stdev"].values[window] / expected.stdev
        assert np.abs(ratio - 1).max() < 0.08  # 2000 draws: 1.6 %


@pytest.mark.julia
def test_with_a_model_error_an_ocean_is_analysed_better_than_by_the_exact_model() -> None:
    n, steps, rng = 17, 13, np.random.default_rng(5)
    model, engine = pyvda.get_model("quasi-geostrophic", n=n), get_engine("julia")
    B = Spectral((n, n), power(2.0, 3.0), 1.0, boundary="wall", uniform=False)
    Q = Spectral((n, n), power(2.0, 3.0), 0.5, boundary="wall", uniform=False)
    mean = pyvda.simulate(model, windows=1, steps=2, seed=1)["psi"].fillna(0.0).values[0, 0].ravel()
    forcing = Q.sample(rng, steps - 1)
    start = mean + B.sample(rng, 1)
    truth = engine.run(model, CostSettings(5.0), start, steps, forcing[None])[0]
    seen = (rng.random(truth.shape) < 0.2) & model.sea
    y = np.where(seen, truth + 0.3 * rng.normal(size=truth.shape), np.nan).reshape(steps, n, n)
    observed = xr.Dataset({"psi": (("time", "y", "x"), y)}, {"time": 5.0 * np.arange(steps)})
    how = {
        "model": model, "method": "incremental", "background": mean, "covariance": B,
        "observation_variance": 0.09, "growth": 4, "members": 0,
    }  # fmt: skip

    def error(**more):
        found = pyvda.assimilate(observed, **how, **more)
        x = np.nan_to_num(found["psi"].values).reshape(truth.shape)
        return np.sqrt(((x - truth) ** 2).mean())

    assert error(model_error=Q) < 0.6 * error()


@pytest.mark.julia
def test_both_engines_give_the_same_analysis_with_a_model_error() -> None:
    model, rng = pyvda.get_model("quasi-geostrophic", n=9), np.random.default_rng(7)
    y = np.where(rng.random((3, 9, 9)) < 0.3, rng.normal(size=(3, 9, 9)), np.nan)
    observed = xr.Dataset({"psi": (("time", "y", "x"), y)}, {"time": 5.0 * np.arange(3)})
    B = Spectral((9, 9), power(2.0, 3.0), 1.0, boundary="wall", uniform=False)
    found = [
        pyvda.assimilate(
            observed, model=model, method="incremental", background=np.zeros(81), covariance=B,
            model_error=B, observation_variance=0.1, iterations=2, inner_iterations=5,
            members=0, engine=engine,
        )["psi"]
        for engine in ("julia", "torch")
    ]  # fmt: skip
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": "none"}, "incremental 4D-Var needs one"),
        ({"background": np.ones(5)}, "has 5 components, and lorenz63 has 3"),
        ({"background": np.ones(3)}, "no covariance of the background"),
        ({"background": np.array([1.0, np.nan, 2.0])}, "expected climatology, a state"),
        ({"background": (np.ones(3), np.eye(4))}, "a covariance of 4 components"),
        ({"model_error": np.eye(4)}, "model_error is a covariance of 4 components"),
    ],
)
def test_invalid_backgrounds(options, message) -> None:
    _, observed = lorenz(windows=1)
    with pytest.raises(InputError, match=message):
        pyvda.assimilate(
            observed, model="lorenz63", method="incremental", engine="torch", **options
        )


def test_a_covariance_of_another_grid_is_refused() -> None:
    states = xr.Dataset(
        {"psi": (("time", "y", "x"), np.random.default_rng(1).normal(size=(5, 3, 27)))}
    )
    model = pyvda.get_model("quasi-geostrophic", n=9)
    observed = xr.Dataset(
        {"psi": (("time", "y", "x"), np.ones((3, 9, 9)))}, {"time": 5.0 * np.arange(3)}
    )
    with pytest.raises(InputError, match=r"psi \(y=3, x=27\), and the model's state is psi \(y=9"):
        pyvda.assimilate(
            observed, model=model, method="incremental", background=np.zeros(81), engine="torch",
            covariance=pyvda.fit_covariance(states), observation_variance=1.0,
        )  # fmt: skip


def test_a_field_of_another_name_is_to_be_named() -> None:
    psi = np.where(np.arange(81).reshape(9, 9) == 40, 1.0, np.nan) * np.ones((4, 1, 1))
    ds = xr.Dataset({"psi_obs": (("time", "y", "x"), psi)}, {"time": 5.0 * np.arange(4)})
    how = {
        "model": pyvda.get_model("quasi-geostrophic", n=9), "method": "incremental",
        "engine": "torch", "background": np.zeros(81), "observation_variance": 1.0,
        "covariance": Spectral((9, 9), power(2.0, 3.0)), "members": 0,
    }  # fmt: skip
    with pytest.raises(InputError, match=r"--variable psi_obs") as refused:
        pyvda.assimilate(ds, **how)
    assert "size of this grid" not in str(refused.value)
    assert pyvda.assimilate(ds, variable="psi_obs", **how)["psi_obs"].shape == (4, 9, 9)


def test_less_memory_than_a_window_needs_is_refused() -> None:
    _, observed = lorenz(windows=1)
    with pytest.raises(InputError, match=r"memory is 1e-06 GiB, and a window of 41 steps of 3"):
        pyvda.assimilate(
            observed, model="lorenz63", method="incremental", engine="torch", memory=1e-6,
            background=(np.ones(3), B),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "value", "options", "message"),
    [
        (17, 0.0, {}, "give the model the size of this grid"),
        (9, np.inf, {}, "infinite"),
        (9, 0.0, {"observation_variance": -1.0}, "observation_variance"),
        (9, 0.0, {"covariance": Spectral((17, 17), power(2.0, 3.0))}, "289 components"),
        (9, 0.0, {"covariance": -1.0}, "covariance"),
        (9, 0.0, {"memory": 1e-6}, "memory is 1e-06 GiB"),
    ],
)
def test_fields_that_do_not_fit_are_refused_in_a_sentence(n, value, options, message) -> None:
    psi = np.full((4, n, n), np.nan)
    psi[:, 4, 4] = value
    ds = xr.Dataset({"psi": (("time", "y", "x"), psi)}, {"time": 5.0 * np.arange(4)})
    how = {"covariance": Spectral((9, 9), power(2.0, 3.0)), "observation_variance": 1.0, **options}
    with pytest.raises(InputError, match=message) as refused:
        pyvda.assimilate(
            ds, model=pyvda.get_model("quasi-geostrophic", n=9), method="incremental",
            engine="torch", background=np.zeros(81), **how,
        )  # fmt: skip
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_data_between_the_steps_are_those_of_the_normal_equations(engine, tmp_path) -> None:
    """A rotation of fields by a place a step, seen at points between places and steps."""
    n, times = 6, np.array([0.0, 0.4, 1.0, 1.0, 2.75, 3.5, 3.9])
    if engine == "torch":
        model = pyvda.torch_model(
            step=lambda u: u.roll(1, -1), variables=("u",), dimensions={"x": n}, time_step=1.0
        )
    else:
        (tmp_path / "turning.jl").write_text(TURNING)
        model = pyvda.julia_model(str(tmp_path / "turning.jl"))
    rng = np.random.default_rng(4)
    at, value = rng.uniform(0, n - 1, len(times)), rng.normal(size=len(times))
    table = xr.Dataset({"u": ("obs", value)}, {"time": ("obs", times), "x": ("obs", at)})
    C = np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / 2.0)
    start, R = rng.normal(size=n), 0.3
    found = pyvda.assimilate(
        table, model=model, grid_step=1.0, method="incremental", background=(start, Dense(C)),
        members=200, observation_variance=R, inner_tolerance=1e-14, tolerance=1e-15, engine=engine,
    )  # fmt: skip
    shift = np.eye(n)[np.r_[n - 1, : n - 1]]
    hessian, right = np.linalg.inv(C), np.linalg.solve(C, start)
    for t, x, y in zip(times, at, value, strict=True):
        space = np.zeros(n)
        left = int(x)
        space[[left, left + 1]] = left + 1 - x, x - left
        step, part = int(t), t % 1
        power_of = np.linalg.matrix_power
        row = space @ ((1 - part) * power_of(shift, step) + part * power_of(shift, step + 1))
        hessian, right = hessian + np.outer(row, row) / R, right + row * y / R
    expected = np.linalg.solve(hessian, right)
    analysed = found["analysis"] if "analysis" in found else found["u"]
    np.testing.assert_allclose(analysed.values.reshape(-1, n)[0], expected, atol=1e-9)
    spread = found["state_stdev"] if "state_stdev" in found else found["u_stdev"]
    exact = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert np.abs(spread.values.reshape(-1, n)[0] / exact - 1).max() < 0.2
    predicted = value - found["point_innovation"].values.ravel()
    states = [np.linalg.matrix_power(shift, k) @ expected for k in range(6)]
    later = [(1 - t % 1) * states[int(t)] + t % 1 * states[int(t) + 1] for t in times]
    seen = [np.interp(x, np.arange(n), u) for x, u in zip(at, later, strict=True)]
    np.testing.assert_allclose(predicted, seen, atol=1e-9)


TURNING = """
struct Turning <: VectorModel
    n::Int
end
Turning(; n = 6) = Turning(n)
variables(::Type{<:Turning}) = ("u",)
dimensions(m::Turning) = (x = m.n,)
time_step(::Type{<:Turning}) = 1.0
step!(x1, m::Turning, x, work) = (x1[1] = x[end]; x1[2:end] .= x[1:end-1]; x1)
tangent_linear!(dy, m::Turning, x, dx, work) = step!(dy, m, dx, work)
adjoint!(z, m::Turning, x, y, work) = (z[end] = y[1]; z[1:end-1] .= y[2:end]; z)
"""


@pytest.mark.slow
def test_a_datum_after_the_last_step_of_a_window_counts() -> None:
    truth, _ = lorenz(windows=1)
    x = truth["truth"].values[0]
    rng = np.random.default_rng(0)
    time, component = rng.uniform(0, 0.4, 60), rng.integers(0, 3, 60)
    value = [np.interp(t, truth["time"], x[:, i]) for t, i in zip(time, component, strict=True)]
    table = xr.Dataset(
        {"value": ("obs", value), "component": ("obs", component)}, {"time": ("obs", time)}
    )
    ds = pyvda.on_grid(table, 0.01, 3, start=0.0, stop=0.4)
    found = pyvda.assimilate(
        ds, model="lorenz63", method="incremental", window=20, background=(x[0], B), members=0,
        observation_variance=1e-2, iterations=40,
    )  # fmt: skip
    used = np.isfinite(found["point_innovation"].values).sum(1)
    assert used.sum() > 60  # windows end a step before the last datum, which the next one has, too
    assert (found["point_flag"].values == 1).sum() == used.sum()
    assert np.nanstd(found["point_innovation"].values[0]) < 0.1


def test_members_of_the_ensemble_are_runs_of_the_model() -> None:
    """A member is on the model's trajectory from its draw, and one that diverges is the minimum."""
    torch = pytest.importorskip("torch")
    model = pyvda.torch_model(
        step=lambda x: torch.where(x.abs() < 3, torch.tanh(2 * x), torch.nan), variables=("x",),
        time_step=1.0,
    )  # fmt: skip
    found = pyvda.assimilate(
        xr.Dataset({"x": ("time", [np.nan, 0.5, np.nan])}, {"time": np.arange(3.0)}), model=model,
        method="incremental", background=(np.zeros(1), 4.0), engine="torch",
        observation_variance=100.0, ensemble=200,
    )  # fmt: skip
    members, end = found["final_ensemble"].values.ravel(), float(found["x"][-1])
    assert np.isfinite(members).all()
    assert members.std() < 1.0 < float(found["x_stdev"][-1])  # linearised: 4 · 2
    np.testing.assert_allclose(members.mean(), end, atol=1e-12)
    diverged = np.unique(members, return_counts=True)[1].max()
    assert 0.05 < diverged / 200 < 0.25  # of a draw of standard deviation 2, 13 % are beyond 3
