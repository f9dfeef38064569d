"""R estimated from observations: on a setting with an exact answer, and through pyvda."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda import names
from pyvda.errors import InputError
from pyvda.estimated_variance import ErrorStatistics, estimated, with_estimate
from pyvda.names import Status
from pyvda.notices import Notice
from pyvda.settings import chosen_method, settled

R, PRIOR = 3.0, 5.0


def repeated(windows: int = 200, data: int = 20) -> xr.Dataset:
    """Return windows whose data are one constant each, of variance `PRIOR`, with errors R."""
    random = np.random.default_rng(4)
    level = np.sqrt(PRIOR) * random.standard_normal((windows, 1, 1))
    y = level + np.sqrt(R) * random.standard_normal((windows, data, 1))
    return xr.Dataset({names.OBSERVATION: (names.DIMENSIONS, y)})


def exact(sample: xr.Dataset, errors: ErrorStatistics) -> xr.Dataset:
    """Return the posterior mean and standard deviation of the constants."""
    y = sample[names.OBSERVATION].values
    variance = errors.variance[0]
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
    assert estimated(exact, windows, first).variance[0] == pytest.approx(
        candidates[log.argmax()], rel=5e-3
    )


def test_errors_of_each_datum_scale_the_estimate() -> None:
    windows = repeated()
    error = xr.full_like(windows[names.OBSERVATION], 0.1)
    with_errors = windows.assign({names.OBSERVATION_ERROR: error})
    expected = estimated(exact, windows).variance
    assert estimated(exact, with_errors).variance == pytest.approx(expected)


def test_without_an_analysis_a_number_is_asked_for() -> None:
    def diverged(sample: xr.Dataset, errors: ErrorStatistics) -> xr.Dataset:
        found = exact(sample, errors)
        return found.assign({names.STATUS: found[names.STATUS] * 0 + Status.DIVERGED})

    with pytest.raises(InputError, match="no window has an analysis"):
        estimated(diverged, repeated())


def test_errors_that_vary_more_than_the_observations_are_said() -> None:
    def opposite(sample: xr.Dataset, errors: ErrorStatistics) -> xr.Dataset:
        found = exact(sample, errors)
        return found.assign({names.INNOVATION: 2 * sample[names.OBSERVATION]})

    with pytest.warns(Notice, match="the analysis does not follow them"):
        estimated(opposite, repeated())


@pytest.mark.parametrize("name", [names.POINT_OBSERVATION, names.CHANNEL_OBSERVATION])
def test_other_data_than_components_at_analysis_times_are_refused(name: str) -> None:
    task: Any = None
    windows = repeated(2).assign({name: ((names.WINDOW, names.DATUM), np.ones((2, 3)))})
    with pytest.raises(InputError, match="analysis times only, but the file has others"):
        with_estimate(task, windows, kind="estimate")


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


def test_components_and_bias_of_an_exact_setting() -> None:
    """Two sensors of one constant: the mean of the first is known, its errors are smaller."""
    random = np.random.default_rng(6)
    level = np.sqrt(PRIOR) * random.standard_normal((400, 1, 1))
    y = level + np.array([1.0, 2.0]) * random.standard_normal((400, 20, 2))
    y = y + np.array([0.0, 3.0])

    def assimilated(sample: xr.Dataset, errors: ErrorStatistics) -> xr.Dataset:
        of = sample[names.OBSERVATION].values - errors.bias
        weight = 1 / errors.variance
        precision = 1 / PRIOR + of.shape[1] * weight.sum()
        x = np.broadcast_to((weight * of).sum((1, 2))[:, None, None] / precision, of.shape)
        spread = np.full(of.shape, 1 / np.sqrt(precision))
        data = {names.INNOVATION: of - x, names.STATE_STDEV: spread}
        return xr.Dataset({name: (names.DIMENSIONS, value) for name, value in data.items()}).assign(
            {names.STATUS: (names.WINDOW, np.zeros(len(of), int))}
        )

    windows = xr.Dataset({names.OBSERVATION: (names.DIMENSIONS, y)})
    found = estimated(assimilated, windows, groups=np.arange(2), bias=True)
    within = ((y - y.mean(1, keepdims=True)) ** 2).sum((0, 1)) / (400 * 19)
    np.testing.assert_allclose(found.variance, within, rtol=0.01)
    # The prior's mean, 0, decides between the biases: the mean of all levels is known to 0.11.
    assert found.bias[1] - found.bias[0] == pytest.approx(
        float(y[..., 1].mean() - y[..., 0].mean()), abs=0.02
    )


@pytest.mark.julia
def test_assimilate_estimates_each_component_and_subtracts_a_bias() -> None:
    truth = pyvda.simulate("lorenz63", 48, 8)
    random = np.random.default_rng(10)
    x, y = truth["truth"].values, np.full(truth["truth"].shape, np.nan)
    R = np.array([1.0, 2.0, 4.0])
    y[:, ::8] = x[:, ::8] + np.sqrt(R) * random.standard_normal(x[:, ::8].shape)
    y[..., 0] += 1.5
    observed = truth.drop_vars("truth").assign({names.OBSERVATION: (names.DIMENSIONS, y)})
    observed.attrs["observation_error_variance"] = 5.0
    keywords: dict[str, Any] = {
        "model": "lorenz63", "method": "gauss-newton", "form": "statistical",
        "observation_variance": "estimate-components", "correct_bias": True,
    }  # fmt: skip
    found = pyvda.assimilate(observed, **keywords)
    np.testing.assert_allclose(json.loads(found.attrs["pyvda_observation_variance"]), R, rtol=0.1)
    bias = json.loads(found.attrs["pyvda_observation_bias"])
    np.testing.assert_allclose(bias, [1.5, 0.0, 0.0], atol=0.1)
    np.testing.assert_allclose(
        found["innovation"].values, y - np.array(bias) - found["analysis"].values
    )
    again = pyvda.assimilate(observed.chunk(window=20), **keywords).compute()
    np.testing.assert_allclose(again["analysis"], found["analysis"], atol=1e-6)
    by_variable = {**keywords, "observation_variance": "estimate-variables"}
    of_variables = pyvda.assimilate(observed, **by_variable)
    sizes = [v.size for v in pyvda.get_model("lorenz63").state_space.variables]
    number = len(set(json.loads(of_variables.attrs["pyvda_observation_variance"])))
    assert number == len(sizes)


@pytest.mark.parametrize(
    "keywords", [{"checkpoint": "lorenz63-direct"}, {"method": "strong-constraint", "cycle": 20}]
)
def test_a_bias_is_not_corrected_of_what_cannot_estimate_it(keywords: dict[str, Any]) -> None:
    settings, options = settled({**keywords, "correct_bias": True})
    with pytest.raises(InputError, match="correct_bias"):
        chosen_method(settings, options)
