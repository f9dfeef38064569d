"""The registry: models found and refused, and no model named anywhere else."""

import ast
import dataclasses
import importlib
import io
import math
import pickle
import re
import tokenize
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pyvda.errors import InputError
from pyvda.io.writing import model_attributes
from pyvda.models import registry
from pyvda.models.model import Model
from pyvda.models.registry import get_model, resolve

ROOT = Path(__file__).parents[2]


# --- no name of a model stands anywhere else -----------------------------------------------------

# The paper is about two models; the command line shows examples.
MAY_NAME_MODELS = (
    "pyvda/paper/", "pyvda/cli/", "pyvda/models/zoo/",
)  # fmt: skip


def spellings() -> set[str]:
    """Return the names of models and of their Julia structs, in lower case."""
    families = registry.families().values()
    return {f.name for f in families} | {f.julia for f in families if f.julia}


def words_of_code(text: str) -> str:
    """Return the names and string constants of Python source, without comments and docstrings."""
    tree = ast.parse(text)
    docstrings = {
        (node.body[0].lineno, node.body[0].col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    kept = (tokenize.NAME, tokenize.STRING)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(t.string for t in tokens if t.type in kept and t.start not in docstrings)


def test_python_names_no_model_outside_the_zoo() -> None:
    named = re.compile("|".join(map(re.escape, sorted(spellings()))), re.IGNORECASE)
    found = {}
    for path in sorted(ROOT.glob("pyvda/**/*.py")):
        where = path.relative_to(ROOT).as_posix()
        if not where.startswith(MAY_NAME_MODELS):
            words = named.findall(words_of_code(path.read_text("utf-8")))
            found |= {where: words} if words else {}
    assert found == {}


def test_the_search_sees_strings_and_names_but_no_docstrings() -> None:
    name = next(iter(registry.families()))
    assert name in words_of_code(f'x = "{name}"')
    assert name in words_of_code(f"def {name}(): pass")
    assert name not in words_of_code(f'"""About {name}."""\n# {name}\nx = 1')


def test_julia_names_no_model_outside_the_zoo() -> None:
    named = re.compile(r"\b(" + "|".join(map(re.escape, sorted(spellings()))) + r")\b")
    found = {}
    for path in sorted(ROOT.glob("julia/src/**/*.jl")):
        if "zoo" in path.parts:
            continue
        code = re.sub(r'"""(?s:.*?)"""|#=(?s:.*?)=#|#[^\n]*', "", path.read_text("utf-8"))
        words = named.findall(code)
        found |= {path.name: words} if words else {}
    assert found == {}


# --- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.families())
def test_every_family_makes_a_consistent_model(name) -> None:
    family, model = registry.families()[name], get_model(name)
    assert name.replace("-", "_") in {
        path.stem for path in (ROOT / "pyvda/models/zoo").glob("*.py")
    }
    assert model.parameter_names == tuple(family.parameters)
    assert [key for key, _ in model.fields] == [*family.parameters, *family.sizes]
    assert model.state_space.size == model.state_size
    assert pickle.loads(pickle.dumps(model)) == model
    assert hash(model) == hash(get_model(name))
    assert model.torch.digest
    assert len(model.start.mean) in (1, model.state_size)


def aliases() -> list[tuple[str, str]]:
    return [(a, f.name) for f in registry.families().values() for a in f.aliases]


def test_an_alias_is_another_name_of_the_same_model() -> None:
    assert ("qg", "quasi-geostrophic") in aliases()
    alone = [alias for alias, _ in aliases()]
    assert len(set(alone)) == len(alone)
    assert not set(alone) & ({*registry.names()} | {*registry.presets()})
    for alias, name in aliases():
        model = get_model(alias)
        assert model == get_model(name)
        assert model.name == name
        assert resolve(alias) == model
        assert registry.get_family(alias).name == name
        numbers = (model.state_size, model.parameters)
        assert registry.registered(alias, *numbers, model.sizes) == model
        assert Model(alias, *numbers, model.time_step) == model


def test_a_file_records_the_name_and_not_the_alias() -> None:
    found = model_attributes.attributes(get_model("qg", n=9))
    assert found["model"] == "quasi-geostrophic"
    found["model"] = "qg"  # as somebody's own file may say
    assert model_attributes.find(xr.Dataset(attrs=found)).name == "quasi-geostrophic"


def test_python_names_no_alias_outside_the_zoo() -> None:
    named = re.compile(r"\b(" + "|".join(re.escape(alias) for alias, _ in aliases()) + r")\b")
    for path in sorted(ROOT.glob("pyvda/**/*.py")):
        if not path.relative_to(ROOT).as_posix().startswith(MAY_NAME_MODELS):
            assert not named.findall(words_of_code(path.read_text("utf-8"))), path


def test_exactly_one_model_is_the_default() -> None:
    default = [name for name, family in registry.families().items() if family.default]
    assert default == [registry.default_model().name]


def test_numbers_of_a_file_make_the_registered_model() -> None:
    assert Model("lorenz63", 3, (10.0, 28.0, 8 / 3), 0.01) == get_model("lorenz63")
    other = Model("lorenz96", 12, (7.0,), 0.02)
    assert other == dataclasses.replace(
        get_model("lorenz96", forcing=7.0, state_size=12), time_step=0.02
    )
    assert dict(other.fields) == {"forcing": 7.0, "state_size": 12}


def test_other_parameters_change_the_fields() -> None:
    model = get_model("lorenz63").with_parameters((9.0, 27.0, 2.5))
    assert dict(model.fields) == {"sigma": 9.0, "rho": 27.0, "beta": 2.5}


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lorenz63", 3, (10.0,), 0.01), "3 parameters .*found 1 values"),
        (("lorenz63", 4, (10.0, 28.0, 8 / 3), 0.01), "3 components, found a state size of 4"),
        (("lorenz96", 3, (8.0,), 0.05), "expected a whole number of at least 4"),
        (("lorenz96", 40, (), 0.05), "1 parameters .*found 0 values"),
        (("lorenz63", 3, (10.0, math.nan, 8 / 3), 0.01), "finite"),
        (("lorenz63", 3, (10.0, "28", 8 / 3), 0.01), "expected a number"),
        (("lorenz63", 3, (10.0, 28.0, 8 / 3), 0.0), "positive"),
        (("lorenz63", 3.5, (10.0, 28.0, 8 / 3), 0.01), "whole number"),
        (("pendulum", 2, (), 0.1), "unknown model 'pendulum'"),
    ],
)
def test_a_model_of_wrong_numbers_is_refused(arguments, said) -> None:
    with pytest.raises(InputError, match=said):
        Model(*arguments)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("lorenz63", {"rho": None}, "rho of lorenz63 is None, expected a number"),
        ("lorenz63", {"rho": math.inf}, "finite"),
        ("lorenz63", {"rho": "20"}, "expected a number"),
        ("lorenz63", {"rho": True}, "expected a number"),
        ("lorenz63", {"forcing": 8.0}, "found forcing; lorenz63 has sigma, rho, beta"),
        ("lorenz96", {"state_size": 3}, "at least 4"),
        ("lorenz96", {"state_size": 40.5}, "whole number"),
        ("lorenz9", {}, "unknown model 'lorenz9'; choose one of "),
        (None, {}, "unknown model None"),
    ],
)
def test_get_model_refuses_in_one_sentence(name, parameters, said) -> None:
    with pytest.raises(InputError, match=said):
        get_model(name, **parameters)


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([*registry.families(), "lorenz", ""]),
    numbers,
    st.lists(numbers, max_size=4),
    numbers,
)
def test_no_numbers_make_a_model_of_another_shape(name, size, parameters, time_step) -> None:
    try:
        model = Model(name, size, tuple(parameters), time_step)
    except InputError:
        return
    family = registry.families()[name]
    assert len(model.parameters) == len(family.parameters)
    assert model.state_size == model.state_space.size == size
    assert np.isfinite([*model.parameters, model.time_step]).all()


# --- words of the command line -------------------------------------------------------------------


def test_built_in_models_take_parameters_and_sizes_as_text() -> None:
    assert resolve("lorenz96", {"state_size": "36"}).state_size == 36
    assert resolve("lorenz63", {"rho": "20"}).parameters[1] == 20.0
    assert resolve(get_model("lorenz63"), {"rho": 20.0}).parameters[1] == 20.0
    with pytest.raises(InputError, match="expected a name, a file, or a model"):
        resolve(63)


def test_packages_add_models(monkeypatch) -> None:
    module = importlib.import_module("pyvda.models.zoo.lorenz63")
    monkeypatch.setattr(module, "other", lambda rho=21.0: get_model("lorenz63", rho=rho), False)
    monkeypatch.setattr(module, "wrong", lambda: 3, False)
    points = [
        EntryPoint(name, f"pyvda.models.zoo.lorenz63:{value}", registry.GROUP)
        for name, value in (("other", "other"), ("wrong", "wrong"), ("none", "missing"))
    ]
    monkeypatch.setattr(
        "pyvda.added.entry_points",
        lambda group, name=None: [p for p in points if name in (None, p.name)],
    )
    assert get_model("other").parameters[1] == 21.0
    assert get_model("other", rho=22.0).parameters[1] == 22.0
    assert "other" in registry.names()
    with pytest.raises(InputError, match="wrong is a int"):
        get_model("wrong")
    with pytest.raises(InputError, match="cannot be loaded"):
        get_model("none")
