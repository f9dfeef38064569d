"""Malformed models in Python: refused in one sentence, or the numbers of the same equations.

Functions of torch that are right, in other words or wrong in one of the ways in which functions
are; and files `models.py:name` around them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import xarray as xr
from fuzzing import fuzzed, outcome
from hypothesis import strategies as st

import pyvda
from pyvda.climate.climatology import Climatology
from pyvda.models.model import Model
from pyvda.models.registry import resolve

KNOWN = Climatology(np.zeros(3), np.eye(3), np.random.default_rng(1).standard_normal((64, 3)))
OBSERVED = xr.Dataset(
    {"observation": (
        ("window", "time", "state"), np.random.default_rng(2).standard_normal((1, 4, 3)),
    )},
    {"time": np.arange(4) * 0.05}, {"observation_error_variance": 0.1},
)  # fmt: skip

RIGHT = "torch.stack((-y - z, x + a * y, b + z * (x - c)), -1)"
# Bodies after `x, y, z = s.unbind(-1)`. Those that compute Rössler's tendency:
SAME = [
    f"return {RIGHT}",
    f"return {RIGHT}.clone()",
    "return torch.stack((-(y + z), a * y + x, z * x - c * z + b), -1)",
    f"s = s.clone(); return {RIGHT}",
    "return torch.cat([r.unsqueeze(-1) for r in (-y - z, x + a * y, b + z * (x - c))], -1)",
]  # fmt: skip
# Those that do not: all of them have to be refused.
WRONG = [
    "return None", "return x", "return (x, y, z)", "return [x, y, z]", "return 3.0", "pass",
    "return torch.stack((x, y), -1)", "return torch.stack((x, y, z, x), -1)",
    "return torch.stack((x, y, z), 0)", f"return {RIGHT}.float()", f"return {RIGHT}.half()",
    f"return {RIGHT}.to(torch.complex128)", f"return {RIGHT}.long()", f"return {RIGHT}.detach()",
    f"return {RIGHT}.detach().numpy()", f"return torch.tensor({RIGHT}.tolist())",
    f"r = {RIGHT}; s *= 2; return r", f"s[..., 0] = 0; return {RIGHT}",
    f"r = {RIGHT}; s.zero_(); return r",
    f"return {RIGHT} * torch.rand(())", f"return {RIGHT} + torch.randn_like(s)",
    f"return {RIGHT} * float('nan')", f"return {RIGHT} / 0", f"return {RIGHT} - s.mean()",
    f"return {RIGHT} * s.detach().norm(dim=-1, keepdim=True)", f"return {RIGHT}.sum(0)",
    f"return {RIGHT}.T", f"return {RIGHT}[..., :2]", f"return {RIGHT}.unsqueeze(0)",
    f"return {RIGHT} + torch.arange(s.shape[0])[:, None]", "raise ValueError('two\\nlines')",
    "raise KeyError", "raise StopIteration", "return undefined", "return s @ s",
    "return s.numpy() * 2",
    "return x > 0", "assert False", f"return {RIGHT}.round()", f"return {RIGHT} * next(iter([]))",
    "return 1 / 0", f"return torch.where(s > 0, {RIGHT}, float('nan'))",
    f"N.append(1); return {RIGHT} * len(N)",
    f"return {RIGHT} if s.ndim == 2 else -{RIGHT}", "return rossler(s, a, b, c)",
]  # fmt: skip
DERIVATIVES = {
    "tangent_linear": [
        None,
        "lambda s, d, a, b, c: torch.stack((-d[..., 1] - d[..., 2], d[..., 0] + a * d[..., 1], "
        "s[..., 2] * d[..., 0] + (s[..., 0] - c) * d[..., 2]), -1)",
    ],
    "adjoint": [
        None,
        "lambda s, v, a, b, c: torch.stack((v[..., 1] + s[..., 2] * v[..., 2], "
        "-v[..., 0] + a * v[..., 1], -v[..., 0] + (s[..., 0] - c) * v[..., 2]), -1)",
    ],
}
WRONG_DERIVATIVES = [
    "3", "'a'", "lambda s, d, a, b, c: d", "lambda s, d: d", "lambda s, d, a, b, c: d[..., :2]",
    "lambda s, d, a, b, c: None", "lambda *a, **k: 1 / 0", "lambda s, d, a, b, c: d.float()",
    "lambda s, d, a, b, c: float('nan') * d",
]  # fmt: skip
ARGUMENTS = {
    "variables": ["('x', 'y', 'z')"], "time_step": ["0.05"],
    "parameters": ["{'a': 0.2, 'b': 0.3, 'c': 5.7}"],
}  # fmt: skip
WRONG_ARGUMENTS = {
    "variables": ["()", "'xyz'", "None", "3", "('x', 'y')", "('x', 'x', 'z')",
                  "('x', 'y', 'z', 'w')",
                  "('x', '', 'z')", "(1, 2, 3)", "('time', 'window', 'state')"],
    "time_step": ["0", "-1", "None", "'a'", "float('nan')", "float('inf')", "1e-400", "1j",
    "[0.05]"],
    "parameters": ["None", "{}", "3", "{'a': 0.2}", "{'a': 'x', 'b': 0.3, 'c': 5.7}",
                   "{'a': None, 'b': 0.3, 'c': 5.7}", "{'a': 0.2, 'b': 0.3, 'c': float('nan')}",
                   "{'a': [1], 'b': 0.3, 'c': 5.7}", "[0.2, 0.3, 5.7]", "{1: 2}", "{'a b': 1}",
                   "{'a': 0.2, 'b': 0.3, 'c': 5.7, 'd': 1}"],
}  # fmt: skip

FILE = """import torch
import pyvda
N = []
def rossler(s, a, b, c):
    x, y, z = s.unbind(-1)
    {body}
model = pyvda.torch_model(rossler, variables={variables}, time_step={time_step},
                          parameters={parameters}, tangent_linear={tangent_linear},
                          adjoint={adjoint})
def made(c=5.7):
    return model.with_parameters((0.2, 0.3, c))
text, number = "model", 3
"""


@st.composite
def sources(draw: st.DrawFn) -> tuple[str, str, bool]:
    """A file, the name of a model in it, and whether that is Rössler's."""
    right = {"body": SAME, **ARGUMENTS, **DERIVATIVES}
    wrong = {
        "body": WRONG, **WRONG_ARGUMENTS, "tangent_linear": WRONG_DERIVATIVES,
        "adjoint": WRONG_DERIVATIVES,
    }  # fmt: skip
    parts = {part: draw(st.sampled_from(texts)) for part, texts in right.items()}
    changed = draw(st.sets(st.sampled_from(sorted(wrong)), max_size=2))
    for part in sorted(changed):
        parts[part] = draw(st.sampled_from(wrong[part]))
    name = draw(
        st.sampled_from(
            ["model"] * 5 + ["made", "none", "text", "number", "rossler", "", "torch", "a.b", "N"]
        )
    )
    return FILE.format(**parts), name, not changed and name in ("model", "made")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed") / "models.py"


def analysis(model: Model) -> np.ndarray:
    bounded = replace(model, climatology=KNOWN)
    found = pyvda.assimilate(OBSERVED, model=bounded, engine="torch", method="fsgd", iterations=2)
    return (
        found["analysis"].values
        if "analysis" in found
        else np.stack([found[n].values for n in model.state_space.names], -1)
    )


@pytest.fixture(scope="module")
def expected(path: Path) -> np.ndarray:
    arguments = {name: texts[0] for name, texts in (ARGUMENTS | DERIVATIVES).items()}
    path.write_text(FILE.format(body=SAME[0], **arguments))
    return analysis(resolve(f"{path}:model"))


def compare(path: Path, name: str, is_right: bool, expected: np.ndarray) -> None:
    model = outcome(resolve, f"{path}:{name}")
    assert not is_right or model is not None
    found = None if model is None else outcome(analysis, model)
    if found is not None:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@fuzzed
@hypothesis.given(source=sources())
def test_a_malformed_model_is_refused_or_is_the_right_one(
    path: Path, expected: np.ndarray, source: tuple[str, str, bool]
) -> None:
    text, name, is_right = source
    path.write_text(text)
    compare(path, name, is_right, expected)


@fuzzed
@hypothesis.given(data=st.data())
def test_a_file_of_other_characters_is_refused_or_the_right_one(
    path: Path, expected: np.ndarray, data: st.DataObject
) -> None:
    arguments = {name: texts[0] for name, texts in (ARGUMENTS | DERIVATIVES).items()}
    content = FILE.format(body=SAME[0], **arguments).encode()
    # Not in the lines of the equations and numbers, where another one is a model, too.
    last = content.index(b"    x, y, z =")
    at = data.draw(st.integers(0, last))
    new = data.draw(
        st.one_of(st.binary(max_size=3), st.sampled_from(list(map(str.encode, "()[]:,\n\t #'\\0"))))
    )
    cut = data.draw(st.integers(0, 1))
    changed: Any = content[:at] + new + (b"" if cut else content[at + 1 :])
    path.write_bytes(changed)
    compare(path, "model", False, expected)
