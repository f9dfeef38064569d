"""Users' models in Julia: valid files, and the messages for invalid ones."""

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from julia_files import ROSSLER_WITH_DERIVATIVES as ROSSLER

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.engine.data import Shooting
from pyvda.engine.interface import CostSettings
from pyvda.errors import EngineError, InputError
from pyvda.methods.localisation import localised
from pyvda.models.verdict import Verdict

pytestmark = pytest.mark.julia

LARGE = """\
struct Waves{T} <: LargeModel
    c::T
    n::Int
end
Waves(; c = 1.5, n = 11) = Waves(c, n)
dimensions(m::Waves) = (site = m.n,)
time_step(::Type{<:Waves}) = 0.05
tendency(m::Waves, x, s) = m.c * (x[s.l] - x[s.r]) - x[s.i]^3
tangent_linear(m::Waves, x, dx, s) = m.c * (dx[s.l] - dx[s.r]) - 3 * x[s.i]^2 * dx[s.i]
adjoint(m::Waves, x, v, s) = m.c * (v[s.r] - v[s.l]) - 3 * x[s.i]^2 * v[s.i]
"""

VECTOR = """\
struct Waves{T} <: VectorModel
    c::T
    n::Int
end
Waves(; c = 1.5, n = 11) = Waves(c, n)
dimensions(m::Waves) = (site = m.n,)
time_step(::Type{<:Waves}) = 0.05
workspace(::Type{T}, m::Waves) where {T} = zeros(T, m.n)
around(x) = circshift(x, 1) .- circshift(x, -1)
tendency!(dx, m::Waves, x, work) = dx .= m.c .* around(x) .- x .^ 3
tangent_linear!(dy, m::Waves, x, dx, work) = dy .= m.c .* around(dx) .- 3 .* x .^ 2 .* dx
adjoint!(xbar, m::Waves, x, ybar, work) = xbar .= -m.c .* around(ybar) .- 3 .* x .^ 2 .* ybar
parameter_tangent!(dy, m::Waves, x, (dc,), work) = dy .= dc .* around(x)
parameter_adjoint!(m::Waves, x, ybar, work) = (sum(ybar .* around(x)),)
"""

STEP = """\
struct Logistic{T} <: VectorModel
    r::T
    n::Int
end
Logistic(; r = 3.2, n = 6) = Logistic(r, n)
dimensions(m::Logistic) = (y = 2, x = m.n ÷ 2)
time_step(::Type{<:Logistic}) = 1.0
step!(x1, m::Logistic, x, work) = x1 .= m.r .* x .* (1 .- x)
tangent_linear!(dy, m::Logistic, x, dx, work) = dy .= m.r .* (1 .- 2 .* x) .* dx
adjoint!(xbar, m::Logistic, x, ybar, work) = xbar .= m.r .* (1 .- 2 .* x) .* ybar
land(m::Logistic) = [false true; false false; true false]
start(m::Logistic, rng) = fill(0.4, 3, 2)
spinup(m::Logistic) = 100.0
"""


@pytest.fixture
def written(tmp_path):
    """Write a file and return its path."""

    def write(text, name="mine.jl"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def engine():
    return pyvda.get_engine("julia")


def verdict(engine, model) -> Verdict:
    return engine.verdict(model, parameters=True)


def test_fields_are_parameters(written, engine) -> None:
    model = pyvda.julia_model(written(ROSSLER), a=0.1)
    assert (model.name, model.state_size, model.time_step) == ("Rossler", 3, 0.05)
    assert model.parameters == (0.1, 0.2, 5.7)
    assert model.parameter_names == ("a", "b", "c")
    assert [v.name for v in model.state_space.variables] == ["x", "y", "z"]
    assert model.kind == "tendency"
    assert model.start is None
    assert model.spinup is None
    x = np.array([[1.0, 2.0, 3.0]])
    dx = (engine.forecast(model, x, time_step=1e-6) - x) / 1e-6
    np.testing.assert_allclose(dx, [[-5.0, 1.2, 0.2 + 3 * (1 - 5.7)]], rtol=1e-4)


def test_a_changed_file_is_another_model(written, engine) -> None:
    x = np.ones((1, 3))
    first = pyvda.julia_model(written(ROSSLER))
    again = pyvda.julia_model(written(ROSSLER))
    assert engine.handle(first) == engine.handle(again)
    changed = ROSSLER.replace("0.2, c = 5.7", "0.3, c = 5.7").replace("m.a *", "2 * m.a *")
    other = pyvda.julia_model(written(changed))
    assert other.parameters == (0.2, 0.3, 5.7)
    assert engine.handle(other) != engine.handle(first)
    before, after = (engine.forecast(m, x, time_step=0.05) for m in (first, other))
    assert abs(before - after).max() > 1e-3
    np.testing.assert_array_equal(before, engine.forecast(first, x, time_step=0.05))


def test_the_large_and_the_vector_model_compute_the_same(written, engine) -> None:
    large = pyvda.julia_model(written(LARGE), n=9)
    vector = pyvda.julia_model(written(VECTOR), n=9)
    assert large.fields == (("c", 1.5), ("n", 9))
    assert large.state_size == vector.state_size == 9
    assert str(verdict(engine, large)).count("dual numbers") == 1
    assert verdict(engine, large).passed
    assert verdict(engine, vector).passed
    rng = np.random.default_rng(3)
    x = 0.5 * rng.normal(size=(3, 8, 9))
    y, mask = x + 0.1 * rng.normal(size=x.shape), (rng.random(x.shape) < 0.4) * 1.0
    settings = CostSettings(0.05)

    def results(model):
        cost = engine.cost(model, settings, x, y, mask)
        found = engine.weak_constraint(
            model, settings, Shooting((1.0, 10.0)), x, y, mask, np.ones(3), x[:, 0], np.eye(9),
            spread=True,
        )  # fmt: skip
        run = engine.simulate(model, x[:, 0], time_step=0.05, steps=4, spinup=0.2)
        return (run, cost.total, cost.gradient), (found.x, found.stdev)

    of_large, of_vector = results(large), results(vector)
    for a, b in zip(of_large[0], of_vector[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    for a, b in zip(of_large[1], of_vector[1], strict=True):  # minimised until a tolerance
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_a_model_with_its_own_step(written, engine) -> None:
    model = pyvda.julia_model(written(STEP))
    variable = model.state_space.variables[0]
    assert model.kind == "step"
    assert (variable.name, variable.dims) == ("field", ("y", "x"))  # x, but for the dimension
    assert variable.shape == (2, 3)
    assert model.spinup == 100.0
    assert model.start.mean == pytest.approx((0.4, 0.4, 0.0, 0.0, 0.4, 0.4))  # 0 on land
    # Julia's array is (x, y): the mask that is (3, 2) there is (2, 3) in the file.
    assert list(model.state_space.land) == [0, 0, 1, 1, 0, 0]
    assert verdict(engine, model).passed
    x = np.full((1, 6), 0.3)
    run = engine.simulate(model, x, time_step=1.0, steps=3, spinup=2.0)
    expected = [0.3]
    for _ in range(4):
        expected.append(3.2 * expected[-1] * (1 - expected[-1]))
    np.testing.assert_allclose(run[0, :, 0], expected[2:], rtol=1e-14)
    with pytest.raises(InputError, match=r"its own scheme with the step 1\.0, found 0\.5"):
        engine.forecast(model, x, time_step=0.5)
    with pytest.raises(InputError, match="write parameter_tangent!"):
        engine.forecast_with_parameters(model, CostSettings(1.0), np.full((1, 7), 0.3))


def test_missing_derivatives_of_a_small_model_are_exact(written, engine) -> None:
    given = pyvda.julia_model(written(ROSSLER))
    lines = ROSSLER.splitlines(keepends=True)
    bare = pyvda.julia_model(written("".join(lines[:-2])))
    rng = np.random.default_rng(5)
    x, y, mask = rng.normal(size=(3, 2, 6, 3))
    mask = (mask > 0) * 1.0
    settings = CostSettings(0.05)
    expected = engine.cost(given, settings, x, y, mask)
    found = engine.cost(bare, settings, x, y, mask)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-12, atol=1e-13)
    z, dz = rng.normal(size=(2, 4, 6))
    how = (settings, z, dz)
    np.testing.assert_allclose(
        engine.adjoint_with_parameters(bare, *how),
        engine.adjoint_with_parameters(given, *how),
        rtol=1e-12,
    )
    assert verdict(engine, bare).worst == ()


@pytest.mark.parametrize(
    ("text", "right", "wrong", "row", "column"),
    [
        (ROSSLER, "(v + z * w, -u", "(v + z * w, u", 1, 2),
        (ROSSLER, "(-dy - dz, dx", "(-dy + dz, dx", 1, 3),
        (LARGE, "(v[s.r] - v[s.l])", "(v[s.r] + v[s.l])", None, None),
        (LARGE, "(dx[s.l] - dx[s.r])", "(dx[s.l] + dx[s.r])", None, None),
        (VECTOR, "xbar .= -m.c", "xbar .= m.c", None, None),
        (VECTOR, "dy .= m.c", "dy .= -m.c", None, None),
        (STEP, "xbar .= m.r .* (1 .- 2", "xbar .= m.r .* (1 .+ 2", None, None),
    ],
)
def test_a_wrong_sign_is_refused_with_its_entry(
    written, engine, text, right, wrong, row, column
) -> None:
    assert right in text
    model = pyvda.julia_model(written(text.replace(right, wrong)))
    with pytest.raises(InputError, match="is wrong: the entry of the Jacobian in row") as refused:
        engine.forecast(model, np.full((1, model.state_size), 0.3), time_step=model.time_step)
    entry = next(e for e in engine.verdict(model).worst if not e.passed)
    assert entry.names[0] in str(refused.value)
    assert entry.names[1] in str(refused.value)
    assert row is None or (entry.row, entry.column) == (row, column)
    assert entry.expected == pytest.approx(-entry.found, rel=1e-4) or text in (STEP,)


def test_a_wrong_entry_of_a_model_with_many_components_is_found(written, engine) -> None:
    wrong = LARGE.replace("adjoint(m", "adj(m") + (
        "adjoint(m::Waves, x, v, s) = adj(m, x, v, s) + (s.i == 700 ? v[s.ll] : 0 * v[s.i])\n"
    )
    entry = engine.verdict(pyvda.julia_model(written(wrong), n=1000)).worst[1]
    assert not entry.passed
    assert (entry.row, entry.column) == (698, 700)
    assert engine.verdict(pyvda.julia_model(written(LARGE), n=1000)).passed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = )\n", r"""mine\.jl:2: (syntax: )?unexpected ["`]\)["`]"""),
        ("x = 1\n\nfoo(1)\n", r"mine\.jl:3: UndefVarError: `?foo`? not defined"),
        ("x = 1\nerror(\"two\\nlines\")\n", r"mine\.jl:2: two; lines"),
        ("module M\nusing NoSuchPackage\nend\n", "NoSuchPackage"),
        ("struct A <: SmalModel end\n", r"mine\.jl:1: UndefVarError"),
        ("f(x) = x\n", "defines no model: expected a struct <: SmallModel"),
        (ROSSLER + "struct B <: SmallModel end\n", r"several models \(B, Rossler\)"),
        (ROSSLER.replace("time_step", "timestep"), r"write time_step\(::Type{<:Rossler}\)"),
        (ROSSLER.replace("variables(", "variable("), r"write variables\(::Type{<:Rossler}\)"),
        (ROSSLER.replace("tendency(", "tendenci("), r"write tendency\(m::Rossler"),
        (ROSSLER.replace("b::T", "b::String"), "the field b of Rossler has the type String"),
        (ROSSLER.replace("= 5.7)", '= error("no c"))'), r"mine\.jl.*: no c"),
        (LARGE.replace("adjoint(", "adj("), r"write adjoint\(m::Waves, x, v, s\)"),
        (LARGE.replace("dimensions(", "dims("), r"write dimensions\(m::Waves\)"),
        (VECTOR.replace("tangent_linear!(", "tl!("), r"write tangent_linear!\(dy, m::Waves"),
        (VECTOR.replace("tendency!(", "tend!("), r"write tendency!\(dx, m::Waves, x, work\), or"),
        (ROSSLER.replace("= 0.05", '= "fast"'), r'is "fast", expected a positive'),
        (ROSSLER.replace("= 0.05", "= -0.05"), "is -0.05, expected a positive number"),
        (ROSSLER.replace('("x", "y", "z")', '"xyz"'), r'is "xyz", expected a tuple of'),
        (ROSSLER.replace('"y"', r'"y\ty"'), "expected names of letters"),
        (ROSSLER.replace('"y"', r'"y\n"'), "expected names of letters"),
        (ROSSLER.replace('"y"', '"time"'), "other than 'window' and 'time'"),
        (ROSSLER.replace("(-y - z, ", "("), r"tendency\(m::.* returns 2 numbers, expected 3"),
        (ROSSLER.replace("(v + z * w, ", "("), r"adjoint\(m::.* returns 2 numbers, expected 3"),
        (ROSSLER.replace("= (-y - z", "= [x] #"), "returns Array, expected a tuple of 3"),
        (ROSSLER + "exit(3)\n", r"mine\.jl:12: .* cannot end the process by exit\(\)"),
        (ROSSLER.replace("= 0.05", "= exit()"), r"cannot end the process by exit\(\)"),
        (ROSSLER.replace("= 0.05", "= Base.exit(3)"), r"cannot end the process by exit\(\)"),
        (ROSSLER + "map(Base.quit, 1:2)\n", r"mine\.jl:12: .* cannot end the process by quit\(\)"),
        (LARGE.replace("(site = m.n,)", "(y = m.n, x = 2)"), r"write each_place\(f, m::Waves\)"),
    ],
)  # fmt: skip
def test_errors_in_a_file_are_reported_in_one_sentence(written, text, said) -> None:
    with pytest.raises(InputError, match=said) as refused:
        pyvda.julia_model(written(text))
    assert "\n" not in str(refused.value)
    assert "Stacktrace" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "before", "after"),
    [
        (ROSSLER, 9, "(-y - z, x", '(error("boom\\nline2"), x'),
        (ROSSLER, 11, "(v + z", '(error("boom\\nline2"), v + z'),
        (LARGE, 9, "m.c * (dx[s.l] - dx[s.r])", 'error("boom\\nline2")'),
        (VECTOR, 11, "dy .= m.c", 'dy .= error("boom\\nline2") * m.c'),
    ],
)
def test_an_error_at_run_time_names_the_file_once_and_a_line(
    written, engine, text, line, before, after
) -> None:
    assert before in text
    model = pyvda.julia_model(written(text.replace(before, after, 1)))
    with pytest.raises(InputError) as refused:
        engine.forecast(model, np.full((1, model.state_size), 0.3), time_step=0.05)
    assert str(refused.value) == f"mine.jl:{line}: boom; line2"


def test_derivatives_by_parameters_are_taken_where_the_control_has_them(written, engine) -> None:
    # The tendency is nonlinear in c: a derivative at the model's own c would be wrong.
    model = pyvda.julia_model(written(LARGE.replace("m.c *", "m.c^2 *")))
    assert verdict(engine, model).passed
    rng = np.random.default_rng(9)
    z, dz, v = rng.normal(size=(3, 2, 12))
    z[:, -1] = (2.5, -0.7)
    settings = CostSettings(0.01)
    h = 1e-5

    def forecast(z):
        return engine.forecast_with_parameters(model, settings, z)

    tangent = engine.tangent_linear_with_parameters(model, settings, z, dz)
    difference = (forecast(z + h * dz) - forecast(z - h * dz)) / (2 * h)
    np.testing.assert_allclose(tangent, difference, rtol=1e-7, atol=1e-9)
    adjoint = engine.adjoint_with_parameters(model, settings, z, v)
    np.testing.assert_allclose((tangent * v).sum(1), (dz * adjoint).sum(1), rtol=1e-12)


def test_invalid_values_of_fields_are_refused(written, engine) -> None:
    path = written(LARGE)
    for fields, said in (
        ({"d": 1.0}, "unknown field for Waves: found d; Waves has c, n"),
        ({"c": float("nan")}, "expected a finite number"),
        ({"c": "fast"}, "expected a number"),
        ({"n": 2.5}, "whole number"),
        ({"n": 3}, "needs at least 4 components, found 3"),
        ({"n": -4}, "sizes of at least 1"),
        ({"n": 0}, "sizes of at least 1"),
    ):
        with pytest.raises(InputError, match=said):
            pyvda.julia_model(path, **fields)
    with pytest.raises(InputError, match="there is no file"):
        pyvda.julia_model(path.with_name("none.jl"))
    bare = written(ROSSLER.replace("Rossler(;", "Nothing_(;"))
    with pytest.raises(InputError, match="no default for a, c; give values"):
        pyvda.julia_model(bare, b=0.1)
    assert pyvda.julia_model(bare, a=1, b=0.1, c=2).parameters == (1.0, 0.1, 2.0)


def test_wrong_counts_are_refused_by_julia_itself(engine) -> None:
    model = pyvda.get_model("lorenz63")
    four = np.ones((1, 4))
    wrong = replace(model, state_size=4, state_space=None)
    with pytest.raises(InputError, match="a state of Lorenz63 has 3 components, found 4"):
        engine.simulate(wrong, four, time_step=0.01, steps=2)
    wrong = replace(model, parameters=(10.0,), parameter_names=("sigma",), fields=())
    with pytest.raises(InputError, match=r"Lorenz63 has 3 fields .*, found 1 values"):
        engine.simulate(wrong, four[:, :3], time_step=0.01, steps=2)


def _in_child(run) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run()
            said = "no error"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        return stream.read()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_forked_child_gets_the_advice_to_spawn(engine) -> None:
    model, x = pyvda.get_model("lorenz63"), np.ones((1, 3))
    engine.forecast(model, x, time_step=0.01)
    said = _in_child(lambda: engine.forecast(model, x, time_step=0.01))
    assert said.startswith(EngineError.__name__)
    assert '"spawn"' in said
    assert "\n" not in said
    assert np.isfinite(engine.forecast(model, x, time_step=0.01)).all()


STARTING = """\
struct Circles{T} <: SmallModel
    a::T
end
Circles(; a = 1.0) = Circles(a)
variables(::Type{<:Circles}) = ("x", "y", "z")
time_step(::Type{<:Circles}) = 0.1
tendency(m::Circles, (x, y, z)) = (-m.a * y, m.a * x, zero(z))
tangent_linear(m::Circles, (x, y, z), (dx, dy, dz)) = (-m.a * dy, m.a * dx, zero(dz))
adjoint(m::Circles, (x, y, z), (u, v, w)) = (m.a * v, -m.a * u, zero(w))
# On the circle of radius 1 at either of two heights: no normal distribution has these states.
start(m::Circles, rng) = (a = 2pi * rand(rng); (cos(a), sin(a), rand(rng, (-5.0, 5.0))))
spinup(m::Circles) = 1.0
"""


EARTH = VECTOR.replace("(site = m.n,)", "(lat = 3, lon = m.n)") + (
    "coordinates(m::Waves) = (lon = [10.0 + 0.5k for k in 1:m.n], lat = (-40:20:0)/2)\n"
)


def test_coordinates_of_the_file_are_those_of_the_states(written) -> None:
    model = pyvda.julia_model(written(EARTH), n=4)
    space = model.state_space
    assert dict(space.coordinates) == {
        "lon": (10.5, 11.0, 11.5, 12.0), "lat": (-20.0, -10.0, 0.0),
    }  # fmt: skip
    truth = pyvda.simulate(model, 1, 1, steps=2)
    assert truth["lat"].values.tolist() == [-20.0, -10.0, 0.0]
    assert truth["lon"].values.tolist() == [10.5, 11.0, 11.5, 12.0]
    # The same model in torch, whose dimensions have points.
    torch_model = pyvda.torch_model(
        tendency=lambda x: 0.0 * x, variables=("x",), time_step=0.05,
        dimensions={"lat": [-20.0, -10.0, 0.0], "lon": [10.5, 11.0, 11.5, 12.0]},
    )  # fmt: skip
    one, other = (localised(m, 500.0, unit="km") for m in (model, torch_model))
    np.testing.assert_array_equal(one.place, other.place)
    assert pyvda.julia_model(written(VECTOR)).state_space.coordinates == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[1.0, 2.0]", r"is a Array, expected the points along dimensions, as \(lat = 30"),
        ("(lat = 1:3, x = 1:2)", r"has points along x, expected dimensions .* \(lat, lon\)"),
        ("(lat = 1:4,)", "has 4 points along lat, expected 3, its length in dimensions"),
        ("(lat = [1.0, NaN, 3.0],)", "along lat is not increasing and finite; turn"),
        ("(lat = 3:-1:1,)", "along lat is not increasing and finite"),
        ('(lat = ["a", "b", "c"],)', "is a Array along lat, expected a vector of 3 numbers"),
        ("(lat = 2,)", "is a Int64 along lat, expected a vector of 3 numbers"),
        ('error("no map")', r"mine\.jl:15: no map"),
    ],
)
def test_wrong_coordinates_are_refused_in_one_sentence(written, given, said) -> None:
    text = EARTH.partition("coordinates(m")[0] + f"coordinates(m::Waves) = {given}\n"
    with pytest.raises(InputError, match=said) as refused:
        pyvda.julia_model(written(text))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("mine.jl")


def test_the_starts_of_the_file_are_those_that_run(written, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path / "cache"))
    model = pyvda.julia_model(written(STARTING))
    states = climatology(model).states
    np.testing.assert_allclose(np.hypot(states[:, 0], states[:, 1]), 1, atol=1e-4)
    np.testing.assert_allclose(np.abs(states[:, 2]), 5)
    truth = pyvda.simulate(model, 5, seed=3, steps=10)
    np.testing.assert_allclose(np.hypot(truth.x, truth.y), 1, atol=1e-4)
    np.testing.assert_allclose(np.abs(truth.z), 5)
    assert len(np.unique(truth.x.values[:, 0])) == 5
    again = pyvda.simulate(model, 2, seed=3, steps=10)
    np.testing.assert_array_equal(again.x, truth.x[:2])
    other = pyvda.simulate(model, 2, seed=4, steps=10)
    assert not np.isin(other.x.values[:, 0], truth.x.values[:, 0]).any()


def test_a_field_may_have_a_letter_that_python_normalises(written) -> None:
    """The interpreter turns the keyword ϕ (U+03D5) into φ (U+03C6); Julia does not."""
    text = ROSSLER.replace("a::T", "\u03d5::T").replace("; a =", "; \u03d5 =")
    text = text.replace("Rossler(a,", "Rossler(\u03d5,").replace("m.a", "m.\u03d5")
    model = pyvda.julia_model(written(text), ϕ=0.1)
    assert model.parameter_names[0] == "\u03d5"
    assert model.parameters[0] == 0.1


def test_a_comparison_of_several_states_is_said_with_its_remedy(written) -> None:
    text = ROSSLER.split("tangent_linear")[0].replace("(-y - z,", "(y > 0 ? -y - z : -z,")
    model = pyvda.julia_model(written(text))
    with pytest.raises(EngineError, match=r"write max\(x, 0\) for x > 0 \? x : 0"):
        pyvda.assimilate(
            xr.Dataset({v: ("time", np.ones(6)) for v in "xyz"}, {"time": 0.05 * np.arange(6)}),
            model=model, method="strong-constraint", starts="mean", observation_variance=1.0,
            background=(np.zeros(3), np.eye(3)),
        )  # fmt: skip


DERIVED = """\
struct Decay{T} <: SmallModel
    rate::T
    time::T
    n::Int
end
Decay(; rate = 0.5, time = 1 / rate, n = 2) = Decay(rate, time, n)
variables(::Type{<:Decay}) = ("x",)
time_step(::Type{<:Decay}) = 0.1
tendency(m::Decay, (x,)) = (-x / m.time,)
"""


@pytest.mark.parametrize("rate", ["rate = 0.5", "rate"])
def test_defaults_may_depend_on_fields_that_are_given(written, rate):
    path = written(DERIVED.replace("rate = 0.5", rate))
    assert dict(pyvda.julia_model(path, rate=0.25).fields) == {"rate": 0.25, "time": 4.0, "n": 2}
    assert dict(pyvda.julia_model(path, rate=0.25, time=3.0).fields)["time"] == 3.0


def test_a_field_that_is_no_keyword_is_given_beside_the_defaults(written):
    path = written(
        DERIVED.replace(
            "time = 1 / rate, n = 2) = Decay(rate, time, n)", "n = 2) = Decay(rate, 1 / rate, n)"
        )
    )
    assert dict(pyvda.julia_model(path, rate=0.25).fields) == {"rate": 0.25, "time": 4.0, "n": 2}
    assert dict(pyvda.julia_model(path, time=3.0).fields) == {"rate": 0.5, "time": 3.0, "n": 2}


def test_a_constructor_that_changes_what_it_is_given_is_refused(written):
    path = written(DERIVED.replace("Decay(rate, time, n)", "Decay(2 * rate, time, n)"))
    with pytest.raises(InputError, match=r"rate = 0.25 has 0.5; a constructor must keep"):
        pyvda.julia_model(path, rate=0.25)
