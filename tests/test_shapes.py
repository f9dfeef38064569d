"""Dimensions in another order and under other names: the same analysis, or a refusal.

All lengths are equal where that is possible, so that a dimension taken for another one is not
found out by its length.
"""

from dataclasses import replace
from itertools import combinations, permutations

import hypothesis
import numpy as np
import pytest
import torch
import xarray as xr
from fuzzing import EXAMPLES, fuzzed, outcome
from hypothesis import strategies as st
from problems import rossler_model

import pyvda
from pyvda.climate.climatology import Climatology
from pyvda.models.model import Model

NAMES = {
    "window": ["window", "case", "event", "a", "y", "time", "member"],
    "time": ["time", "t", "step", "valid_time", "b", "x", "window"],
    "y": ["y", "lat", "latitude", "c", "x", "time", "state", "window"],
    "x": ["x", "lon", "longitude", "d", "y", "time", "state"],
    "state": ["state", "component", "variable", "e", "time", "window"],
}
ROWS, COLUMNS = 3, 3
RANDOM = np.random.default_rng(4)


def advected(u: torch.Tensor) -> torch.Tensor:
    """Different along y and along x, and from point to point."""
    place = torch.arange(ROWS * COLUMNS, dtype=u.dtype).reshape(ROWS, COLUMNS)
    return 0.8 * u.roll(1, -1) - 0.3 * u.roll(1, -2) * u - 0.1 * place * u


def known(size: int) -> Climatology:
    return Climatology(np.zeros(size), np.eye(size), RANDOM.standard_normal((64, size)))


FIELD = replace(
    pyvda.torch_model(
        advected, variables=("u",), dimensions={"y": ROWS, "x": COLUMNS}, time_step=0.1
    ),
    climatology=known(ROWS * COLUMNS),
)
FLAT = replace(rossler_model(c=1.0), time_step=0.1, climatology=known(3))
DATA = {
    "field": (FIELD, "u", ("window", "time", "y", "x"), RANDOM.standard_normal((3, 3, 3, 3))),
    "series of a field": (FIELD, "u", ("time", "y", "x"), RANDOM.standard_normal((3, 3, 3))),
    "vector": (FLAT, "observation", ("window", "time", "state"), RANDOM.standard_normal((3, 3, 3))),
    "series": (FLAT, "observation", ("time", "state"), RANDOM.standard_normal((3, 3))),
}  # fmt: skip


def analysed(ds: xr.Dataset, model: Model) -> xr.Dataset:
    return pyvda.assimilate(ds, model=model, engine="torch", method="fsgd", iterations=3, step=0.5)


def numbers(analysis: xr.Dataset, name: str) -> xr.DataArray:
    return analysis["analysis" if name == "observation" else name]


@pytest.fixture(scope="module", params=DATA)
def case(request: pytest.FixtureRequest):
    model, name, dims, values = DATA[request.param]
    ds = xr.Dataset(
        {name: (dims, values)}, {"time": np.arange(3) * 0.1}, {"observation_error_variance": 0.5}
    )
    return model, name, ds, numbers(analysed(ds, model), name)


@hypothesis.settings(fuzzed, max_examples=max(1, EXAMPLES // 2))
@hypothesis.given(data=st.data())
def test_renamed_and_transposed_is_the_same_or_refused(case, data: st.DataObject) -> None:
    model, name, ds, expected = case
    dims = ds[name].dims
    order = data.draw(st.sampled_from(list(permutations(dims))))
    to = {}
    for dim in dims:
        free = [one for one in NAMES[dim] if one not in to.values()]
        to[dim] = data.draw(st.sampled_from(free)) if data.draw(st.booleans()) else dim
    hypothesis.assume(len(set(to.values())) == len(to))
    # A file whose dimensions have each other's names says something else.
    hypothesis.assume(not any(new != dim and new in dims for dim, new in to.items()))
    changed = ds.transpose(*order)
    if data.draw(st.booleans()):
        changed = changed.drop_vars("time")
    changed = changed.rename({d: new for d, new in to.items() if d != new})
    found = outcome(analysed, changed, model)
    if found is None:
        return
    array = numbers(found, name)
    array = array.rename({new: d for d, new in to.items() if new in array.dims and d != new})
    np.testing.assert_allclose(array.transpose(*expected.dims), expected, rtol=1e-12, atol=1e-12)


def permuted(dims: list[str], i: int, j: int) -> list[str]:
    dims = dims.copy()
    dims[i], dims[j] = dims[j], dims[i]
    return dims


def test_transposed_alone_is_the_same(case) -> None:
    model, name, ds, expected = case
    dims = list(ds[name].dims)
    swapped = [permuted(dims, i, j) for i, j in combinations(range(len(dims)), 2)]
    for order in [*swapped, dims[::-1], [*dims[1:], dims[0]]]:
        found = numbers(analysed(ds.transpose(*order), model), name)
        np.testing.assert_allclose(found.transpose(*expected.dims), expected, rtol=1e-12)
