"""Covariances are found again from draws of them; options have an effect or are refused."""

import numpy as np
import pytest
import xarray as xr
from command_line import run

import pyvda
from pyvda.errors import InputError
from pyvda.operators import Diffusion, Spectral, power

SHAPE = (15, 17)
RNG = np.random.default_rng(6)


def dataset(states, shape=SHAPE, **more):
    fields = {"psi": states.reshape(-1, *shape), **more}
    return xr.Dataset({name: (("time", "y", "x"), x) for name, x in fields.items()})


def distance(found, expected) -> float:
    return float(
        np.linalg.norm(found.dense() - expected.dense()) / np.linalg.norm(expected.dense())
    )


@pytest.mark.parametrize("spectrum", ["binned", "power"])
def test_between_walls_that_are_land(spectrum) -> None:
    true = Spectral(SHAPE, power(1.5, 3.0), 0.6, boundary="wall")
    psi = 2.0 + true.sample(RNG, 300).reshape(-1, *SHAPE)
    psi[:, [0, -1]] = psi[:, :, [0, -1]] = np.nan
    B = pyvda.fit_covariance(dataset(psi), spectrum=spectrum)
    assert B.dataset["psi_spectrum"].attrs["boundary"] == "wall"
    assert distance(B, true) < 0.1
    assert not B.space.sea.reshape(SHAPE)[0].any()
    # Of (1 + (kL)²)^−p between walls, by the modes themselves.
    k = np.pi * np.sqrt(np.add.outer((np.arange(1, 14) / 14) ** 2, (np.arange(1, 16) / 16) ** 2))
    c = (1 + (1.5 * k) ** 2) ** -3.0
    expected = np.sqrt(2 * c.sum() / (c * k**2).sum())
    assert B.dataset["psi_spectrum"].attrs["length_scale"] == pytest.approx(expected, rel=0.05)


def test_among_islands() -> None:
    land = np.zeros(SHAPE, bool)
    land[5:8, 6:9] = True
    true = Diffusion(3.0, 0.6, land)
    psi = np.where(land, np.nan, true.sample(RNG, 300).reshape(-1, *SHAPE))
    B = pyvda.fit_covariance(dataset(psi))
    assert B.dataset.attrs["form"] == "diffusion"
    assert float(B.dataset["psi_length"][0, 0]) == pytest.approx(3.0, rel=0.05)
    assert B.summary()[1].endswith("grid spacings")
    varying = pyvda.fit_covariance(dataset(psi), varying_length=True)
    assert float(varying.dataset["psi_length"].mean()) == pytest.approx(3.0, rel=0.1)
    assert " grid spacings (" in varying.summary()[1]
    assert distance(B, true) < 0.12


def test_differences_and_errors_of_independent_states() -> None:
    true = Spectral(SHAPE, power(1.5, 3.0), 0.6)
    states = true.sample(RNG, 300)
    assert distance(pyvda.fit_covariance(dataset(states), differences=1), true) < 0.15
    truth = dataset(RNG.normal(size=states.shape))
    errors = pyvda.fit_covariance(truth + dataset(states), truth=truth)
    assert distance(errors, pyvda.fit_covariance(dataset(states))) < 1e-12


def test_an_ensemble_is_the_localised_sample_covariance() -> None:
    states = RNG.normal(size=(6, 255))
    B = pyvda.fit_covariance(dataset(states), form="ensemble")
    np.testing.assert_allclose(B.dense(), np.cov(states, rowvar=False), atol=1e-14)
    local = pyvda.fit_covariance(dataset(states), form="ensemble", localisation=5.0)
    np.testing.assert_allclose(local.variance(), B.variance())
    far = local.dense()[0].reshape(SHAPE)[8:, 8:]
    assert np.abs(far).max() < 0.01 * B.variance().max()
    hybrid = pyvda.fit_covariance(dataset(states), form="hybrid", localisation=5.0, weight=0.25)
    static = pyvda.fit_covariance(dataset(states))
    expected = 0.75 * static.dense() + 0.25 * local.dense()
    np.testing.assert_allclose(hybrid.dense(), expected, atol=1e-12)


def test_variables_have_covariances_of_their_own() -> None:
    a, b = (
        Spectral(SHAPE, power(length, 3.0), s).sample(RNG, 50) for length, s in ((1, 1), (2, 3))
    )
    B = pyvda.fit_covariance(dataset(a, q=b.reshape(-1, *SHAPE)))
    assert B.dataset.attrs["variables"] == "psi q"
    assert B.size == 2 * 255
    assert not B.apply(np.eye(510)[0])[255:].any()
    both = pyvda.fit_covariance(
        dataset(a, q=b.reshape(-1, *SHAPE)), form="ensemble", localisation=5
    )
    assert both.apply(np.eye(510)[0])[255:].any()


def test_a_state_without_a_grid_has_a_matrix() -> None:
    truth = pyvda.simulate("lorenz63", 20, 1, steps=50)
    B = pyvda.fit_covariance(truth)
    states = truth["truth"].values.reshape(-1, 3)
    np.testing.assert_allclose(B.dense(), np.cov(states, rowvar=False))


def test_scaled_to_a_standard_deviation() -> None:
    B = pyvda.fit_covariance(dataset(RNG.normal(size=(50, 255))), stdev=0.3)
    assert np.sqrt(B.variance().mean()) == pytest.approx(0.3)
    members = pyvda.fit_covariance(dataset(RNG.normal(size=(50, 255))), stdev=0.3, form="ensemble")
    assert np.sqrt(members.variance().mean()) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "cubic"}, "expected one of spectral, diffusion"),
        ({"boundary": "round"}, "boundary is 'round'"),
        ({"spectrum": "red"}, "spectrum is 'red'"),
        ({"weight": 0.5}, "weight is 0.5, but has no effect in the form spectral"),
        ({"form": "ensemble", "floor": 0.1}, "floor is 0.1, but has no effect"),
        ({"varying_length": True}, "varying_length is True, but has no effect"),
        ({"form": "hybrid", "weight": 1.5}, "weight is 1.5, expected a number"),
        ({"floor": -1.0}, "floor is -1.0"),
        ({"stdev": 0.0}, "stdev is 0.0"),
        ({"smoothing": -1}, "smoothing is -1"),
        ({"form": "ensemble", "localisation": 0.0}, "localisation is 0.0"),
    ],
)
def test_invalid_options(options, message) -> None:
    with pytest.raises(InputError, match=message) as refused:
        pyvda.fit_covariance(dataset(RNG.normal(size=(5, 255))), **options)
    assert "\n" not in str(refused.value)


def test_forms_that_do_not_fit_the_grid(monkeypatch) -> None:
    island = RNG.normal(size=(5, *SHAPE))
    island[:, 5, 5] = np.nan
    with pytest.raises(InputError, match="missing at 1 points"):
        pyvda.fit_covariance(dataset(island), form="spectral")
    line = xr.Dataset({"u": (("time", "x"), RNG.normal(size=(5, 9)))})
    with pytest.raises(InputError, match="expected two for the form diffusion"):
        pyvda.fit_covariance(line, form="diffusion")
    monkeypatch.setattr("pyvda.covariances.fit._LARGEST_DENSE", 3)
    with pytest.raises(InputError, match="for up to 3"):
        pyvda.fit_covariance(line, form="dense")


def test_the_command(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    states = Spectral(SHAPE, power(1.5, 3.0), 0.6).sample(RNG, 50)
    dataset(states).to_netcdf("states.nc")
    assert run(monkeypatch, "covariance", "states.nc", "-o", "B.nc", "--spectrum", "power") == 0
    printed = capsys.readouterr().out
    assert "B.nc:" in printed
    assert "spectral covariance of psi (y=15, x=17), from 50 states" in printed
    with xr.open_dataset("B.nc") as ds:
        assert ds.attrs["pyvda_covariance"] == 1
        assert "pyvda covariance states.nc" in ds.attrs["history"]
    assert run(monkeypatch, "covariance", "states.nc", "-o", "states.nc") == 2
    assert run(monkeypatch, "covariance", "states.nc", "-o", "C.nc", "--weight", "0.5") == 2
    assert "has no effect in the form spectral" in capsys.readouterr().err


def test_a_file_is_the_background_covariance_of_dense_methods(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    truth = pyvda.simulate("lorenz63", 8, 1, steps=9)
    B = pyvda.fit_covariance(truth)
    B.save("B.nc")
    pyvda.save_analysis(pyvda.observe(truth.isel(window=[0]), variance=1.0, seed=2), "obs.nc")
    arguments = "obs.nc --model lorenz63 --method strong-constraint --covariance B.nc"
    assert (
        run(monkeypatch, "assimilate", *arguments.split(), "--set", "starts=mean", "-o", "a.nc")
        == 0
    )
    expected = pyvda.assimilate(
        "obs.nc", model="lorenz63", method="strong-constraint", covariance=B.dense(), starts="mean",
    )  # fmt: skip
    with xr.open_dataset("a.nc") as found:
        np.testing.assert_allclose(found["analysis"], expected["analysis"], atol=1e-7)
