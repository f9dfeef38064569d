"""The spread of analyses whose method states none, against their error."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from problems import twin_problem

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.errors import InputError
from pyvda.judgements.expected_error import with_expected_error
from pyvda.methods import Problem, Solution, annealed
from pyvda.methods.annealed import AnnealedOptions
from pyvda.names import Doubt, Status
from pyvda.settings import chosen_method, settled

pytestmark = pytest.mark.julia


@pytest.fixture(scope="module")
def windows() -> tuple[np.ndarray, xr.Dataset]:
    truth = pyvda.simulate("lorenz63", 64, 151)
    return truth["truth"].values, pyvda.observe(truth, "lorenz63", 152)


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({"checkpoint": "lorenz63-direct"}, id="learned"),
        pytest.param({"model": "lorenz63", "method": "fsgd", "iterations": 50}, id="not-converged"),
    ],
)
def test_the_spread_is_as_large_as_the_error(
    windows: tuple[np.ndarray, xr.Dataset], keywords: dict[str, Any]
) -> None:
    x, observed = windows
    found = pyvda.assimilate(observed, spread=True, **keywords)
    square = (found["analysis"].values - x) ** 2
    ratio = square / found["state_stdev"].values ** 2
    assert ratio.mean() == pytest.approx(1.0, abs=0.25)
    assert (ratio < 1.96**2).mean() > 0.93
    # It is not one number for all: windows with larger errors state more.
    stated = (found["state_stdev"].values ** 2).mean((1, 2))
    assert np.corrcoef(np.log(stated), np.log(square.mean((1, 2))))[0, 1] > 0.15
    lazy = pyvda.assimilate(observed.chunk(window=40), spread=True, **keywords).compute()
    np.testing.assert_allclose(lazy["state_stdev"], found["state_stdev"], rtol=1e-4)


def test_observations_that_no_state_fits_are_doubtful(
    windows: tuple[np.ndarray, xr.Dataset],
) -> None:
    observed = windows[1].isel(window=slice(0, 2)).copy(deep=True)
    observed["observation"][1] *= 4.0
    found = pyvda.assimilate(observed, checkpoint="lorenz63-direct", spread=True)
    assert int(found["doubts"][1]) & Doubt.MISFIT_LARGE
    assert found["status"].values.tolist() == [Status.CONVERGED, Status.DOUBTFUL]


def test_a_wrong_model_puts_the_file_in_doubt(windows: tuple[np.ndarray, xr.Dataset]) -> None:
    """The posterior is that of another model: its misfit says so, where no window is unusual."""
    rho = pyvda.get_model("lorenz63", rho=1.1 * 28)
    truth = pyvda.simulate(rho, 64, 157, steps=200)
    y = np.full((64, 200, 3), np.nan)
    y[:, ::8, 0] = truth["x"].values[:, ::8]
    y += np.sqrt(2.0) * np.random.default_rng(158).standard_normal(y.shape)
    observed = windows[1].assign(observation=(names.DIMENSIONS, y))
    found = pyvda.assimilate(observed, checkpoint="lorenz63-direct", spread=True)
    assert (found["doubts"].values & Doubt.WHOLE_FILE).all()
    assert "the misfit is" in found.attrs["pyvda_report"]
    good = pyvda.assimilate(windows[1], checkpoint="lorenz63-direct", spread=True)
    assert float(good["fit"].mean()) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 25 / 64))
    assert not (good["doubts"].values & Doubt.WHOLE_FILE).any()


def test_too_few_samples_are_replaced_by_a_minimum(windows: tuple[np.ndarray, xr.Dataset]) -> None:
    x, observed = windows[0][:8], windows[1].isel(window=slice(0, 8))
    y = x + np.sqrt(1e-3) * np.random.default_rng(156).standard_normal(x.shape)
    y[:, np.arange(200) % 4 > 0] = np.nan
    accurate = observed.assign(observation=(observed["observation"].dims, y))
    accurate = accurate.assign_attrs(observation_error_variance=1e-3)
    sampled = pyvda.assimilate(accurate, model="lorenz63", method="posterior-mean")
    few = (sampled["doubts"].values & Doubt.FEW_SAMPLES) > 0
    assert few.sum() > 4
    found = pyvda.assimilate(accurate, model="lorenz63", method="fsgd", iterations=50, spread=True)
    assert not found["doubts"].values[few].any()
    ratio = (found["analysis"].values - x) ** 2 / found["state_stdev"].values ** 2
    assert np.median(ratio[few]) == pytest.approx(1.0, abs=0.3)


def test_what_has_no_use_for_it_is_refused() -> None:
    with pytest.raises(InputError, match="annealed states a spread of its own"):
        chosen_method(*settled({"method": "annealed", "spread": True}))
    large = pyvda.get_model("lorenz96", state_size=104)
    observed = pyvda.observe(pyvda.simulate(large, 1, 1), seed=2, variance=2.0, every=4)
    with pytest.raises(InputError, match="at most 100 components, but lorenz96 has 104"):
        pyvda.assimilate(observed, model=large, method="fsgd", iterations=1, spread=True)
    table = pd.DataFrame({"time": [0.0, 0.123, 0.31], "component": 0, "value": 1.0})
    with pytest.raises(InputError, match="the file has others"):
        pyvda.assimilate(
            table.assign(observation_error=1.0), model="lorenz63", method="fsgd", iterations=1,
            grid_step=0.01, spread=True,
        )  # fmt: skip


def test_a_model_whose_library_has_too_few_states_has_the_spread_of_annealed() -> None:
    own = {"state_size": 10}
    truth = pyvda.simulate("lorenz96", 16, 3, steps=40, parameters=own)
    observed = pyvda.observe(truth, seed=1, variance=1.0, every=2, components=[0, 2, 4, 6, 8])
    model = pyvda.get_model("lorenz96", **own)
    found = pyvda.assimilate(observed, model=model, method="fsgd", iterations=50, spread=True)
    square = (found["analysis"].values - truth["truth"].values) ** 2
    ratio = square / found["state_stdev"].values ** 2
    assert ratio.mean() == pytest.approx(1.0, abs=0.4)
    assert (ratio < 1.96**2).mean() > 0.9
    assert not (found["doubts"].values & Doubt.FEW_SAMPLES).any()


def test_a_larger_model_has_the_spread_of_annealed() -> None:
    truth = pyvda.simulate("lorenz96", 4, 153)
    observed = pyvda.observe(truth, "lorenz96", 154)
    found = pyvda.assimilate(observed, checkpoint="lorenz96-direct", spread=True)
    square = (found["analysis"].values - truth["truth"].values) ** 2
    ratio = square / found["state_stdev"].values ** 2
    assert ratio.mean() == pytest.approx(1.0, abs=0.2)
    assert (ratio < 1.96**2).mean() > 0.93
    assert found["state_stdev"].values.min() > 0


def of_few_data() -> tuple[Problem, Solution]:
    """Return two windows of Lorenz-96 with one datum each, and their analysis, judged."""
    problem = twin_problem("lorenz96", 2, steps=60)
    mask = np.zeros_like(problem.batch.mask)
    mask[:, 0, 0] = 1.0
    problem = replace(problem, batch=replace(problem.batch, mask=mask))
    zeros = np.zeros(2, int)
    given = np.array(problem.batch.first_guess, float)
    return problem, Solution(given, zeros, zeros, per_window={names.DOUBTS: zeros})


def test_few_data_leave_at_most_the_climatology() -> None:
    problem, given = of_few_data()
    options = AnnealedOptions(observation_variance=2.0)
    of_minimum = annealed.solve(problem, options)
    found = with_expected_error(problem, replace(given, x=of_minimum.x), 2.0)
    limit = np.sqrt(climatology(problem.model, problem.engine).variance)
    assert of_minimum.stdev is not None
    assert found.stdev is not None
    assert not (of_minimum.stdev <= 1.01 * limit).all()  # too large, or no positive variance
    assert (found.stdev <= limit * (1 + 1e-12)).all()


def test_a_posterior_that_diverged_is_replaced_by_the_climatology(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem, given = of_few_data()
    lost = replace(
        given, x=np.full_like(given.x, np.nan), stdev=np.full_like(given.x, np.nan),
        status=np.full(2, int(Status.DIVERGED)), per_window={names.OBJECTIVE: np.full(2, np.nan)},
    )  # fmt: skip
    monkeypatch.setattr(annealed, "solve", lambda *_: lost)
    found = with_expected_error(problem, given, 2.0)
    known = climatology(problem.model, problem.engine)
    np.testing.assert_allclose(np.square(found.stdev) - (given.x - known.mean) ** 2,
                               np.broadcast_to(known.variance, given.x.shape))  # fmt: skip
    assert found.per_window[names.DOUBTS].tolist() == 2 * [Doubt.SPREAD_LIMITED]
    assert found.status.tolist() == [0, 0]
