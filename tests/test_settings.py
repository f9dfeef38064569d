"""The keywords of `assimilate` are the fields of `Settings`, with their defaults and help."""

import inspect
import json
import re
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import pyvda
from pyvda.errors import InputError
from pyvda.methods import GROUP, METHODS, Method, gauss_newton, names
from pyvda.settings import Settings, chosen_method, settled


def test_the_signature_of_assimilate_is_that_of_the_settings() -> None:
    parameters = inspect.signature(pyvda.assimilate).parameters
    keywords = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert list(keywords) == list(Settings.model_fields)
    assert {n: p.default for n, p in keywords.items()} == {
        n: f.default for n, f in Settings.model_fields.items()
    }
    assert next(iter(parameters)) == "observations"
    assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


def test_the_docstring_describes_every_keyword() -> None:
    doc = inspect.getdoc(pyvda.assimilate) or ""
    assert "{settings}" not in doc
    for name, field in Settings.model_fields.items():
        entry = doc[doc.index(f"\n{name} : ") :].splitlines()
        assert entry[2] == f"    {field.description}"
    assert "\nlambda1 : float, default 0.01\n" in doc
    for types in (
        "model : str or Model, optional",
        "operator : str or path or ObservationOperator, optional",
        "good_flags : int or str or sequence of int or str, optional",
        "report : callable, optional",
    ):
        assert f"\n{types}\n" in doc


@pytest.mark.parametrize("method", [name for name in METHODS if name != "learned"])
def test_weights_are_taken_by_the_methods_that_minimise_the_cost_with_them(method: str) -> None:
    settings, options = settled({"method": method, "lambda1": 0.01})
    if method in ("fsgd", "gauss-newton"):
        assert chosen_method(settings, options)[0].name == method
    else:
        with pytest.raises(InputError, match=r"^lambda1 would have no effect: " + method):
            chosen_method(settings, options)


def test_a_checkpoint_is_a_method() -> None:
    for given in ({}, {"method": "learned"}):
        settings, options = settled({"checkpoint": "lorenz63-shooting", **given})
        assert chosen_method(settings, options)[0].name == "learned"
    settings, options = settled({"checkpoint": "lorenz63-shooting", "method": "gauss-newton"})
    with pytest.raises(InputError, match="leave out method or checkpoint"):
        chosen_method(settings, options)


@pytest.mark.parametrize(
    ("given", "value", "owner"),
    [
        ({"model": "lorenz96"}, {"state_size": 36}, "lorenz96"),
        ({"model": pyvda.get_model("lorenz96")}, {"state_size": 36}, "lorenz96"),
        ({"model": "lorenz63"}, {"rho": 27.5}, "lorenz63"),
        ({}, {"rho": 27.5}, "lorenz63"),
        ({"method": "incremental", "model": "qg"}, {"n": 65}, "quasi-geostrophic"),
    ],
)
def test_a_parameter_of_the_model_is_no_option_of_the_method(given, value, owner) -> None:
    (name,) = value
    with pytest.raises(InputError, match=f"^{name} is no option of .* {owner}; ") as refused:
        chosen_method(*settled(given | value))
    message = str(refused.value)
    found = re.search(r"(; give|\(in Python,) model=(get_model\(.*?\))\)?$", message)
    assert found is not None
    of_command = isinstance(given.get("model", ""), str)  # a model object has no --parameter
    assert (f"--parameter {name}={value[name]} " in message) == of_command
    assert ("--parameter" in message) == of_command
    model = eval(found[2], {"get_model": pyvda.get_model})
    assert dict(model.fields)[name] == value[name]
    settings, options = settled(given | {"model": model})
    assert chosen_method(settings, options)[0].name == given.get("method", "fsgd")


def test_a_parameter_of_a_model_made_in_python_is_given_where_it_is_made() -> None:
    pytest.importorskip("torch")
    model = pyvda.torch_model(
        lambda x, rate: -rate * x, variables=("x",), dimensions={"site": 3}, time_step=0.1,
        parameters={"rate": 0.5}, name="decay",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"model decay; make the model with rate=0\.25$"):
        chosen_method(*settled({"model": model, "rate": 0.25}))


def test_a_parameter_of_another_model_is_an_unknown_key() -> None:
    with pytest.raises(InputError, match="unknown key rho;"):
        chosen_method(*settled({"model": "lorenz96", "rho": 20.0}))


class OneIteration(gauss_newton.GaussNewtonOptions):
    """The options of a package's method, which has a default of its own."""

    iterations: int = 1


one_iteration = Method("one-iteration", OneIteration, gauss_newton.solve)
of_another_name = one_iteration._replace(name="other")


def test_packages_add_methods(monkeypatch) -> None:
    points = [
        EntryPoint(name, f"{__name__}:{value}", GROUP)
        for name, value in (
            ("one-iteration", "one_iteration"), ("misnamed", "of_another_name"),
            ("number", "GROUP"), ("absent", "missing"), ("fsgd", "one_iteration"),
        )
    ]  # fmt: skip
    monkeypatch.setattr(
        "pyvda.added.entry_points",
        lambda group, name=None: [p for p in points if p.group == group and name in (None, p.name)],
    )
    observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 1), "lorenz63", 2)
    found = pyvda.assimilate(observed, method="one-iteration", robust=True)
    expected = pyvda.assimilate(observed, method="gauss-newton", iterations=1, robust=True)
    np.testing.assert_array_equal(found.analysis, expected.analysis)
    assert json.loads(found.attrs["pyvda_configuration"])["method"] == "one-iteration"
    built_in = pyvda.assimilate(observed, method="fsgd", iterations=1)
    assert json.loads(built_in.attrs["pyvda_configuration"])["method"] == "fsgd"
    assert names() == [*METHODS, "one-iteration", "misnamed", "number", "absent"]
    for name, said in (
        ("misnamed", "expected a pyvda.methods.Method named 'misnamed'"),
        ("number", "number of the package None is a str"),
        ("absent", "the method 'absent' of the package None cannot be loaded"),
        ("letfk", "unknown method 'letfk'; choose one of fsgd, .*, one-iteration, .*, oi, eof"),
    ):
        with pytest.raises(InputError, match=said):
            pyvda.assimilate(observed, method=name)
