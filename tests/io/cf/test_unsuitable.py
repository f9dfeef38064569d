"""Files as data centres make them: what is no state is refused, and the remedies work."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command_line import run

import pyvda
from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.io.cf import unsuitable
from pyvda.io.cf.conventions import normalise
from pyvda.io.sources.sources import as_dataset
from pyvda.state.space import flat

TIMES, NY, NX = 6, 5, 6
TIME = np.datetime64("2020-01-01", "ns") + np.arange(TIMES) * np.timedelta64(1, "D")
LAT = ("lat", np.linspace(35.0, 36.0, NY), {"units": "degrees_north"})
LON = ("lon", np.linspace(-4.0, -3.0, NX), {"units": "degrees_east"})
GRID = ("time", "lat", "lon")
MEANINGS = "no_data bad_data worst_quality low_quality acceptable_quality best_quality"
XYZ = flat(3, ("x", "y", "z"))


def values(seed=0, shape=(TIMES, NY, NX)):
    rng = np.random.default_rng(seed)
    t, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    found = 15 + np.sin(x / 2 + t / 3) * np.cos(y / 2) + 0.1 * rng.normal(size=shape)
    found[(rng.random(shape) < 0.4) & (t != seed)] = np.nan
    return found


def over(dims, *names, **coords):
    """Return variables with gaps over (time, y, x), and dimensions of other sizes before them."""
    return xr.Dataset({n: (dims, values(k)) for k, n in enumerate(names)}, coords)


def satellite():
    """GHRSST, level 3: an analysed variable beside others over the same dimensions."""
    ds = over(GRID, "sea_surface_temperature", "sses_bias", time=TIME, lat=LAT, lon=LON)
    flags = np.full((TIMES, NY, NX), 5, "i1")
    return ds.assign(quality_level=(GRID, flags, {"flag_values": np.arange(6, dtype="i1"),
                                                  "flag_meanings": MEANINGS}))  # fmt: skip


def reanalysis():
    """ERA5 as distributed since 2024: valid_time, number and expver."""
    ds = over(("valid_time", "latitude", "longitude"), "t2m", "u10")
    return ds.assign_coords(
        valid_time=("valid_time", TIME, {"standard_name": "time"}), number=0,
        expver=("valid_time", np.full(TIMES, "0001")),
        latitude=("latitude", LAT[1][::-1], LAT[2]), longitude=("longitude", *LON[1:]),
    )  # fmt: skip


def reanalysis_of_two_versions():
    """ERA5 before 2024: recent months have a dimension expver."""
    return reanalysis().drop_vars(["expver", "number"]).expand_dims(expver=[1, 5], axis=1)


def levels():
    ds = over(GRID, "z", time=TIME, lat=LAT, lon=LON)
    level = ("level", [500.0, 850.0], {"units": "hPa", "axis": "Z", "positive": "down"})
    return ds.expand_dims(level=2, axis=1).assign_coords(level=level)


def surface():
    """CMEMS, a model's surface: a depth of size 1."""
    ds = over(GRID, "thetao", "so", time=TIME, lat=LAT, lon=LON)
    return ds.expand_dims(depth=[0.5], axis=1)


def curvilinear():
    """ROMS and NEMO: latitudes and longitudes over both dimensions, which no axis names."""
    lon, lat = np.meshgrid(LON[1], LAT[1])
    return over(("ocean_time", "eta_rho", "xi_rho"), "zeta").assign_coords(
        ocean_time=("ocean_time", TIME, {"standard_name": "time"}),
        lat_rho=(("eta_rho", "xi_rho"), lat, {"units": "degree_north"}),
        lon_rho=(("eta_rho", "xi_rho"), lon, {"units": "degree_east"}),
    )


def wrf():
    lon, lat = (np.broadcast_to(g, (TIMES, NY, NX)) for g in np.meshgrid(LON[1], LAT[1]))
    dims = ("Time", "south_north", "west_east")
    text = np.array([str(one)[:19].replace("T", "_") for one in TIME], "S19")
    ds = over(dims, "T2", "U10")
    return ds.assign(XLAT=(dims, lat), XLONG=(dims, lon), Times=("Time", text))


def mooring():
    """OceanSITES: (TIME, DEPTH), a feature type of CF."""
    attrs = {"featureType": "timeSeriesProfile"}
    data = {n: (("TIME", "DEPTH"), values(k)[:, :, 0]) for k, n in enumerate(("TEMP", "PSAL"))}
    depth = ("DEPTH", 10.0 * np.arange(NY), {"units": "m", "axis": "Z", "positive": "down"})
    return xr.Dataset(data, {"TIME": ("TIME", TIME, {"axis": "T"}), "DEPTH": depth}, attrs)


def currents():
    """An ADCP: two components over time and depth."""
    depth = ("depth", 10.0 * np.arange(NY), {"units": "m"})
    return mooring().drop_attrs(deep=False).rename(
        TEMP="u", PSAL="v", TIME="time", DEPTH="depth"
    ).assign_coords(depth=depth)  # fmt: skip


def with_truth():
    ds = over(GRID, "psi_truth", "psi_obs", time=TIME, lat=LAT, lon=LON)
    return ds.assign(psi_truth=ds.psi_truth.fillna(15.0))


KINDS = [satellite, reanalysis, reanalysis_of_two_versions, levels, surface, curvilinear, wrf,
         mooring, currents, with_truth]  # fmt: skip
MODEL = """
import pyvda
NAME = pyvda.torch_model(
    step=lambda u: 0.99 * u, variables=("u",), dimensions={sizes}, time_step=1.0, name="decay"
)
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", [None, XYZ])
def test_the_remedies_work(kind, space, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ds = kind()
    with pytest.raises(InputError) as refused:
        normalise(ds, None, space)
    said = str(refused.value)
    assert "\n" not in said
    assert ("x, y, z" in said) == (space is not None)
    ds.to_netcdf("file.nc")
    tried = 0
    for words in re.findall(r"--method oi --variable \w+", said):
        command = ["assimilate", "file.nc", *words.split(), "--set", "factors=1", "-o", "a.nc"]
        assert run(monkeypatch, *command, "--overwrite") == 0, capsys.readouterr().err
        name = words.rpartition(" ")[2]
        assert name == unsuitable.likeliest([name, "psi_truth"])
        with xr.open_dataset("a.nc") as found:
            assert found[name].notnull().all()
        tried += 1
    for call, name in re.findall(r"\((ds\.isel\(\w+=0\))\).*?variable='(\w+)'", said):
        assert set(opened(eval(call), name).read(name).values.shape) == {TIMES, NY * NX}
        tried += 1
    for call in re.findall(r"\((ds\[\['\w+'\]\]\.rename\([^)]*\))\)", said):
        assert normalise(eval(call)).sizes["state"] == NY
        tried += 1
    for name in re.findall(r"\(variable='(\w+)', --variable", said):
        assert normalise(ds, name, space).observation.notnull().any()
        tried += 1
    for words in re.findall(r"--model models.py:NAME(?: --variable \w+)?", said):
        sizes = dict(re.findall(r"(\w+)=(\d+)", said.partition(" over ")[2]))
        sizes = {name: int(size) for name, size in sizes.items()}
        (tmp_path / "models.py").write_text(MODEL.format(sizes=sizes))
        size = int(np.prod(list(sizes.values())))
        np.savez("climatology.npz", mean=np.full(size, 15.0), covariance=np.eye(size))
        command = ["assimilate", "file.nc", *words.split(), "--climatology", "climatology.npz"]
        command += ["--time-step", 1, "--iterations", 1, "--set", "step=1.0", "--engine", "torch"]
        assert run(monkeypatch, *command, "-o", "b.nc", "--overwrite") == 0, capsys.readouterr().err
        tried += 1
    assert tried >= 1


def test_a_built_in_model_of_the_grid_is_named(tmp_path, monkeypatch, capsys):
    """Its own dimensions, under the name of an observed variable beside the truth."""
    monkeypatch.chdir(tmp_path)
    model = pyvda.get_model("quasi-geostrophic")
    shape = (2, *model.state_space.variables[0].shape)
    data = np.full(shape, np.nan)
    data[:, 5::40, 5::40] = 0.1
    one = (("time", "y", "x"), data)
    ds = xr.Dataset({"psi_truth": one, "psi_obs": one}, {"time": [0.0, model.time_step]})
    with pytest.raises(InputError) as refused:
        normalise(ds)
    (words,) = re.findall(r"--model \S+ --variable \S+(?=\))", str(refused.value))[:1]
    assert words == "--model quasi-geostrophic --variable psi_obs"
    _, _, name, _, variable = words.split()[0:1] * 2 + words.split()[1:]
    found = normalise(ds, variable, pyvda.get_model(name).state_space)
    assert int(found.observation.notnull().sum()) == int(ds.psi_obs.notnull().sum())


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_method_without_a_model_takes(kind):
    """The one field is taken; of several, or without one, the refusal has the file's own names."""
    ds = as_dataset(kind())
    if kind is curvilinear:
        assert opened(ds).read("zeta").values.shape == (TIMES, NY * NX)
        return
    with pytest.raises(InputError) as refused:
        opened(ds)
    said = str(refused.value)
    for name in re.findall(r"--variable (\w+), or", said):
        assert opened(ds, name).variables == (name,)
    for listed in re.findall(r"--variable (\w+,\w+)\)", said):
        assert opened(ds, listed).variables == tuple(listed.split(","))
    if kind in (levels, reanalysis_of_two_versions):
        ((call, name),) = re.findall(r"\((ds\.isel\(\w+=0\))\).*variable='(\w+)'", said)
        assert opened(eval(call), name).variables == (name,)
    if kind in (mooring, currents):
        assert "name a model whose state this is" in said


def test_a_map_without_a_time():
    """MODIS, level 3 mapped: the time is an attribute."""
    ds = over(GRID, "chlor_a", time=TIME, lat=LAT, lon=LON)
    maps = [ds.isel(time=n, drop=True).assign_attrs(time_coverage_start=str(t) + "Z")
            for n, t in enumerate(TIME)]  # fmt: skip
    with pytest.raises(InputError) as refused:
        normalise(maps[0])
    assert str(TIME[0])[:10] in str(refused.value)
    joined = []
    for one in maps:
        with pytest.raises(InputError) as refused:
            opened(one)
        (call,) = re.findall(r"\((ds\.expand_dims\(.*\))\) and join", str(refused.value))
        joined.append(eval(call, {"ds": one, "numpy": np}))
    found = opened(xr.concat(joined, "time"))
    np.testing.assert_array_equal(found.days, np.arange(TIMES))


@pytest.mark.parametrize("names", [("TMAX", "TMIN", "PRCP"), ("temperature",)])
def test_columns_of_a_table(names):
    ds = xr.Dataset({n: ("time", values()[:, 0, k]) for k, n in enumerate(names)}, {"time": TIME})
    with pytest.raises(InputError) as refused:
        normalise(ds, None, XYZ)
    said = str(refused.value)
    if len(names) == 3:
        (listed,) = re.findall(r"--variable (\S+)\)", said)
        found = normalise(ds, listed, XYZ).observation
        np.testing.assert_array_equal(found, np.stack([ds[n] for n in names], -1))
        (call,) = re.findall(r"\((ds\[.*name='observation'\))\)", said)
        stacked = normalise(eval(call), None, XYZ).observation
        np.testing.assert_array_equal(stacked.transpose("time", "state"), found)
    else:
        (call,) = re.findall(r"\((ds\.rename\(.*?\))\)", said)
        found = normalise(eval(call), None, XYZ).observation
        np.testing.assert_array_equal(found.isel(state=0), ds.temperature)
        assert found.isel(state=[1, 2]).isnull().all()


def test_text_in_place_of_numbers_is_shown():
    model = pyvda.get_model("lorenz63")
    table = pd.DataFrame({"time": [0.0, 0.01], "x": ["4.5 m", "4.6 m"]})
    with pytest.raises(InputError, match=r"variable 'x' holds text, such as '4\.5 m'"):
        pyvda.open_observations(table, model=model)
