"""Gross errors are rejected: an exact search over all subsets, windows of Lorenz-63, the file."""

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from problems import twin_problem

import pyvda
from pyvda import names
from pyvda.errors import InputError
from pyvda.gross_errors import GrossErrors
from pyvda.methods import Solution
from pyvda.methods.ensemble_smoother import EnsembleSmootherOptions
from pyvda.methods.fsgd import FSGDOptions
from pyvda.names import Flag
from pyvda.operators.function import FunctionOperator
from pyvda.robust import Analyst, without_gross_errors
from pyvda.settings import chosen_method, settled
from pyvda.state import windows

R, PRIOR, MEAN = 2.0, 50.0, 0.0


def cost_of_bad(z: np.ndarray) -> np.ndarray:
    """Return the cost of bad data: 0.1 of all, of which half lie within 5."""
    bad = 0.1 / (2 * 5 * (1 + np.abs(z) / 5) ** 2)
    return -np.log(bad * np.sqrt(2 * np.pi) / 0.9)


def level(y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variance and minimised cost of a constant with a Gaussian prior, (W,) each."""
    precision = 1 / PRIOR + weight.sum(1) / R
    x = (weight * np.nan_to_num(y)).sum(1) / R / precision
    misfit = (weight * (np.nan_to_num(y) - x[:, None]) ** 2).sum(1) / R
    return x, 1 / precision, 0.5 * (misfit + x**2 / PRIOR)


def constants(count: int, data: int) -> xr.Dataset:
    """Return windows whose data are one constant each, every sixth with an error of ±8."""
    random = np.random.default_rng(3)
    y = np.sqrt(PRIOR) * random.standard_normal((count, 1))
    y = y + np.sqrt(R) * random.standard_normal((count, data))
    y += 8 * random.choice([-1.0, 1.0], y.shape) * (random.random(y.shape) < 1 / 6)
    return xr.Dataset({names.OBSERVATION: (names.DIMENSIONS, y[..., None])})


def exact(block: xr.Dataset, seen: dict[int, list[bytes]] | None = None) -> Analyst:
    """Return an analyst of constants; `seen` gets the data that each window was solved with."""
    like = twin_problem("lorenz63", 1, steps=block.sizes[names.TIME])

    def problem(part: xr.Dataset, numbers: np.ndarray) -> Any:
        batch = windows.to_batch(part, np.array([MEAN]))
        return pyvda.methods.Problem(batch, like.model, like.cost, like.engine, R, numbers=numbers)

    def solve(problem: Any, numbers: np.ndarray) -> Solution:
        batch = problem.batch
        for number, mask in zip(problem.numbers, batch.mask, strict=True):
            if seen is not None:
                seen.setdefault(int(number), []).append(mask.tobytes())
        x, variance, cost = level(batch.observation[..., 0], batch.mask[..., 0])
        shape = batch.observation.shape
        full = [np.broadcast_to(one[:, None, None], shape) for one in (x, np.sqrt(variance))]
        zeros = np.zeros(len(x), int)
        return Solution(full[0], zeros, zeros, stdev=full[1], per_window={names.OBJECTIVE: cost})

    return Analyst(problem, solve, R)


def test_what_is_left_out_costs_as_little_as_any_subset() -> None:
    block = constants(count=60, data=9)
    found = without_gross_errors(block, exact(block))
    y = block[names.OBSERVATION].values[..., 0]
    kept = np.isfinite(found[names.OBSERVATION].values[..., 0])
    assert 0.1 < 1 - kept.mean() < 0.25

    def cost(used: np.ndarray) -> np.ndarray:
        x, _, misfit = level(y, used)
        return misfit + ((1 - used) * cost_of_bad((y - x[:, None]) / np.sqrt(R))).sum(1)

    own = cost(kept.astype(float))
    subsets = product([0.0, 1.0], repeat=y.shape[1])
    costs = np.stack([cost(np.tile(np.array(one), (len(y), 1))) for one in subsets])
    # Not exactly: a datum goes by its distance from all others, which the cost of a minimum lacks.
    assert (own - costs.min(0) < 0.5).mean() > 0.95
    np.testing.assert_array_equal(found[names.REJECTED].values[..., 0] == 1, ~kept)


def test_a_window_does_not_depend_on_the_others() -> None:
    block = constants(count=20, data=9)
    together: dict[int, list[bytes]] = {}
    apart: dict[int, list[bytes]] = {}
    whole = without_gross_errors(block, exact(block, together))
    analyst = exact(block, apart)
    for window in range(20):
        numbers = np.array([window])

        def problem(part: xr.Dataset, rows: np.ndarray, own: np.ndarray = numbers) -> Any:
            return analyst.problem(part, own[rows])

        alone = Analyst(problem, analyst.solve, R)
        part = without_gross_errors(block.isel(window=numbers), alone)
        xr.testing.assert_equal(part, whole.isel(window=numbers))
    assert apart == together


@pytest.mark.parametrize(("share", "size", "width"), [(0.1, 5.0, 1.0), (0.05, 8.0, 3.0)])
def test_shares_and_sizes_of_gross_errors_are_estimated(
    share: float, size: float, width: float
) -> None:
    random = np.random.default_rng(11)
    variance = random.uniform(1.0, 2.0, 20_000)  # of predictions and good data together
    z = np.sqrt(variance) * random.standard_normal(variance.shape)
    bad = random.random(z.shape) < share
    z += (
        bad
        * random.choice([-1, 1], z.shape)
        * (size + np.sqrt(width**2 - 1) * random.standard_normal(z.shape))
    )
    found = GrossErrors().fitted(z, variance)
    assert found.typical + found.anywhere == pytest.approx(share, rel=0.1)
    assert found.size == pytest.approx(size, rel=0.05)
    assert found.width == pytest.approx(width, rel=0.15)
    clean = GrossErrors().fitted(z[~bad], variance[~bad])
    assert clean.typical == 0
    assert clean.anywhere < 0.005
    likely = found.log_bad(z, variance) > found.log_good(z, variance)
    assert (likely & ~bad).sum() < 0.02 * (~bad).sum()


def test_few_data_leave_what_is_assumed() -> None:
    found = GrossErrors().fitted(np.array([0.1, -8.0, 0.7]), np.ones(3))
    assert found.typical == 0
    assert found.anywhere == pytest.approx(0.1, rel=0.4)


def spoilt(observed: xr.Dataset, size: float, seed: int = 5) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the observations with every tenth changed by ± size, and those without these."""
    random = np.random.default_rng(seed)
    y = observed[names.OBSERVATION]
    bad = (random.random(y.shape) < 0.1) & np.isfinite(y.values)
    signs = random.choice([-1.0, 1.0], y.shape)
    changed = observed.assign({names.OBSERVATION: y + np.where(bad, size * signs, 0.0)})
    return changed, observed.assign({names.OBSERVATION: y.where(~bad)})


@pytest.fixture(scope="module")
def lorenz() -> tuple[xr.Dataset, xr.Dataset]:
    truth = pyvda.simulate("lorenz63", 24, 71)
    return truth, pyvda.observe(truth, "lorenz63", 72)


@pytest.mark.julia
@pytest.mark.parametrize(
    "keywords",
    [{"method": "strong-constraint"}, {"method": "gauss-newton", "form": "statistical"}],
    ids=lambda keywords: keywords["method"],
)
def test_the_analysis_is_nearly_that_of_the_good_data(
    lorenz: tuple[xr.Dataset, xr.Dataset], keywords: dict[str, Any]
) -> None:
    truth, observed = lorenz
    changed, good = spoilt(observed, 10.0)
    x = truth["truth"].values

    def error(ds: xr.Dataset, **more: Any) -> tuple[np.ndarray, xr.Dataset]:
        found = pyvda.assimilate(ds, model="lorenz63", **keywords, **more)
        return ((found["analysis"].values - x) ** 2).mean((1, 2)), found

    best, _ = error(good)
    worst, _ = error(changed)
    own, found = error(changed, robust=True)
    assert worst.mean() > 3 * best.mean()
    assert own.mean() < 1.3 * best.mean()  # a window may have two explanations
    assert np.median(own) < 1.15 * np.median(best)
    rejected = found["flag"].values == Flag.REJECTED
    bad = changed["observation"].notnull().values & good["observation"].isnull().values
    assert (rejected & bad).sum() > 0.95 * bad.sum()
    estimate = json.loads(found.attrs["pyvda_gross_errors"])
    assert estimate["size"] == pytest.approx(10 / np.sqrt(2), rel=0.05)
    assert estimate["typical"] == pytest.approx(
        bad.sum() / changed["observation"].notnull().values.sum(), abs=0.03
    )
    assert (rejected & ~bad).sum() < 0.005 * changed["observation"].notnull().sum()
    assert f"{rejected.sum()} observations rejected" in found.attrs["pyvda_report"]
    assert pyvda.diagnose(found).rejected == rejected.sum()
    assert np.isnan(found["innovation"].values[rejected]).all()


@pytest.mark.julia
@pytest.mark.parametrize(
    "keywords",
    [{"method": "fsgd", "iterations": 3000}, {"method": "ensemble-smoother"}],
    ids=lambda keywords: keywords["method"],
)
def test_data_are_rejected_by_the_strong_constraint(
    lorenz: tuple[xr.Dataset, xr.Dataset], keywords: dict[str, Any]
) -> None:
    truth, observed = (ds.isel(window=slice(0, 12)) for ds in lorenz)
    changed, good = spoilt(observed, 10.0)
    found = pyvda.assimilate(changed, model="lorenz63", robust=True, **keywords)
    other = pyvda.assimilate(changed, model="lorenz63", robust=True, method="strong-constraint")
    np.testing.assert_array_equal(found["flag"] == Flag.REJECTED, other["flag"] == Flag.REJECTED)
    x, best = truth["truth"].values, pyvda.assimilate(good, model="lorenz63", **keywords)
    error, of_best = (((ds["analysis"].values - x) ** 2).mean() for ds in (found, best))
    assert error < 1.15 * of_best


@pytest.mark.julia
def test_a_descent_starts_from_the_result_of_the_search(
    lorenz: tuple[xr.Dataset, xr.Dataset],
) -> None:
    """Where component 1 alone is observed, interpolation may lead to a wrong minimum."""
    truth, observed = (ds.isel(window=slice(0, 8)) for ds in lorenz)
    x = truth["truth"].values
    y = np.full(x.shape, np.nan)
    noise = np.random.default_rng(73).standard_normal((8, 25))
    y[:, ::8, 1] = x[:, ::8, 1] + np.sqrt(R) * noise
    data = observed.assign({names.OBSERVATION: (names.DIMENSIONS, y)})
    changed, good = spoilt(data, 10.0)
    bad = changed["observation"].notnull() & good["observation"].isnull()
    with_bad = bad.any(("time", "state")).values
    assert with_bad.sum() >= 6
    keywords = {"model": "lorenz63", "method": "gauss-newton", "form": "statistical"}

    def error(ds: xr.Dataset, **more: Any) -> np.ndarray:
        found = pyvda.assimilate(ds, **keywords, **more)
        return np.asarray(((found["analysis"].values - x) ** 2).mean((1, 2))[with_bad])

    assert error(good).max() > 10
    assert error(changed, robust=True).max() < 0.5


@pytest.mark.julia
@pytest.mark.parametrize(("size", "more"), [(0.0, 0.0), (10.0, 0.0), (5.0, 0.03)])
def test_an_exact_model_that_does_not_fit_rejects_nothing(
    lorenz: tuple[xr.Dataset, xr.Dataset], size: float, more: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, good = spoilt(lorenz[1], size)
    usable = good["observation"].notnull().values
    wrong = pyvda.get_model("lorenz63", rho=1.05 * 28)

    def screened() -> tuple[float, float]:
        found = pyvda.assimilate(changed, model=wrong, method="fsgd", iterations=1000, robust=True)
        rejected = (found["flag"].values == Flag.REJECTED)[usable].mean()
        return rejected, ((found["analysis"] - lorenz[0]["truth"].values) ** 2).mean().item()

    share, error = screened()
    monkeypatch.setattr(FSGDOptions, "screened_by", lambda *_: None)
    own_share, own_error = screened()
    # Errors of 5 that are left out take part of the misfit with them; the analysis gains even so.
    assert share <= own_share + more
    assert error <= own_error


@pytest.mark.julia
def test_all_windows_of_a_cycle_are_screened_by_the_method_itself(
    lorenz: tuple[xr.Dataset, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = spoilt(lorenz[1].isel(window=slice(0, 1)), 10.0)[0].isel(window=0)
    keywords = {"model": "lorenz63", "method": "ensemble-smoother", "robust": True, "cycle": 50}
    found = pyvda.assimilate(changed, **keywords)
    monkeypatch.setattr(EnsembleSmootherOptions, "screened_by", lambda *_: None)
    alone = pyvda.assimilate(changed, **keywords)
    assert (found["flag"] == Flag.REJECTED).any()
    np.testing.assert_array_equal(found["analysis"], alone["analysis"])


@pytest.mark.julia
def test_chunks_give_the_same(lorenz: tuple[xr.Dataset, xr.Dataset]) -> None:
    changed = spoilt(lorenz[1].isel(window=slice(0, 2)), 10.0)[0]
    keywords = {"model": "lorenz63", "method": "strong-constraint", "robust": True}
    whole = pyvda.assimilate(changed, **keywords)
    lazy = pyvda.assimilate(changed.chunk(window=1), **keywords).compute()
    for name in ("analysis", "flag", "state_stdev"):
        np.testing.assert_array_equal(lazy[name], whole[name])


@pytest.mark.julia
def test_a_series_in_a_cycle() -> None:
    truth = pyvda.simulate("lorenz63", 1, 73)
    observed = pyvda.observe(truth, "lorenz63", 74).isel(window=0)
    observed["observation"][80, 0] += 15.0
    found = pyvda.assimilate(
        observed, model="lorenz63", method="strong-constraint", cycle=50, robust=True
    )
    assert found["flag"][80, 0] == Flag.REJECTED
    assert (found["flag"] == Flag.REJECTED).sum() <= 2


@pytest.mark.julia
def test_data_at_arbitrary_times() -> None:
    truth = pyvda.simulate("lorenz63", 1, 75)["truth"].values[0]
    random = np.random.default_rng(76)
    time = np.sort(random.uniform(0.0, 1.9, 24))
    y = np.interp(time, 0.01 * np.arange(200), truth[:, 0]) + random.standard_normal(24)
    y[11] += 20.0
    table = pd.DataFrame({"time": time, "component": 0, "value": y})
    found = pyvda.assimilate(
        table, model="lorenz63", method="strong-constraint", grid_step=0.01, robust=True,
        observation_variance=1.0,
    )  # fmt: skip
    flags = found["point_flag"].values.ravel()
    values = found["point_innovation"].values.ravel()
    assert (flags == Flag.REJECTED).sum() == 1
    assert flags[11] == Flag.REJECTED
    assert np.isnan(values[11])
    assert np.nanmax(np.abs(values)) < 4


@pytest.mark.julia
def test_what_has_no_use_for_it_is_refused() -> None:
    with pytest.raises(InputError, match="robust has no effect on a learned model"):
        chosen_method(*settled({"checkpoint": "lorenz63-direct", "robust": True}))
    truth = pyvda.simulate("lorenz63", 1, 75).isel(window=0)
    y = truth["truth"].values[:, :1] ** 2
    squares = xr.Dataset({"square": (("time", "channel"), y)}, {"time": truth["time"].values})
    with pytest.raises(InputError, match="function of the state"):
        pyvda.assimilate(
            squares, model="lorenz63", method="gauss-newton", variable="square", robust=True,
            operator=FunctionOperator(lambda x: x[..., :1] ** 2),
        )  # fmt: skip
    unknown = xr.Dataset({"observation": (("time", "state"), truth["truth"].values)})
    with pytest.raises(InputError, match="observation_variance"):
        pyvda.assimilate(
            unknown, model="lorenz63", method="strong-constraint", time_step=0.01, robust=True
        )
