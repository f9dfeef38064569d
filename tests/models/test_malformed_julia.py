"""Malformed Julia models: refused in one sentence, or the numbers of the same equations in torch.

Each file is Rössler's system with up to three changes, of which some keep it a model: then its
equations are read from the line of the tendency, in Python, and assimilated by the torch engine.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
import xarray as xr
from fuzzing import EXAMPLES, fuzzed, outcome
from hypothesis import strategies as st
from julia_files import ADVECTION

import pyvda
from pyvda.climate.climatology import Climatology
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.names import Status

pytestmark = pytest.mark.julia

TENDENCY = "tendency(m::Rossler, (x, y, z)) = "
TANGENT = "tangent_linear(m::Rossler, (x, y, z), (dx, dy, dz)) = "
ADJOINT = "adjoint(m::Rossler, (x, y, z), (u, v, w)) = "
ROSSLER = {
    "head": "struct Rossler{T} <: SmallModel",
    "fields": "    a::T\n    b::T\n    c::T\nend",
    "constructor": "Rossler(; a = 0.2, b = 0.3, c = 5.7) = Rossler(a, b, c)",
    "variables": 'variables(::Type{<:Rossler}) = ("x", "y", "z")',
    "time_step": "time_step(::Type{<:Rossler}) = 0.05",
    "tendency": f"{TENDENCY}(-y - z, x + m.a * y, m.b + z * (x - m.c))",
    "tangent_linear": f"{TANGENT}(-dy - dz, dx + m.a * dy, z * dx + (x - m.c) * dz)",
    "adjoint": f"{ADJOINT}(v + z * w, -u + m.a * v, -u + (x - m.c) * w)",
    "more": "",
}
WITHOUT_DERIVATIVES = {**ROSSLER, "tangent_linear": "", "adjoint": ""}

UNPRINTABLE = "struct Unprintable end\nBase.show(io::IO, ::Unprintable) = error()\n"

CHANGED: dict[str, list[str]] = {
    "head": [
        "", "struct Rossler <: SmallModel", "struct Rossler{T}", "struct Rössler{T} <: SmallModel",
        "mutable struct Rossler{T} <: SmallModel", "struct Rossler{T<:Integer} <: SmallModel",
        "struct Rossler{T,S} <: SmallModel", "struct Rossler{T} <: LargeModel",
        "struct Rossler{T} <: VectorModel", "struct Rossler{T} <: NoModel",
        "\ufeffstruct Rossler{T} <: SmallModel",
    ],
    "fields": [
        "end", "    a::T\n    b::T\nend", "    a::String\n    b::T\n    c::T\nend",
        "    a::Int\n    b::T\n    c::T\nend", "    a::Vector{T}\n    b::T\n    c::T\nend",
        "    a\n    b\n    c\nend", "    a::Bool\n    b::T\n    c::T\nend",
        "    b::T\n    a::T\n    c::T\nend", "    a::T\n    b::T\n    c::T",
        "    a::T\n    b::T\n    c::T\n    Rossler(a, b, c) = new{typeof(c)}(2a, b, c)\nend",
        '    a::T\n    b::T\n    c::T\n    Rossler(a, b, c) = error("no")\nend',
    ],
    "constructor": [
        "", 'Rossler(; a = 0.2, b = 0.3, c = "5") = Rossler(a, b, c)',
        'Rossler(; a = 0.2, b = 0.3, c = 5.7) = error("two\\nlines")',
        "Rossler(; a = 0.2, b = 0.3, c = 5.7) = nothing",
        "Rossler(; a = 1, b = 2, c = 3) = Rossler(a, b, c)",
        "Rossler(; a = 0.2, b = 0.3, c = 5.7) = Rossler(; a = a)",
        "Rossler(; a = NaN, b = 0.3, c = Inf) = Rossler(a, b, c)",
        "Rossler(; a = 0.25, b = 0.3, c = 5.5) = Rossler(c, b, a)",
        "Rossler(a = 0.2) = Rossler(a, 0.3, 5.7)", "Rossler() = 3",
    ],
    "variables": [
        "", 'variables(::Type{<:Rossler}) = ("x", "y")', "variables(::Type{<:Rossler}) = (1, 2, 3)",
        'variables(::Type{<:Rossler}) = ("x", "y", "z", "w")', "variables(::Type{<:Rossler}) = ()",
        'variables(::Type{<:Rossler}) = ("x", "x", "z")', 'variables(::Type{<:Rossler}) = "xyz"',
        'variables(::Type{<:Rossler}) = ("ψ", "φ₁", "ž")',
        'variables(m::Rossler) = ("x", "y", "z")',
        'variables(::Type{<:Rossler}) = ("a\\ntime_step\\t3", "y\\tq=4", "z")',
        "variables(::Type{<:Rossler}) = ntuple(string, 400)",
        'variables(::Type{<:Rossler}) = ("time", "window", "state")',
    ],
    "time_step": [
        "", *(f"time_step(::Type{{<:Rossler}}) = {value}" for value in (
            '"fast"', "NaN", "0", "-0.05", "Inf", "nothing", "1//20", "1im", "1e-320", "5",
            'error("a\\nb")', "ones(3)",
        )),
    ],
    "tendency": [
        "", *(TENDENCY + body for body in (
            "(-y, x)", "(-y, x, z, z)", "[-y, x, z]", "-y", '"a"', '("a", x, y)', "nothing",
            "(NaN * x, x, y)", "(1.0, 2.0, 3.0)", "(x / 0, y, z)", 'error("a\\nb")', "throw(3)",
            "throw(InterruptException())", "(x * rand(), y, z)", "(m.d * x, y, z)", "(q * x, y, z)",
            "(sqrt(x), y, z)", "(1e200 * x * x * x, y, z)", "tendency(m, (x, y, z))", "(x, y, z",
            "(Float32(x), y, z)", "(x[7], y, z)", "(im * x, y, z)", "(x > 0 ? x : y, y, z)",
            # Models:
            "(-y - z, x + m.a * y, m.b + z * (x + m.c))", "(y - z, x * y - m.a * y, m.b * z)",
            "(sin(x) * y - m.c, tanh(y) - x, x * y * z - 2.5 * z)", "(y, z, x)", "(-x, -y, -z)",
        )),
        "tendency(m::Rossler, (z, y, x)) = (-y - z, x + m.a * y, m.b + z * (x - m.c))",
        "tendency(m, (x, y, z)) = (x, y, z)", "tendency(m::Rossler, x) = x .* 2",
        UNPRINTABLE + TENDENCY + "throw(Unprintable())",
        "const N = Ref(1.0)\ntendency(m::Rossler, (x, y, z)) = (N[] += 1; (x * N[], y, z))",
    ],
    "tangent_linear": [
        "", TANGENT + "(-dy + dz, dx + m.a * dy, z * dx + (x - m.c) * dz)",
        TANGENT + "(-dy - dz, dx, z * dx + (x - m.c) * dz)",
        "tangent_linear(m::Rossler, x, dx) = (0.0, 0.0)", "tangent_linear(m::Rossler, x, dx) = dx",
        'tangent_linear(m::Rossler, x, dx) = "a"',
        'tangent_linear(m::Rossler, x, dx) = error("a\\nb")',
    ],
    "adjoint": [
        "", ADJOINT + "(v + z * w, u + m.a * v, -u + (x - m.c) * w)",
        ADJOINT + "(v + z * w, -u + m.a * v, -u + (x + m.c) * w)",
        "adjoint(m::Rossler, x, v) = v", "adjoint(m::Rossler, x, v) = (NaN, NaN, NaN)",
        "adjoint(m::Rossler, x, v) = throw(nothing)", "adjoint(m::Rossler, x, v) = [v...]",
    ],
    "more": [
        'error("a\\nb")', "throw(nothing)", UNPRINTABLE + "throw(Unprintable())", "end",
        "function f(x)", '"""', "(", "using NotThere",
        "using LinearAlgebra", "struct Other{T} <: SmallModel\n    a::T\nend", "Rossler = 3",
        "tendency = 3", "const variables = 4", 'include("nowhere.jl")', "module A end",
        "spinup(m::Rossler) = NaN", "spinup(m::Rossler) = -1", 'spinup(m::Rossler) = "a"',
        "start(m::Rossler, rng) = [1.0]", "start(m::Rossler, rng) = [NaN, 1.0, 1.0]",
        'start(m::Rossler, rng) = "a"', "start(m::Rossler, rng) = zeros(3, 3)",
        "dimensions(m::Rossler) = (site = 10^12,)", "dimensions(m::Rossler) = (site = -1,)",
        "dimensions(m::Rossler) = (site = 2^62,)", "dimensions(m::Rossler) = 7",
        "Base.length(m::Rossler) = 10^9", "Base.length(m::Rossler) = -3", "length(m::Rossler) = 2",
        "land(m::Rossler) = [true]", 'land(m::Rossler) = "a"', "parameters(m::Rossler) = (1, 2)",
        "@async error(1)", "ψ = 3", "x\0y", "#= open",
    ],
}  # fmt: skip
PARTS = [(part, text) for part, texts in CHANGED.items() for text in texts]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """The bytes of a file with up to three changes of its parts, or of its characters."""
    parts = dict(draw(st.sampled_from([ROSSLER, WITHOUT_DERIVATIVES])))
    for part, text in draw(st.lists(st.sampled_from(PARTS), max_size=2)):
        parts[part] = text
    content = "\n".join(parts.values()).encode()
    if draw(st.integers(0, 2)):
        return content
    at = draw(st.integers(0, len(content) - 1))
    what = draw(st.sampled_from(["delete", "insert", "cut", "bytes", "lines"]))
    if what == "delete":
        return content[:at] + content[at + 1 :]
    if what == "insert":
        new = draw(st.sampled_from(list("+-*/^()[]{},;:.=\"'#@$\\01eλ∂ \t\r")))
        return content[:at] + new.encode() + content[at:]
    if what == "cut":
        return content[:at]
    if what == "bytes":
        return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at:]
    lines = content.splitlines(keepends=True)
    return b"".join(draw(st.permutations(lines)))


def in_torch(text: str, model: Model) -> Model | None:
    """Return the model of the file's last tendency, read as Python; None where it is not."""
    found = re.findall(r"^tendency\(m::R\w*, \((\w+), (\w+), (\w+)\)\) = (\(.*\))\s*$", text, re.M)
    if not found:
        return None
    *names, body = found[-1]
    try:
        code = compile(body.replace("^", "**"), "tendency", "eval")
    except SyntaxError:
        return None
    fields = SimpleNamespace(**dict(model.fields))
    known = {"m": fields, "sin": torch.sin, "tanh": torch.tanh, "sqrt": torch.sqrt}

    def tendency(state: torch.Tensor) -> torch.Tensor:
        values = dict(zip(names, state.unbind(-1), strict=True))
        rows = eval(code, dict(known), values)
        return torch.stack([0 * state[..., 0] + row for row in rows], -1)

    try:
        return pyvda.torch_model(
            tendency, variables=model.state_space.names, time_step=model.time_step
        )
    except (InputError, TypeError, NameError, ArithmeticError):
        return None


def windows(time_step: float) -> xr.Dataset:
    rng = np.random.default_rng(2)
    return xr.Dataset(
        {"observation": (("window", "time", "state"), rng.standard_normal((1, 4, 3)))},
        {"time": np.arange(4) * time_step}, {"observation_error_variance": 0.1},
    )  # fmt: skip


KNOWN = Climatology(np.zeros(3), np.eye(3), np.random.default_rng(1).standard_normal((64, 3)))


def analysed(model: Model, engine: str) -> Any:
    bounded = replace(model, climatology=KNOWN)
    ds = windows(model.time_step)
    return pyvda.assimilate(ds, model=bounded, engine=engine, method="fsgd", iterations=1)


def states(analysis: xr.Dataset) -> np.ndarray:
    return analysis["analysis"].values


def registered(path: Path) -> tuple[Model | None, xr.Dataset | None]:
    model = outcome(pyvda.julia_model, path)
    # What one window with three components has no use for is not assimilated.
    if model is None or model.state_size != 3:
        return model, None
    return model, outcome(analysed, model, "julia")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed") / "mine.jl"


def same(path: Path, content: bytes) -> bool | None:
    """Whether the numbers are those of torch; None where the file or its comparison is refused."""
    path.write_bytes(content)
    model, found = registered(path)
    if model is None or found is None:
        return None
    twin = in_torch(content.decode().removeprefix("\ufeff").replace("\r", "\n"), model)
    expected = None if twin is None else outcome(analysed, twin, "torch")
    if expected is None:
        return None
    status = found["status"].values
    kept = status != Status.DIVERGED  # the others are wherever their numbers overflowed
    a, b = states(found)[kept], states(expected)[kept]
    close = np.allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max(initial=0.0))
    return close and np.array_equal(status, expected["status"].values)


# A file that computes compiles for a second or more.
@hypothesis.settings(fuzzed, max_examples=EXAMPLES if EXAMPLES > 10 else max(1, EXAMPLES // 2))
@hypothesis.given(content=files())
def test_a_malformed_file_is_refused_or_computes_what_it_says(path: Path, content: bytes) -> None:
    agrees = same(path, content)
    hypothesis.event("refused, or not comparable" if agrees is None else "compared with torch")
    assert agrees is not False


@pytest.mark.parametrize("parts", [ROSSLER, WITHOUT_DERIVATIVES])
def test_the_file_without_a_change_is_compared(path: Path, parts: dict[str, str]) -> None:
    assert same(path, "\n".join(parts.values()).encode()) is True
    other = "(-y - z, x + m.a * y, m.b + z * (x - 1.01 * m.c))"
    wrong = in_torch(TENDENCY + other, pyvda.julia_model(path))
    right = in_torch(parts["tendency"], pyvda.julia_model(path))
    difference = states(analysed(wrong, "torch")) - states(analysed(right, "torch"))
    assert abs(difference).max() > 1e-6
    assert math.isfinite(abs(difference).max())


def test_a_model_that_overflows_diverges_in_both_languages(path: Path) -> None:
    parts = {**WITHOUT_DERIVATIVES, "tendency": TENDENCY + "(1e200 * x * x * x, y, z)"}
    content = "\n".join(parts.values()).encode()
    assert same(path, content) is True
    assert registered(path)[1]["status"].values.tolist() == [Status.DIVERGED]


def made(path: Path, text: str, *changes: tuple[str, str]) -> None:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    model = pyvda.julia_model(path)
    pyvda.get_engine("julia").handle(model)


def test_a_tendency_that_is_not_a_function_of_the_state_is_refused(path: Path) -> None:
    text = "\n".join(WITHOUT_DERIVATIVES.values())
    for body in ("(x * rand(), y, z)", "(global N += 1.0; (x * N, y, z))"):
        with pytest.raises(InputError, match="gives other values when it is called again"):
            made(path, "N = 0.0\n" + text, (ROSSLER["tendency"], TENDENCY + body))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # Both functions leave out the same component: they agree with each other.
        ("for i in 1:m.n", "for i in 2:m.n", "component 1 of the tendency .*is not written"),
        ("(x = m.n,)", "(y = m.n, x = m.n)", "component 9 of the tendency .*is not written"),
        (
            "        xbar[i] =",
            "        i == 3 || (xbar[i] = 0.0)\n        i == 3 || (xbar[i] =",
            "adjoint! of Advection is wrong",
        ),
    ],
)
def test_components_that_are_not_written_are_refused(
    path: Path, old: str, new: str, said: str
) -> None:
    changes = [(old, new)]
    if "xbar" in old:
        changes.append(
            ("(ybar[mod1(i + 1, m.n)] - ybar[i])", "(ybar[mod1(i + 1, m.n)] - ybar[i]))")
        )
    with pytest.raises(InputError, match=said):
        made(path, ADVECTION, *changes)


def test_a_constructor_that_changes_the_values_is_refused(path: Path) -> None:
    own = "    c::T\n    Rossler(a, b, c) = new{typeof(c)}(2a, b, c)\nend"
    with pytest.raises(InputError, match=r"made with a = 0\.4 has 0\.8; a constructor"):
        made(path, "\n".join(ROSSLER.values()), ("    c::T\nend", own))


def test_an_exception_that_cannot_be_printed_is_refused(path: Path) -> None:
    text = UNPRINTABLE + TENDENCY + "throw(Unprintable())"
    with pytest.raises(InputError, match="type Unprintable, whose message cannot be printed"):
        made(path, "\n".join({**WITHOUT_DERIVATIVES, "tendency": text}.values()))


def test_the_line_of_an_error_is_not_looked_for_in_a_later_version_of_the_file(path: Path) -> None:
    # The error is raised behind the file's own code, in dual numbers: it has no line there.
    changed = {**ROSSLER, "tendency": TENDENCY + "(im * x, y, z)"}
    failing = {
        **changed,
        "fields": "    a::T\n    b::T\n    c::T\n    Rossler(a, b, c) = error()\nend",
    }
    for parts in (changed, failing, changed):
        with pytest.raises(InputError, match=r"mine\.jl:"):
            made(path, "\n".join(parts.values()))


def test_a_constructor_of_something_else_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="the constructor gives 3, expected a model"):
        made(path, "\n".join({**ROSSLER, "constructor": "Rossler() = 3"}.values()))


@pytest.mark.parametrize("length", ["10^9", "4", "-3"])
def test_a_length_other_than_that_of_the_variables_is_refused(path: Path, length: str) -> None:
    with pytest.raises(InputError, match=r"length\(m::Rossler\) is .*, expected 3, the number of"):
        made(path, "\n".join(ROSSLER.values()) + f"\nBase.length(m::Rossler) = {length}")


@pytest.mark.parametrize("spinup", ["NaN", "-1", "Inf"])
def test_an_impossible_spin_up_is_refused(path: Path, spinup: str) -> None:
    with pytest.raises(InputError, match=r"spinup\(m::Rossler\) is .*, expected a finite number"):
        made(path, "\n".join(ROSSLER.values()) + f"\nspinup(m::Rossler) = {spinup}")
