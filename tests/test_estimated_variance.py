"""R estimated from observations: on a setting with an exact answer, and through pyvda."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda import names
from pyvda.errors import InputError
from pyvda.estimated_variance import estimated
from pyvda.names import Status
from pyvda.settings import chosen_method, settled

R, PRIOR = 3.0, 5.0


def repeated(windows: int = 200, data: int = 20) -> xr.Dataset:
    """Return windows whose data are one constant each, of variance `PRIOR`, with errors R."""
    random = np.random.default_rng(4)
    level = np.sqrt(PRIOR) * random.standard_normal((windows, 1, 1))
    y = level + np.sqrt(R) * random.standard_normal((windows, data, 1))
    return xr.Dataset({names.OBSERVATION: (names.DIMENSIONS, y)})


def exact(sample: xr.Dataset, variance: float) -> xr.Dataset:
    """Return the posterior mean and standard deviation of the constants."""
    y = sample[names.OBSERVATION].values
    precision = 1 / PRIOR + y.shape[1] / variance
    x = np.broadcast_to(y.sum(1, keepdims=True) / variance / precision, y.shape)
    spread = np.full(y.shape, 1 / np.sqrt(precision))
    status = np.zeros(len(y), int)
    status[0] = Status.DIVERGED
    return xr.Dataset(
        {
            names.INNOVATION: (names.DIMENSIONS, y - x),
            names.STATE_STDEV: (names.DIMENSIONS, spread),
            names.STATUS: (names.WINDOW, status),
        }
    )


@pytest.mark.parametrize("first", [None, 0.3, 30.0])
def test_the_estimate_is_the_maximum_of_the_likelihood(first: float | None) -> None:
    windows = repeated()
    y = windows[names.OBSERVATION].values[1:, :, 0]
    n = y.shape[1]
    # Of n data around a constant: their mean has the variance PRIOR + R / n, the rest R.
    candidates = np.linspace(2, 4, 2001)
    within, mean = ((y - y.mean(1, keepdims=True)) ** 2).sum(), y.mean(1)
    total = PRIOR + candidates / n
    log = -0.5 * (len(y) * ((n - 1) * np.log(candidates) + np.log(total)))
    log -= 0.5 * (within / candidates + (mean**2).sum() / total)
    assert estimated(exact, windows, first) == pytest.approx(candidates[log.argmax()], rel=5e-3)


def test_errors_of_each_datum_scale_the_estimate() -> None:
    windows = repeated()
    error = xr.full_like(windows[names.OBSERVATION], 0.1)
    with_errors = windows.assign({names.OBSERVATION_ERROR: error})
    assert estimated(exact, with_errors) == pytest.approx(estimated(exact, windows))


def test_without_an_analysis_a_number_is_asked_for() -> None:
    def diverged(sample: xr.Dataset, variance: float) -> xr.Dataset:
        found = exact(sample, variance)
        return found.assign({names.STATUS: found[names.STATUS] * 0 + Status.DIVERGED})

    with pytest.raises(InputError, match="no window has an analysis"):
        estimated(diverged, repeated())


@pytest.mark.julia
def test_assimilate_estimates_what_the_file_overstates() -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 64, 8), "lorenz63", 9)
    observed.attrs["observation_error_variance"] = 8.0
    found = pyvda.assimilate(observed, method="strong-constraint", observation_variance="estimate")
    chosen = json.loads(found.attrs["pyvda_configuration"])["options"]["observation_variance"]
    assert chosen == pytest.approx(2.0, rel=0.1)
    assert float(found["fit"].mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    "keywords",
    [
        {"method": "gauss-newton"},
        {"method": "fsgd"},
        {"method": "strong-constraint", "cycle": 20},
    ],
)
def test_what_cannot_estimate_is_refused(keywords: dict[str, Any]) -> None:
    settings, options = settled({**keywords, "observation_variance": "estimate"})
    with pytest.raises(InputError, match="give a number"):
        chosen_method(settings, options)


def test_other_words_are_no_variance() -> None:
    with pytest.raises(InputError, match="observation_variance"):
        chosen_method(*settled({"method": "annealed", "observation_variance": "guess"}))
