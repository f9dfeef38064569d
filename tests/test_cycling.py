"""The end of an analysis as the background of the next window: a Kalman filter if linear."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda import cycling
from pyvda.cli.main import main
from pyvda.climate.background import Background
from pyvda.climate.background_of_analysis import of_analysis
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.methods.strong_constraint import StrongConstraintOptions
from pyvda.operators import Spectral, power

A = np.array([[0.95, 0.2, 0.0], [-0.2, 0.9, 0.1], [0.0, -0.1, 1.02]])
Q, R, STEPS = 0.04, 0.25, 13
START = Background.full([1.0, -1.0, 0.5], np.diag([2.0, 1.0, 3.0]))
STATISTICAL = {"method": "gauss-newton", "form": "statistical", "model_error": Q}


def linear_model():
    torch = pytest.importorskip("torch")
    M = torch.as_tensor(A)
    return pyvda.torch_model(step=lambda x: x @ M.T.to(x), variables=("x", "y", "z"), time_step=1.0)


def observations(steps: int = 2 * STEPS) -> xr.Dataset:
    rng = np.random.default_rng(4)
    y = rng.normal(0, 2, (steps, 3))
    y[rng.random(y.shape) < 0.5] = np.nan
    y[0], y[STEPS] = np.nan, np.nan  # a window may begin without any
    return xr.Dataset({"observation": (("time", "state"), y)}, {"time": np.arange(float(steps))})


def kalman_filter(y: np.ndarray, model_error: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the filter's mean and covariance at the last step."""
    mean, P = START.mean, np.linalg.inv(START.precision)
    for t, row in enumerate(y):
        if t:
            mean, P = A @ mean, A @ P @ A.T + model_error * np.eye(3)
        H = np.eye(3)[np.isfinite(row)]
        K = P @ H.T @ np.linalg.inv(H @ P @ H.T + R * np.eye(len(H)))
        mean, P = mean + K @ (row[np.isfinite(row)] - H @ mean), P - K @ H @ P
    return mean, P


@pytest.mark.parametrize(
    ("options", "model_error"),
    [
        (STATISTICAL, Q),
        ({"method": "strong-constraint", "starts": "mean"}, 0.0),
        ({"method": "strong-constraint", "starts": "mean", "model_error": Q * np.eye(3)}, Q),
    ],
)
def test_two_windows_of_a_linear_model_are_one_kalman_filter(options, model_error) -> None:
    """The end of the second is that of a filter over both, and so is its covariance."""
    ds = observations()
    common = {"model": linear_model(), "observation_variance": R, "engine": "torch",
              "tolerance": 1e-14, **options}  # fmt: skip
    first = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **common)
    second = pyvda.assimilate(ds.isel(time=slice(STEPS, None)), background=first, **common)
    for count, found in ((STEPS, first), (2 * STEPS, second)):
        mean, P = kalman_filter(ds["observation"].values[:count], model_error)
        np.testing.assert_allclose(found["analysis"].values[-1], mean, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found["final_covariance"].values[0], P, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {**STATISTICAL, "model_error": 1e-2},
        {**STATISTICAL, "model_error": 1e-2, "every": 4, "substeps": 2},
        {"method": "strong-constraint", "members": 10000},
    ],
)
def test_the_final_covariance_has_the_standard_deviation_of_the_last_step(options) -> None:
    """Which the engine computes by a way of its own, from the Hessian of the whole window."""
    truth = pyvda.simulate("lorenz63", 3, 1)
    observed = pyvda.observe(truth, "lorenz63", 2)
    found = pyvda.assimilate(observed, **options)
    variance = np.einsum("wii->wi", found["final_covariance"].values)
    np.testing.assert_allclose(np.sqrt(variance), found["state_stdev"].values[:, -1], rtol=1e-5)
    lazy = pyvda.assimilate(observed.chunk(window=2), **options).compute()
    xr.testing.assert_allclose(lazy["final_covariance"], found["final_covariance"])


def test_a_covariance_that_the_model_makes_singular_can_still_be_a_background() -> None:
    """Lorenz-63 contracts volumes by exp(-13.7 t), and a covariance by its square."""
    model = pyvda.get_model("lorenz63")
    start = Background.full(np.array([-6.0, -8.0, 20.0]), np.eye(3))
    options, cost = StrongConstraintOptions(), CostSettings(model.time_step)
    found = cycling.later(start, 300, options, model, cost, get_engine())
    assert (np.linalg.eigvalsh(found.precision) > 0).all()


def test_every_window_has_its_own_background() -> None:
    truth = pyvda.simulate("lorenz63", 3, 1)
    observed = pyvda.observe(truth, "lorenz63", 2)
    options = {**STATISTICAL, "model_error": 1e-2}
    first = pyvda.assimilate(observed, **options)
    found = pyvda.assimilate(observed, background=first, **options)
    lazy = pyvda.assimilate(observed.chunk(window=2), background=first, **options)
    np.testing.assert_allclose(lazy["analysis"], found["analysis"], atol=1e-8)
    for w, one in enumerate(of_analysis(first)):
        alone = pyvda.assimilate(observed.isel(window=[w]), background=one, **options)
        np.testing.assert_allclose(alone["analysis"][0], found["analysis"][w], atol=1e-8)


ENSEMBLE = {"method": "ensemble-smoother", "members": 100, "model_error": Q}


@pytest.mark.parametrize("options", [{}, {"depth": 0, "inflation": 1.1}, {"lag": 3, "mixing": 0}])
def test_the_final_members_have_the_moments_of_the_last_step(options) -> None:
    truth = pyvda.simulate("lorenz63", 3, 1)
    observed = pyvda.observe(truth, "lorenz63", 2)
    found = pyvda.assimilate(observed, method="ensemble-smoother", members=20, **options)
    members = found["final_ensemble"]
    assert members.dims == ("window", "member", "state2")
    np.testing.assert_allclose(members.mean("member"), found["analysis"][:, -1], atol=1e-9)
    np.testing.assert_allclose(
        members.std("member", ddof=1), found["state_stdev"][:, -1], rtol=1e-8
    )
    lazy = pyvda.assimilate(
        observed.chunk(window=2), method="ensemble-smoother", members=20, **options
    )
    np.testing.assert_array_equal(lazy["final_ensemble"], members)
    without = pyvda.assimilate(
        observed, method="ensemble-smoother", members=20, final_ensemble=False, **options
    )
    assert "final_ensemble" not in without
    np.testing.assert_array_equal(without["analysis"], found["analysis"])


def test_every_window_continues_its_own_members() -> None:
    truth = pyvda.simulate("lorenz63", 3, 1)
    observed = pyvda.observe(truth, "lorenz63", 2)
    first = pyvda.assimilate(observed, method="ensemble-smoother", members=20)
    found = pyvda.assimilate(observed, method="ensemble-smoother", background=first)
    lazy = pyvda.assimilate(observed.chunk(window=2), method="ensemble-smoother", background=first)
    np.testing.assert_array_equal(lazy["final_ensemble"], found["final_ensemble"])
    assert found.sizes["member"] == 20
    for w in range(3):
        alone = pyvda.assimilate(
            observed.isel(window=[w]), method="ensemble-smoother",
            background=first.isel(window=[w]),
        )  # fmt: skip
        np.testing.assert_array_equal(alone["analysis"][0], found["analysis"][w])
    assert (np.ptp(found["analysis"].values[:, 0], axis=0) > 1e-3).all()


def test_an_ensemble_is_a_gaussian_for_methods_without_members() -> None:
    ds, model = observations(), linear_model()
    common = {"model": model, "observation_variance": R, "engine": "torch"}
    first = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **ENSEMBLE, **common)
    rest = ds.isel(time=slice(STEPS, None))
    second = pyvda.assimilate(rest, background=first, tolerance=1e-14, **STATISTICAL, **common)
    mean, P = kalman_filter(ds["observation"].values, Q)
    np.testing.assert_allclose(second["analysis"].values[-1], mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(second["final_covariance"].values[0], P, rtol=0, atol=1e-9)
    few = first.isel(member=slice(3))
    with pytest.raises(InputError, match="ensemble of 3 members, and a covariance of 3 components"):
        pyvda.assimilate(rest, background=few, **STATISTICAL, **common)


def test_no_window_repeats_the_noise_of_another() -> None:
    """With few members noise is random, and the second window has other noise than the first."""
    ds, model = observations(), linear_model()
    common = {"model": model, "observation_variance": R, "engine": "torch",
              **ENSEMBLE, "members": 5}  # fmt: skip
    first = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **common)
    assert first["final_ensemble"].attrs["cycle"] == 1
    later = pyvda.forecast(first, 1, model=model, engine="torch")
    assert later["final_ensemble"].attrs["cycle"] == 2
    rest = ds.isel(time=slice(STEPS, None))
    again = pyvda.assimilate(rest, background=first, **common)
    assert again["final_ensemble"].attrs["cycle"] == 2
    from_forecast = pyvda.assimilate(rest, background=later, **common)
    # The same members one step later, so that the difference is in the noise of the window alone.
    assert np.abs(from_forecast["analysis"] - again["analysis"]).max() > 1e-3
    options = {"method": "ensemble-smoother", "members": 5, "observation_variance": R,
               "model": model, "engine": "torch"}  # fmt: skip
    exact = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **options)
    moved = pyvda.forecast(exact, 1, model=model, engine="torch")
    one, other = (pyvda.assimilate(rest, background=b, **options) for b in (exact, moved))
    np.testing.assert_allclose(one["analysis"], other["analysis"], atol=1e-12)


def test_the_file_of_an_ensemble_is_a_background(tmp_path, monkeypatch, capsys) -> None:
    truth = pyvda.simulate("lorenz63", 2, 1)
    pyvda.save_analysis(pyvda.observe(truth, "lorenz63", 2), tmp_path / "obs.nc")
    common = ["pyvda", "assimilate", str(tmp_path / "obs.nc"), "--method", "ensemble-smoother",
              "-q"]  # fmt: skip
    first, second = str(tmp_path / "a.nc"), str(tmp_path / "b.nc")
    runs = (
        (["-o", first, "--set", "members=12"], 0),
        (["-o", second, "--background", first], 0),
        (["-o", second, "--background", first, "--set", "members=30"], 2),
    )
    for arguments, code in runs:
        monkeypatch.setattr("sys.argv", [*common, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code, capsys.readouterr().err
    assert "members is 30, but the background is an ensemble of 12" in capsys.readouterr().err
    assert xr.load_dataset(second)["final_ensemble"].attrs["cycle"] == 2
    expected = pyvda.assimilate(
        pyvda.open_observations(tmp_path / "obs.nc"), method="ensemble-smoother",
        background=xr.load_dataset(first),
    )  # fmt: skip
    np.testing.assert_allclose(xr.load_dataset(second)["analysis"], expected["analysis"], atol=1e-9)


def test_an_ensemble_that_cannot_be_continued_is_refused() -> None:
    ds, model = observations(), linear_model()
    common = {"model": model, "observation_variance": R, "engine": "torch",
              "method": "ensemble-smoother"}  # fmt: skip
    first = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **common)
    rest = ds.isel(time=slice(STEPS, None))
    for background, message in (
        (first.isel(member=slice(2)), "ensemble of 2 members, expected at least 3"),
        (first.assign(final_ensemble=first.final_ensemble * np.nan), "no finite members"),
        (first.assign(final_ensemble=first.final_ensemble[0]), "expected window, member, state2"),
        (first.isel(state=slice(2), state2=slice(2)), "of 2 components"),
        (first.drop_vars("final_ensemble"), "final_ensemble=true"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            pyvda.assimilate(rest, background=background, **common)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", ["strong-constraint", "gauss-newton"])
def test_a_given_background_is_for_the_first_step(method, tmp_path) -> None:
    """Whatever the method; a background at the truth brings the analysis there."""
    truth = pyvda.simulate("lorenz63", 1, 1)
    observed = pyvda.observe(truth, "lorenz63", 2)
    x = truth["truth"].values[0]
    np.savez(tmp_path / "b.npz", mean=x[0], variance=np.full(3, 1e-4))
    options = {"form": "statistical", "model_error": 1e-6} if method == "gauss-newton" else {}
    found = pyvda.assimilate(observed, method=method, background=tmp_path / "b.npz", **options)[
        "analysis"
    ].values[0]
    assert np.abs(found[0] - x[0]).max() < 0.05
    assert np.mean((found - x) ** 2) < 0.1


def test_the_file_of_an_analysis_is_a_background(tmp_path, monkeypatch, capsys) -> None:
    truth = pyvda.simulate("lorenz63", 2, 1)
    pyvda.save_analysis(pyvda.observe(truth, "lorenz63", 2), tmp_path / "obs.nc")
    common = ["pyvda", "assimilate", str(tmp_path / "obs.nc"), "--method", "gauss-newton", "-q",
              "--set", "form=statistical", "-o"]  # fmt: skip
    first, second = str(tmp_path / "a.nc"), str(tmp_path / "b.nc")
    for arguments in ([*common, first], [*common, second, "--background", first]):
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
    observed = pyvda.open_observations(tmp_path / "obs.nc")
    expected = pyvda.assimilate(
        observed, method="gauss-newton", form="statistical",
        background=xr.load_dataset(first),
    )  # fmt: skip
    np.testing.assert_allclose(xr.load_dataset(second)["analysis"], expected["analysis"], atol=1e-9)


def test_an_analysis_without_a_covariance_is_refused_as_background() -> None:
    model, ds = linear_model(), observations()
    common = {**STATISTICAL, "model": model, "observation_variance": R, "engine": "torch"}
    first = ds.isel(time=slice(STEPS))
    analysis = pyvda.assimilate(first, background=START, **common)
    for background, observed, message in (
        (analysis.drop_vars("final_covariance"), ds, "no variable final_covariance"),
        (analysis * np.nan, ds, "no finite state and covariance"),
        (analysis, first, "-12 steps later"),
        (analysis, ds.assign_coords(time=ds.time + 0.5), "expected a whole number of steps"),
        (5, ds, "background: found 5"),
        ("missing.nc", ds, "missing.nc"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            pyvda.assimilate(observed, background=background, **common)
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="one window after the other"):
        pyvda.assimilate(ds.isel(time=slice(STEPS, None)), background=analysis, window=4, **common)


@pytest.mark.parametrize("kind", [int, np.int32, np.uint8, "f4"])
def test_times_of_other_kinds_of_numbers_are_compared(kind) -> None:
    """A model step of 1; the windows begin three steps after the end of the analysis."""
    ds, model = observations(), linear_model()
    common = {**STATISTICAL, "model": model, "observation_variance": R, "engine": "torch"}
    first = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **common)
    later = ds.isel(time=slice(STEPS + 2, None))
    expected = pyvda.assimilate(later, background=first, **common)
    found = pyvda.assimilate(
        later.assign_coords(time=later.time.astype(kind)), background=first, **common
    )
    np.testing.assert_allclose(found["analysis"], expected["analysis"], rtol=0, atol=1e-12)


def test_dates_after_numbers_are_refused() -> None:
    ds, model = observations(), linear_model()
    common = {**STATISTICAL, "model": model, "observation_variance": R, "engine": "torch"}
    first = pyvda.assimilate(ds.isel(time=slice(STEPS)), background=START, **common)
    dates = np.datetime64("2020-01-01", "ns") + np.arange(STEPS) * np.timedelta64(1, "D")
    later = ds.isel(time=slice(STEPS, None)).assign_coords(time=dates)
    with pytest.raises(InputError, match="float64 and the observations of type datetime64") as said:
        pyvda.assimilate(later, background=first, time_step=1.0, **common)
    assert "\n" not in str(said.value)


def test_windows_with_their_own_backgrounds_share_no_parameters() -> None:
    """They are solved one by one, so that each would get parameters of its own."""
    observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 1), "lorenz63", 2)
    first = pyvda.assimilate(observed, **STATISTICAL)
    common = {"method": "strong-constraint", "background": first, "parameters": "shared",
              "starts": "mean"}  # fmt: skip
    with pytest.raises(InputError, match="'shared' for 2 windows") as refused:
        pyvda.assimilate(observed, **common)
    assert "\n" not in str(refused.value)


@pytest.mark.julia
def test_days_of_a_large_state_follow_each_other_without_a_matrix() -> None:
    """Two days as two runs are the cycle of both, and nothing makes D x D numbers."""
    n, size = 65, 65**2
    model, rng = pyvda.get_model("quasi-geostrophic", n=n), np.random.default_rng(2)
    B = Spectral((n, n), power(2.0, 3.0), 1.0, boundary="wall")
    psi = np.full((6, n, n), np.nan)
    psi[:, 4:-4:6, 4:-4:6] = rng.normal(size=psi[:, 4:-4:6, 4:-4:6].shape)
    ds = xr.Dataset({"psi": (("time", "y", "x"), psi)}, {"time": 5.0 * np.arange(6)})
    how = {
        "model": model, "method": "incremental", "covariance": B, "observation_variance": 1.0,
        "members": 0, "iterations": 1, "inner_iterations": 5,
    }  # fmt: skip
    start = {"background": np.zeros(size)}
    whole = pyvda.assimilate(ds, cycle=3, **how, **start)
    first = pyvda.assimilate(ds.isel(time=slice(3)), **how, **start)
    tracemalloc.start()
    try:
        second = pyvda.assimilate(ds.isel(time=slice(3, 6)), background=first, **how)
        pyvda.forecast(second, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(second["psi"], whole["psi"][3:])
    assert peak < 8 * size**2 / 2
    how.pop("covariance")
    with pytest.raises(InputError, match="an analysis whose end has no covariance; give"):
        pyvda.assimilate(ds.isel(time=slice(3, 6)), background=first, **how)
