"""The spread of incremental 4D-Var against dense inverses, known variances, and its cost."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.methods import incremental_spread
from pyvda.methods.incremental_cost import ControlCost
from pyvda.operators import Spectral, power


@pytest.mark.julia
@pytest.mark.parametrize("name", ["lorenz63", "lorenz96"])
def test_the_spread_is_that_of_the_dense_hessian(name) -> None:
    truth = pyvda.simulate(name, windows=1, steps=21, seed=3)
    observed = pyvda.observe(truth, variance=1.0, every=4, seed=4)
    start = truth["truth"].values[:, 0].mean(0) + 0.3
    B = np.diag([9.0, 9.0, 9.0]) + 2.0 if name == "lorenz63" else np.eye(40) + 0.1
    how = {"model": name, "background": (start, B), "engine": "julia"}
    dense = pyvda.assimilate(
        observed, method="strong-constraint", starts="mean", growth=0, tolerance=1e-20, **how
    )
    found = pyvda.assimilate(
        observed, method="incremental", inner_tolerance=1e-14, tolerance=1e-16, iterations=60, **how
    )
    np.testing.assert_allclose(found["state_stdev"], dense["state_stdev"], rtol=1e-6)


# The ways to the spread: columns of a short control, draws with all eigenvectors, draws by
# conjugate gradients, with room for all directions or for some.
WAYS = {
    "columns": {},
    "eigenvectors": {"_SHORT": 0, "_RUNS_OF_DRAW": 1000},
    "gradients": {"_SHORT": 0, "_RUNS_OF_DRAW": 0},
    "few directions": {"_SHORT": 0, "_RUNS_OF_DRAW": 0, "_MOST_DIRECTIONS": 20},
}


def by(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setattr(incremental_spread, name, value)


@pytest.mark.julia
@pytest.mark.parametrize("count", [30, 90], ids=["fewer data", "more data"])
@pytest.mark.parametrize("way", WAYS)
def test_the_spread_of_an_ocean_is_that_of_the_dense_inverse(way, count, monkeypatch) -> None:
    """By columns of the tangent linear and a dense inverse, for fewer data than controls or more.

    B has a rank of 49, the walls being known.
    """
    by(way, monkeypatch)
    n, steps, R, rng = 9, 4, 0.01, np.random.default_rng(1)
    model, engine = pyvda.get_model("quasi-geostrophic", n=n), get_engine("julia")
    B = Spectral((n, n), power(2.0, 3.0), 1.0, boundary="wall", uniform=False)
    y = np.full((steps, n * n), np.nan)
    seen = rng.permutation(np.flatnonzero(np.tile(model.sea, steps)))[:count]
    y.ravel()[seen] = rng.normal(size=count)
    found = pyvda.assimilate(
        xr.Dataset({"psi": (("time", "y", "x"), y.reshape(steps, n, n))},
                   {"time": 5.0 * np.arange(steps)}),
        model=model, method="incremental", background=np.zeros(n * n), covariance=B,
        observation_variance=R, members=2000, ensemble=2000, inner_tolerance=1e-8,
    )  # fmt: skip
    x = np.nan_to_num(found["psi"].values).reshape(steps, -1)
    columns = B.sqrt(np.eye(B.rank))
    about = np.ascontiguousarray(np.broadcast_to(x, (B.rank, *x.shape)))
    M = engine.tangent_run(model, CostSettings(5.0), about, columns).transpose(1, 2, 0)
    G = M.reshape(-1, B.rank)[seen]
    C = np.linalg.inv(np.eye(B.rank) + G.T @ G / R)
    sea = np.broadcast_to(model.sea, x.shape)
    exact = np.sqrt(np.einsum("tdi,ij,tdj->td", M, C, M))[sea]
    ratio = found["psi_stdev"].values.reshape(steps, -1)[sea] / exact
    near = 1e-6 if way == "columns" else 0.08  # 2000 draws: 1.6 %
    assert np.abs(ratio - 1).max() < near
    assert abs(ratio.mean() - 1) < 0.01
    members = found["final_ensemble"].values.reshape(2000, -1)[:, sea[-1]]
    assert np.abs(members.std(0) / exact[-np.count_nonzero(sea[-1]) :] - 1).max() < 0.08


def cells(count: int, members: int, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, ...]:
    """Return the variances of 400 independent cells, which are seen, and the runs of the spread."""
    runs = {"perturbations": 0, "_adjoint": 0}
    draws = incremental_spread._draws
    for name in runs:
        run = getattr(ControlCost, name)

        def counted(self, given, *more, _name=name, _run=run):
            runs[_name] += len(given) if _name == "perturbations" else 1
            return _run(self, given, *more)

        monkeypatch.setattr(ControlCost, name, counted)

    def of_spread(*given):
        runs.update(dict.fromkeys(runs, 0))
        return draws(*given)

    monkeypatch.setattr(incremental_spread, "_draws", of_spread)
    model = pyvda.torch_model(
        step=lambda x: 1.0 * x, variables=("u",), dimensions={"x": 400}, time_step=1.0
    )
    rng, y = np.random.default_rng(0), np.full((3, 400), np.nan)
    y[1, rng.permutation(400)[:count]] = rng.normal(size=count)
    found = pyvda.assimilate(
        xr.Dataset({"u": (("time", "x"), y)}, {"time": np.arange(3.0)}), model=model,
        method="incremental", background=(np.zeros(400), 1.0), engine="torch",
        observation_variance=1.0, members=members,
    )  # fmt: skip
    return found["u_stdev"].values[1] ** 2, np.isfinite(y[1]), np.array(list(runs.values()))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "columns"])
@pytest.mark.parametrize("count", [40, 60, 400])
def test_equal_eigenvalues_do_not_hide_what_is_observed(way, count, monkeypatch) -> None:
    """B and R are 1, so that the variance is 1/2 where a cell is seen, and 1 elsewhere.

    A loop of conjugate gradients converges at once, and knows one of the directions of the data.
    """
    by(way, monkeypatch)
    variance, seen, _ = cells(count, 300, monkeypatch)
    assert variance[seen].mean() == pytest.approx(0.5, rel=0.06)  # of 40 cells: 1.3 %
    assert variance[~seen].mean() == pytest.approx(1.0, rel=0.03) if count < 400 else True


@pytest.mark.parametrize(
    ("way", "count", "tangent", "adjoint"),
    [
        ("eigenvectors", 60, 30, 60),  # an adjoint for a datum, a tangent linear for a draw
        ("eigenvectors", 400, 430, 400),  # a product for a component
        ("gradients", 60, 90, 60),  # a product for a draw, since it has one eigenvalue but 1
    ],
)
def test_what_the_spread_costs(way, count, tangent, adjoint, monkeypatch) -> None:
    by(way, monkeypatch)
    _, _, runs = cells(count, 30, monkeypatch)
    assert tuple(runs) == (tangent, adjoint)


@pytest.mark.parametrize(("way", "size"), [("eigenvectors", 0.5), ("gradients", 2.0)])
def test_members_are_scaled_by_what_the_data_say_of_their_spread(way, size, monkeypatch) -> None:
    """Against dense matrices: errors of the background are `size` times as large as B states."""
    by(way, monkeypatch)
    rng, N, D = np.random.default_rng(0), 100, 30
    model = pyvda.torch_model(
        step=lambda x: 1.0 * x, variables=("u",), dimensions={"x": D}, time_step=1.0
    )
    members = 2.0 * rng.normal(size=(N, D))
    y = np.full((2, D), np.nan)
    y[0] = members.mean(0) + 2 * size * rng.normal(size=D) + rng.normal(size=D)
    ds = xr.Dataset({"u": (("time", "x"), y)}, {"time": np.arange(2.0)})
    states = xr.Dataset(
        {"analysis": (("window", "time", "state"), members[None, :2]),
         "final_ensemble": (("window", "member", "state2"), members[None])}, {"time": [-1.0, 0.0]},
    )  # fmt: skip
    how = {"model": model, "method": "incremental", "engine": "torch", "background": states,
           "observation_variance": 1.0, "ensemble": N, "members": N, "localisation": 0,
           "ensemble_weight": 1, "inner_tolerance": 1e-10, "tolerance": 1e-12}  # fmt: skip
    found = pyvda.assimilate(ds, **how)

    def scale(analysis):
        variance = analysis["final_ensemble"].values.reshape(N, D).var(0, ddof=1)
        return variance.mean() / (analysis["u_stdev"].values[-1] ** 2).mean()

    G = (members - members.mean(0)).T / np.sqrt(N - 1)
    A = np.eye(N) + G.T @ G
    v = np.linalg.solve(A, G.T @ (y[0] - members.mean(0)))
    signal = np.trace(np.eye(N) - np.linalg.inv(A))
    expected = np.clip((v @ v + 10) / (signal + 10), 0.5, 2.0)
    assert abs(expected - 1) > 0.2
    assert scale(found) == pytest.approx(expected, rel=0.06)
    assert scale(pyvda.assimilate(ds, inflation=1.5, **how)) == pytest.approx(1.0, rel=0.02)
