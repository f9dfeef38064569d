import numpy as np
import pytest
from command_line import run
from gappy import COVARIANCE, field, tracks

from pyvda.fields import covariance, fitted, likelihood
from pyvda.fields.fit import Fit
from pyvda.fields.fitted import fit_field_covariance
from pyvda.fields.places import on_plane
from pyvda.fields.scattered import ScatteredRows

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def test_the_command_writes_what_oi_reads(tmp_path, monkeypatch, capsys) -> None:
    field()[0].to_netcdf(tmp_path / "sst.nc")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYVDA_ENGINE", "torch")
    fits = []

    def quick(field, values, mean, scale, options, engine, report):
        fits.append((options.factors, options.seed))
        return Fit(COVARIANCE, 0.1, 1.0, 0.0, 5)

    monkeypatch.setattr(fitted, "fit", quick)
    arguments = ["covariance", "sst.nc", "-o", "cov.yaml", "--factors", 2, "--seed", 4]
    assert run(monkeypatch, *arguments) == 0
    assert fits == [(2, 4)]
    read = covariance.read("cov.yaml")
    assert read.variables["sst"] == COVARIANCE
    assert read.units == {"sst": "degC"}
    assert "RMSE 0.1 at 5 values" in capsys.readouterr().out
    assert run(monkeypatch, *arguments, "--form", "dense") == 2
    assert "--form would have no effect" in capsys.readouterr().err
    assert run(monkeypatch, "covariance", "sst.nc", "-o", "B.nc", "--factors", 2) == 2
    assert "--factors would have no effect" in capsys.readouterr().err


@pytest.mark.parametrize("functions", [None, "matern32/gaussian"])
def test_points_have_a_covariance_and_a_figure(tmp_path, monkeypatch, capsys, functions) -> None:
    tracks(count=30).to_netcdf(tmp_path / "tracks.nc")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(likelihood, "_SETS", 6)
    arguments = ["covariance", "tracks.nc", "-o", "cov.yaml", "--factors", 1, "--figure", "fit.png"]
    arguments += [] if functions is None else ["--functions", functions]
    assert run(monkeypatch, *arguments) == 0
    assert "of a pass" in capsys.readouterr().out
    found = covariance.read("cov.yaml").variables["sst"]
    assert found.track_variance > 0
    assert (found.factors[0].space, found.factors[0].time) == (
        ("exponential", "exponential") if functions is None else ("matern32", "gaussian")
    )
    assert (tmp_path / "fit.png").stat().st_size > 1000
    assert run(monkeypatch, *arguments, "--overwrite", "--local-variance") == 2
    assert "local_variance would have no effect" in capsys.readouterr().err


@pytest.mark.parametrize(("unit", "said"), [("km", "60 km, 3 days"), ("", "60, 3 days")])
def test_lengths_have_the_unit_of_the_coordinates(unit, said) -> None:
    rows = ScatteredRows(on_plane(*np.zeros((2, 1)), unit), *np.zeros((4, 1)), np.zeros((1, 0)))
    of_pass = COVARIANCE.model_copy(update={"track_variance": 0.1})
    fits = {"sst": fitted.Fitted(Fit(of_pass, 0.1, 1.0, 0.0, 5), rows, 1.0)}
    lines = fitted.described(fits)
    assert lines[1] == f"  variance 0.8, {said}"
    assert lines[-1] == f"  of a pass: variance 0.1, 20 {unit}".rstrip()


def test_what_is_drawn_is_the_covariance_of_the_data() -> None:
    """Data drawn from COVARIANCE have its values at all lags."""
    products = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        places = on_plane(*(1500 * rng.uniform(size=(2, 1500))))
        days = np.sort(rng.uniform(0, 60, 1500))
        km = np.linalg.norm(places.position[:, None] - places.position, axis=-1)
        matrix = COVARIANCE(km, days[:, None] - days) + 1e-9 * np.eye(1500)
        value = np.linalg.cholesky(matrix) @ rng.normal(size=1500)
        rows = ScatteredRows(
            places, days, value, np.zeros(1500), np.full(1500, -1), np.zeros((1500, 0))
        )
        products.append(fitted.binned(fitted.Fitted(Fit(COVARIANCE, 0.1, 1.0, 0.0, 5), rows, 1.0)))
    for by_distance_or_time in zip(*products, strict=True):
        data, model = (np.mean([getattr(p, n)[:5] for p in by_distance_or_time], axis=0)
                       for n in ("data", "model"))  # fmt: skip
        assert model[0] > 1.5 * model[-1]
        np.testing.assert_allclose(data, model, atol=0.2 * COVARIANCE.variance)


@pytest.mark.parametrize(("passes", "chosen"), [(12, "passes"), (9, "likelihood")])
def test_ten_passes_are_fitted_by_passes_that_are_left_out(passes: int, chosen: str) -> None:
    ds = tracks(count=passes)
    found, as_chosen, by_likelihood = (
        fit_field_covariance(ds, "sst", factors=1, **how)[0]
        for how in ({}, {"fit_by": chosen}, {"fit_by": "likelihood"})
    )
    assert found == as_chosen
    assert (found == by_likelihood) == (chosen == "likelihood")
