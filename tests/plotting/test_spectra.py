"""Spectra of known waves, and the wavelength that is resolved."""

import numpy as np
import pytest
import xarray as xr
from plotting.gridded import made

from pyvda.errors import InputError
from pyvda.plotting.fields import fields_of
from pyvda.plotting.spectra import effective_resolution, plot_spectra, spectrum

pytestmark = pytest.mark.filterwarnings("error")
N = 32


def waves(lengths, amplitudes, land=False, units="m"):
    """Return cosine waves along x, as an analysis with its truth at twice the distance."""
    x = 2.0 * (np.arange(N) + 0.5)
    field = sum(a * np.cos(2 * np.pi * x / w) for w, a in zip(lengths, amplitudes, strict=True))
    field = np.broadcast_to(field, (1, N, N)).copy()
    if land:
        field[:, [0, -1]] = field[:, :, [0, -1]] = np.nan
    coords = {d: (d, 2.0 * np.arange(N), {"units": units}) for d in "yx"}
    dims = ("time", "y", "x")
    return xr.Dataset({"u": (dims, field), "u_innovation": (dims, np.nan * field)}, coords)


def test_a_wave_has_its_wavelength_and_power() -> None:
    ds = waves([16.0], [3.0])
    (field,) = fields_of(ds)
    wavelength, power = spectrum(field, field.analysis)
    assert wavelength[0] == pytest.approx(128, rel=0.2)  # of two grids: a mode has half a cycle
    assert (np.diff(wavelength) < 0).all()
    found = int(power.argmax())
    assert wavelength[found] == pytest.approx(16.0, rel=0.07)
    # All modes together have the variance of the field: Parseval.
    number = np.rint(128 / wavelength)
    numbers = np.hypot(*np.mgrid[:N, :N])
    count = [(np.rint(numbers[numbers <= N]) == n).sum() for n in number]
    assert (power * count).sum() == pytest.approx(N**2 * 3.0**2 / 2, rel=1e-6)


def test_the_resolution_is_where_the_error_has_half_the_power() -> None:
    truth = waves([64.0, 16.0, 8.0], [3.0, 2.0, 1.0])
    analysis = waves([64.0, 16.0, 8.0], [2.9, 1.8, 0.1])
    axis = plot_spectra(analysis, truth)
    curves = {line.get_label(): line for line in axis.lines}
    wavelength = curves["truth"].get_xdata()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = curves["error"].get_ydata() / curves["truth"].get_ydata()
    long, middle, short = (int(np.abs(wavelength - w).argmin()) for w in (64.0, 16.0, 8.0))
    assert ratio[middle] == pytest.approx(0.1**2, rel=0.01)
    assert ratio[short] == pytest.approx(0.9**2, rel=0.01)
    assert ratio[long] == pytest.approx((0.1 / 3) ** 2, rel=0.01)
    assert axis.get_xlabel() == "wavelength (m)"
    said = axis.get_title().split()
    assert said[:2] == ["effective", "resolution"]
    assert 8 < float(said[2]) < 16


@pytest.mark.parametrize(
    ("error", "expected"),
    [([1, 1, 1, 1], np.exp(np.log([8, 4]).mean())), ([0.1] * 4, 0.0), ([9] * 4, np.inf)],
)
def test_the_crossing_is_interpolated_in_logarithms(error, expected) -> None:
    wavelength, truth = np.array([16.0, 8.0, 4.0, 2.0]), np.array([8.0, 4.0, 1.0, 1.0])
    found = effective_resolution(wavelength, np.array(error, float), truth)
    assert found == pytest.approx(expected)


def test_an_edge_of_land_is_left_out_and_other_land_refused() -> None:
    ds = waves([16.0], [1.0], land=True)
    (field,) = fields_of(ds)
    assert spectrum(field, field.analysis)[0].min() > 4
    with pytest.raises(InputError, match="needs a complete rectangle"):
        plot_spectra(*made())


def test_without_a_truth_the_spectrum_of_the_analysis_is_drawn() -> None:
    ds = waves([16.0], [3.0])
    (line,) = plot_spectra(ds).lines
    assert line.get_label() == "analysis"
    assert line.get_xdata()[np.argmax(line.get_ydata())] == pytest.approx(16.0, rel=0.07)


def test_of_vectors_and_into_given_axes() -> None:
    from matplotlib.figure import Figure

    x = np.random.default_rng(1).normal(size=(3, 40))
    dims = ("time", "state")
    analysis = xr.Dataset({"analysis": (dims, x), "innovation": (dims, x)})
    axis = Figure().subplots()
    assert plot_spectra(analysis, xr.Dataset({"truth": (dims, 0.9 * x)}), ax=axis) is axis
    assert axis.get_title() == "all scales from 2.05 grid spacings are resolved"
    assert len(axis.lines) == 3  # no resolution to mark
    nothing = plot_spectra(analysis, xr.Dataset({"truth": (dims, 0.01 * x)}))
    assert nothing.get_title() == "no scale up to 80 grid spacings is resolved"


@pytest.mark.parametrize("points", [N, 1])
def test_without_power_there_is_no_spectrum(points) -> None:
    ds = (waves([16.0], [0.0]) + 5.0).isel(x=slice(0, points), y=slice(0, points))
    with pytest.raises(InputError, match="has no spectrum: it is constant"):
        plot_spectra(ds)
