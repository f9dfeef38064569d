"""Reconstruction by EOFs: exact for fields of low rank; modes against NumPy's decomposition."""

import numpy as np
import pytest
from gappy import field
from scipy.linalg import expm

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields import eof
from pyvda.fields.eof import EOFOptions, decomposed, filled, solve
from pyvda.fields.field import opened
from pyvda.progress import silent

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def low_rank(points=40, times=30, rank=2, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(points, rank)) @ rng.normal(size=(rank, times))
    return matrix, rng.uniform(size=matrix.shape) < 0.7


@pytest.mark.parametrize("lanczos", [1000, 1])
def test_modes_are_singular_vectors(monkeypatch, lanczos) -> None:
    monkeypatch.setattr(eof, "_LANCZOS", lanczos)
    matrix = np.random.default_rng(1).normal(size=(70, 50))
    u, s, vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(
        decomposed(matrix, 3, None).product, (u[:, :3] * s[:3]) @ vt[:3], atol=1e-8
    )


def test_a_field_of_low_rank_comes_back_exactly() -> None:
    matrix, there = low_rank()
    found, _ = filled(np.where(there, matrix, 0), there, 2, None, 3000, 1e-13)
    np.testing.assert_allclose(found, matrix, atol=1e-8)


def fields(rank=2, noise=0.0):
    """Return a file whose gaps hide a field of low rank, and that field."""
    ds, _ = field(times=25, ny=5, nx=6, seed=3, land=False, cloud=0.3)
    y, x = np.mgrid[:5, :6]
    t = np.arange(25.0)
    truth = 3 * np.cos(t / 3)[:, None, None] * np.cos(x / 3) + np.sin(t / 2)[:, None, None] * y
    truth = truth + noise * np.random.default_rng(2).normal(size=truth.shape)
    return ds.assign(sst=(ds.sst.dims, np.where(ds.sst.isnull(), np.nan, truth))), truth


def test_the_number_of_modes_is_found_and_the_gaps_are_filled() -> None:
    ds, truth = fields(noise=0.1)
    found = opened(ds)
    options = EOFOptions(iterations=300, tolerance=1e-5)
    estimate = solve(found, {"sst": found.read("sst")}, options, get_engine("torch"))["sst"]
    gap = np.isnan(found.read("sst").values)
    error = (estimate.value - truth.reshape(25, -1))[gap]
    assert estimate.configuration["modes"] in (2, 3, 4)
    assert np.sqrt((error**2).mean()) < 0.3
    assert 0.2 < (error**2 / (estimate.stdev**2)[gap]).mean() < 5
    assert (estimate.stdev[gap].mean()) > estimate.stdev[~gap].mean()


def diffusion(days):
    """Return the generator of a diffusion in finite volumes around each time, (T, T)."""
    edges = (days[1:] + days[:-1]) / 2
    volumes = np.diff([days[0] - (edges[0] - days[0]), *edges, 2 * days[-1] - edges[-1]])
    found = np.zeros((len(days), len(days)))
    for t in range(len(days) - 1):
        step = days[t + 1] - days[t]
        found[t, [t, t + 1]] += np.array([-1, 1]) / step / volumes[t]
        found[t + 1, [t, t + 1]] += np.array([1, -1]) / step / volumes[t + 1]
    return found


@pytest.mark.parametrize("deviation", [0.25, 2.0])
def test_the_filter_is_a_diffusion_over_times_of_any_distance(deviation) -> None:
    days = np.delete(np.arange(20.0), [5, 6, 11])
    days[9] += 0.3
    found = eof.diffusion(days, deviation)
    np.testing.assert_allclose(found, expm(deviation**2 / 2 * diffusion(days)), atol=0.02)
    np.testing.assert_allclose(found.sum(1), 1)


def test_the_filter_has_its_standard_deviation() -> None:
    weights = eof.diffusion(np.arange(101.0), 3.0)[50]
    np.testing.assert_allclose(np.sum(weights * (np.arange(101) - 50.0) ** 2), 9.0)


def filtered_dense(matrix, modes, smooth):
    """Return the truncated matrix, by NumPy's decomposition of the smoothed one."""
    _, s, vt = np.linalg.svd(matrix @ smooth.T, full_matrices=False)
    patterns = matrix @ vt[:modes].T
    return (patterns / np.linalg.norm(patterns, axis=0) * s[:modes]) @ vt[:modes]


@pytest.mark.parametrize("lanczos", [1000, 1])
def test_amplitudes_are_those_of_the_smoothed_matrix(monkeypatch, lanczos) -> None:
    monkeypatch.setattr(eof, "_LANCZOS", lanczos)
    matrix = np.random.default_rng(1).normal(size=(70, 50))
    smooth = expm(0.2 * diffusion(np.arange(50.0)))
    expected = filtered_dense(matrix, 3, smooth)
    np.testing.assert_allclose(decomposed(matrix, 3, smooth).product, expected, atol=1e-8)


def test_gaps_are_filled_as_by_a_new_decomposition_at_each_step() -> None:
    matrix, there = low_rank(rank=5)
    smooth = expm(0.1 * diffusion(np.arange(30.0)))
    start = np.where(there, matrix, 0)
    expected = start
    for _ in range(2000):
        expected = np.where(there, matrix, filtered_dense(expected, 3, smooth))
    found, modes = filled(start, there, 3, smooth, 3000, 1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_allclose(modes.product, filtered_dense(expected, 3, smooth), atol=1e-7)


def test_a_filter_smooths_the_modes_in_time() -> None:
    ds, _ = fields(noise=1.0)
    found = opened(ds)
    rough = []
    for days in (0.0, 3.0):
        options = EOFOptions(modes=2, filter_days=days)
        estimate = solve(found, {"sst": found.read("sst")}, options, get_engine("torch"))["sst"]
        rough.append(np.abs(np.diff(estimate.value, 2, axis=0)).mean())
    assert rough[1] < rough[0]


def test_long_series_are_filtered_unless_told_otherwise() -> None:
    assert eof._filter_days(np.arange(29.0)) == 0
    assert eof._filter_days(3 * np.arange(30.0)) == 6


def test_two_variables_help_each_other() -> None:
    ds, truth = fields(noise=0.05)
    other = ds.assign(salt=(ds.sst.dims, -10 * truth, {"units": "1"}))
    found = opened(other, "sst,salt")
    read = {name: found.read(name) for name in found.variables}
    both = solve(found, read, EOFOptions(modes=3), get_engine("torch"))
    alone = solve(found, {"sst": read["sst"]}, EOFOptions(modes=3), get_engine("torch"))
    gap = np.isnan(read["sst"].values)
    errors = [np.abs(e["sst"].value - truth.reshape(25, -1))[gap].mean() for e in (both, alone)]
    assert errors[0] < errors[1]


def test_more_modes_than_there_can_be() -> None:
    found = opened(field(times=3)[0])
    with pytest.raises(InputError, match="have at most 2"):
        solve(found, {"sst": found.read("sst")}, EOFOptions(modes=9), get_engine("torch"))
    found = found.between(0, 1)
    with pytest.raises(InputError, match="1 times of 18 points, of which there are no modes"):
        solve(found, {"sst": found.read("sst")}, EOFOptions(), get_engine("torch"))


def test_the_error_is_that_of_values_under_clouds() -> None:
    """Fields with noise, whose gaps are scored: squared errors over their variance have mean 1."""
    ratios = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        points, times = 80, 60
        matrix = rng.normal(size=(points, 4)) * [3.0, 1.5, 0.8, 0.4] @ rng.normal(size=(4, times))
        matrix += 0.3 * rng.normal(size=matrix.shape)
        there = np.ones(matrix.shape, bool)
        for t in range(times):
            start = rng.integers(points)
            there[(start + np.arange(rng.integers(20, 60))) % points, t] = False
        options = EOFOptions(tolerance=1e-4)
        trials = eof._tried(np.where(there, matrix, 0), there, None, options, 20, silent)
        best = min(trials, key=lambda trial: trial.error)
        start = np.where(there, matrix, best.modes.product)
        _, modes = filled(start, there, best.number, None, 100, 1e-4)
        residual = float(((modes.product - matrix)[there] ** 2).mean())
        variance = eof._of_modes(modes, there, eof._noise(best, residual)) + residual
        ratios.append((((modes.product - matrix) ** 2 / variance)[~there]).mean())
    assert 0.75 < np.mean(ratios) < 1.3
