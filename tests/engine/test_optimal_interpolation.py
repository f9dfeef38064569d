"""Both engines against a dense solve with SciPy, and against each other with few data."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from gappy import COVARIANCE, field

from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.fields.interpolation import field_data, targets

ENGINES = ["torch", pytest.param("julia", marks=pytest.mark.julia)]
ALL = Selection(10**4, 10**4, np.inf, np.inf)


def problem(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = opened(field(**{"land": False, "times": 4, **options})[0])
    anomaly = found.read("sst").values - 15.0
    rng = np.random.default_rng(1)
    noise = rng.uniform(0.5, 2.0, anomaly.shape) * COVARIANCE.nugget
    data = field_data(anomaly, noise, found.days, found.places)
    times, points = (
        g.ravel() for g in np.meshgrid(np.arange(len(found.days)), np.arange(len(found.places)))
    )
    return found, data, targets(found.places, times, points, found.days)


def dense(data, asked, along=(0.0, 1.0)):
    """Return mean and variance of a Gaussian process at the queries, from all data."""
    km = np.linalg.norm(data.position[:, None] - data.position, axis=-1)
    a = COVARIANCE(km, data.time[:, None] - data.time) + np.diag(data.noise)
    a += along[0] * (data.track[:, None] == data.track) * np.exp(-km / along[1])
    away = np.linalg.norm(asked.position[asked.point][:, None] - data.position, axis=-1)
    c = COVARIANCE(away, asked.time[:, None] - data.time)
    factor = scipy.linalg.cho_factor(a)
    variance = COVARIANCE.variance - (c * scipy.linalg.cho_solve(factor, c.T).T).sum(1)
    best = c.argmax(1)
    rows = np.arange(len(c))
    return (
        c @ scipy.linalg.cho_solve(factor, data.value),
        variance,
        away[rows, best],
        (data.time[best] - asked.time),
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("along", [(0.0, 1.0), (0.1, 40.0)])
def test_with_all_data_it_is_the_dense_solve(engine, along) -> None:
    _, data, asked = problem()
    data = data._replace(track=np.arange(len(data.value)) // 9)
    found = get_engine(engine).optimal_interpolation(data, asked, ALL, COVARIANCE.rows(), along)
    value, variance, km, days = dense(data, asked, along)
    np.testing.assert_allclose(found.value, value, atol=1e-8)
    np.testing.assert_allclose(found.variance, variance, atol=1e-8)
    np.testing.assert_allclose(found.km, km, atol=1e-6)
    np.testing.assert_array_equal(found.days, days)


@pytest.mark.julia
def test_engines_choose_the_same_data() -> None:
    _, data, asked = problem(times=8, seed=3)
    hidden = np.random.default_rng(2).uniform(size=len(data.value)) < 0.3
    data = data._replace(hidden=hidden)
    for selection in (Selection(3, 1, 2.5, np.inf), Selection(1, 2, 9.0, 70.0)):
        one, other = (
            get_engine(name).optimal_interpolation(data, asked, selection, COVARIANCE.rows())
            for name in ("torch", "julia")
        )
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_derivatives_by_the_constants_are_those_of_differences(engine) -> None:
    _, data, asked = problem(times=3, ny=4, nx=4, seed=5)
    some = slice(0, None, 5)
    asked = asked._replace(point=asked.point[some], time=asked.time[some], group=asked.group[some])
    data = data._replace(track=np.arange(len(data.value)) // 9)
    factors = np.array([
        [0.8, 0, 60.0, 0, 3.0], [0.3, 1, 90.0, 2, 8.0],
        [0.2, 2, 50.0, 3, 4.0], [0.1, 3, 70.0, 1, 2.0],
    ])  # fmt: skip
    selection, along, engine = Selection(4, 2, 9.0, np.inf), (0.1, 40.0), get_engine(engine)

    def estimates(changes):
        changed = factors.copy()
        changed[:, [0, 2, 4]] *= np.exp(changes[1:].reshape(-1, 3))
        noise = data._replace(noise=data.noise + changes[0])
        return np.stack(
            engine.optimal_interpolation(noise, asked, selection, changed, along)[:2], axis=1
        )

    found, derivatives = engine.interpolation_derivatives(data, asked, selection, factors, along)
    assert derivatives.shape == (len(asked.point), 2, 13)
    unchanged = np.zeros(13)
    np.testing.assert_allclose(np.stack(found[:2], axis=1), estimates(unchanged), atol=1e-12)
    for k, small in enumerate(1e-4 * np.eye(13)):
        difference = (estimates(small) - estimates(-small)) / 2e-4
        np.testing.assert_allclose(derivatives[:, :, k], difference, atol=2e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_across_the_date_line_and_around_the_earth(engine) -> None:
    from pyvda.fields.places import on_sphere

    rng = np.random.default_rng(4)
    for longitude in (rng.uniform(175, 185, 40), rng.uniform(0, 360, 40)):
        latitude = rng.uniform(-5, 5, 40)
        turned = np.where(longitude > 180, longitude - 360, longitude)
        results = []
        for chosen in (longitude, turned):
            places = on_sphere(latitude, chosen)
            data = field_data(latitude[None] - 1, np.full((1, 40), 0.1), np.zeros(1), places)
            asked = targets(places, np.zeros(40, int), np.arange(40), np.zeros(1))
            results.append(
                get_engine(engine).optimal_interpolation(
                    data, asked, Selection(2, 0, 1.0, np.inf), COVARIANCE.rows()
                )
            )
        np.testing.assert_allclose(results[0].value, results[1].value, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_data_it_is_the_mean(engine) -> None:
    _, data, asked = problem()
    far = Selection(5, 5, 1.0, 1e-3)
    found = get_engine(engine).optimal_interpolation(
        data._replace(position=data.position + 1e4), asked, far, COVARIANCE.rows()
    )
    np.testing.assert_array_equal(found.value, 0.0)
    np.testing.assert_allclose(found.variance, COVARIANCE.variance)
    assert np.isnan(found.km).all()


@pytest.mark.julia
def test_julia_refuses_what_it_cannot_use() -> None:
    _, data, asked = problem()
    engine = get_engine("julia")
    with pytest.raises(InputError, match="no factor"):
        engine.optimal_interpolation(data, asked, ALL, np.zeros((0, 5)))
    with pytest.raises(InputError, match="another point"):
        engine.optimal_interpolation(
            data, asked._replace(point=asked.point + 10**6), ALL, COVARIANCE.rows()
        )
    with pytest.raises(InputError, match="no known kind"):
        engine.optimal_interpolation(data, asked, ALL, np.array([[1.0, 9.0, 1.0, 0.0, 1.0]]))
    with pytest.raises(InputError, match="groups"):
        engine.optimal_interpolation(
            data._replace(first=data.first + 1), asked, ALL, COVARIANCE.rows()
        )
