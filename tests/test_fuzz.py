"""Malformed input of every kind through the public functions: one sentence, never a crash.

A call may succeed, since unusual input can be valid. It may raise InputError or EngineError with a
message of one line. Any other exception fails, as does a process that dies.

Models, shapes and files: `models/test_malformed_*.py`, `io/test_malformed_files.py`,
`test_shapes.py`. PYVDA_FUZZ_EXAMPLES: see `fuzzing.py`.
"""

import warnings

import hypothesis
import numpy as np
import pytest
import xarray as xr
from fuzzing import EXAMPLES, fuzzed, outcome
from hypothesis import strategies as st

import pyvda
from pyvda.climate.background import Background
from pyvda.errors import InputError
from pyvda.methods import METHODS
from pyvda.settings import Settings

# What no option expects of its value, among what some do.
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.just(2**70), st.floats(), st.text(max_size=6),
    st.sampled_from([
        "", "none", "nan", "../x", "missing.nc", "missing.npz", "lorenz96", "lorenz63.jl", "a.py:b",
        [], [1.0, 2.0], {}, {"a": 1}, (), b"x", np.nan, np.inf, -np.inf, 1e308, 1e-320, 1j,
        object(), np.zeros(3), np.full((3, 3), np.nan), np.ones((3, 3)), np.array("a"),
        np.datetime64("NaT"), xr.Dataset(), xr.DataArray(3.0), Background.none(2),
        Background.none(3), len,
    ]),
)  # fmt: skip


@pytest.fixture(scope="module")
def observed() -> xr.Dataset:
    truth = pyvda.simulate("lorenz63", 2, 1, steps=20)
    return pyvda.observe(truth, "lorenz63", 2)


@st.composite
def spoilt(draw: st.DrawFn) -> xr.Dataset:
    """A Dataset that is almost one of observations."""
    dims = draw(st.sampled_from([
        ("window", "time", "state"), ("time", "state"), ("state", "time"), ("time",), (),
        ("time", "y", "x"), ("a", "b", "c"), ("window", "time", "state", "member"),
    ]))  # fmt: skip
    shape = tuple(draw(st.sampled_from([0, 1, 2, 3, 5])) for _ in dims)
    kind = draw(st.sampled_from(["float", "float32", "int", "str", "datetime64[ns]", "complex"]))
    size = int(np.prod(shape, dtype=int))
    special = [0.0, 1.0, -3.0, np.nan, np.inf, 1e200, 1e308, 1e-320]
    values = np.array([draw(st.sampled_from(special)) for _ in range(size)]).reshape(shape)
    if kind != "float":
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = np.nan_to_num(values, posinf=1.0).astype(kind)
    name = draw(st.sampled_from(["observation", "x", "truth", "analysis", "observation_error"]))
    ds = xr.Dataset({name: (dims, values)})
    if "time" in dims and draw(st.booleans()):
        n = shape[dims.index("time")]
        axis = draw(
            st.sampled_from(["steps", "uneven", "equal", "backwards", "text", "nan", "date"])
        )
        steps = 0.01 * np.arange(n)
        times = {
            "steps": steps, "uneven": steps**2, "equal": 0 * steps, "backwards": -steps,
            "text": np.array([f"t{i}" for i in range(n)]), "nan": np.full(n, np.nan),
            "date": np.datetime64("2000-01-01", "ns") + np.arange(n) * np.timedelta64(6, "h"),
        }[axis]  # fmt: skip
        ds = ds.assign_coords(time=("time", times))
    if draw(st.booleans()):
        ds.attrs["observation_error_variance"] = draw(ODD)
    if draw(st.booleans()):
        ds.attrs |= {"model": draw(ODD), "parameters": draw(ODD)}
    if draw(st.booleans()):
        ds.attrs["pyvda_configuration"] = draw(st.one_of(ODD, st.just('{"model": {"name": 3}}')))
    return ds


def keywords(names: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """Up to three keywords of a function with odd values."""
    return st.dictionaries(st.sampled_from(names), ODD, min_size=1, max_size=3)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "learned"])
@hypothesis.settings(fuzzed, max_examples=max(1, EXAMPLES // 4))
@hypothesis.given(data=st.data())
def test_options_of_methods(observed: xr.Dataset, method: str, data: st.DataObject) -> None:
    options = list(METHODS[method].options.model_fields)
    given = data.draw(keywords(options))
    # Sizes that are right but large would only take long.
    small = {"members": 1000, "iterations": 3, "restarts": 0, "hops": 0, "starts": "mean"}
    usual = {n: v for n, v in small.items() if n in options}
    outcome(pyvda.assimilate, observed, method=method, **{**usual, **given})


@fuzzed
@hypothesis.given(given=keywords([name for name in Settings.model_fields if name != "report"]))
def test_settings(observed: xr.Dataset, given: dict[str, object], tmp_path) -> None:
    if "state" in given:  # a name that can be written to is no mistake
        given = {**given, "state": tmp_path}
    outcome(pyvda.assimilate, observed, **{"iterations": 2, **given})


@fuzzed
@hypothesis.given(ds=spoilt(), data=st.data())
def test_files(ds: xr.Dataset, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from([None, "lorenz63", "lorenz96"]))
    method = data.draw(st.sampled_from(["fsgd", "gauss-newton", "ensemble-smoother"]))
    outcome(pyvda.assimilate, ds, model=model, method=method, iterations=2)
    outcome(pyvda.evaluate, ds, ds)
    outcome(pyvda.forecast, ds, 2)
    outcome(pyvda.observe, ds, "lorenz63", 1)


@fuzzed
@hypothesis.given(
    what=st.one_of(ODD, st.sampled_from(["lorenz63", "lorenz96"])), windows=ODD, seed=ODD,
    parameters=st.none() | st.dictionaries(st.sampled_from(["rho", "a"]), ODD, max_size=1),
)  # fmt: skip
def test_simulate(what: object, windows: object, seed: object, parameters: object) -> None:
    outcome(pyvda.simulate, what, windows, seed, steps=3, parameters=parameters)


@fuzzed
@hypothesis.given(
    given=keywords(["preset", "seed", "variance", "every", "components", "variables"])
)
def test_observe(observed: xr.Dataset, given: dict[str, object]) -> None:
    truth = observed.rename(observation="truth").fillna(0.0)
    outcome(pyvda.observe, truth, **{"preset": "lorenz63", **given})


@pytest.mark.parametrize("given", [None, 3, "obs.nc", [1.0], xr.DataArray([1.0]), np.zeros((3, 3))])
def test_anything_but_a_dataset_is_refused(observed: xr.Dataset, given: object) -> None:
    for call in (
        lambda: pyvda.assimilate(given, model="lorenz63"),
        lambda: pyvda.evaluate(given, observed),
        lambda: pyvda.observe(given, "lorenz63", 1),
        lambda: pyvda.forecast(given, 3),
    ):
        with pytest.raises(InputError) as refused:
            call()
        assert "\n" not in str(refused.value)
